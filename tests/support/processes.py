"""Programs that a test starts and ends: each by its own pid, none left behind."""

import argparse
import contextlib
import os
import signal
import subprocess
import time


class Program:
    """A running program with its output in a file."""

    def __init__(self, argv, log_path, **options):
        self.argv = [str(word) for word in argv]
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.log_path, "rb") as log:
            return log.read().decode(errors="replace")

    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.is_running():
            os.kill(self.pid, number)

    def wait(self, timeout=10):
        return self.process.wait(timeout)

    def stop(self, timeout=10):
        """Ends it, with SIGKILL if it does not end by itself; returns its code."""
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def end_on_sigterm():
    """From now on SIGTERM ends this program as Ctrl-C does: with everything that it started cleaned up."""
    def end(_number, _frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, end)


def positive(text):
    """A whole number of at least 1, for argparse."""
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError("must be a whole number of at least 1")
    return int(text)


@contextlib.contextmanager
def stopped(pid):
    """Keeps a program from running, all of its threads, as long as the context lasts."""
    def is_stopped():
        return all(_state(pid, task) == "T" for task in os.listdir(f"/proc/{pid}/task"))
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(is_stopped, what="stopped")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _state(pid, task):
    with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def cpu_seconds(pid):
    """CPU time of a process so far, to a hundredth of a second."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def eventually(question, timeout=10, what="condition", every=0.02):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + timeout
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what}: not true after {timeout} s"
        time.sleep(every)


def run(argv, check=True, timeout=60, **options):
    """Runs to the end; returns the finished process with its output as text."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=timeout,
                          stdin=options.pop("stdin", subprocess.DEVNULL), **options)
    assert not check or done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done
