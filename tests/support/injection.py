"""System calls of a running program that fail, or take their time."""

import subprocess


class Injection:
    """
    strace at work on a process, or with `one_thread` on the thread `pid`; `what` is a call and what is done to it, as
    `strace -e inject=` takes it. A context, or end() it.
    """

    def __init__(self, pid, what, one_thread=False):
        call = what.split(":")[0]
        follow = [] if one_thread else ["-f"]
        self.strace = subprocess.Popen(["strace", *follow, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={what}", "-p", str(pid)],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while "attached" not in self.strace.stderr.readline():
            assert self.strace.poll() is None, "strace could not attach"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.strace.terminate()
        self.strace.wait()
