"""
A rollout as it happens to a proxy on a host, on real traffic: start, reload again and again, take over again and again, drain,
stop; under wrk with and without keep-alive, and with PostgreSQL sessions that last from the beginning to the end.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.support.postgres import Postgres  # noqa: E402
from tests.support.processes import Program, end_on_sigterm, eventually, positive, run  # noqa: E402
from tests.support.servers import Nginx, free_port  # noqa: E402

# wrk closes its connections when its time is over, whatever was under way on them.
EXPLAINED = {"completed", "client_reset", "client_gone"}
CONNECTIONS = 32


class Failed(Exception):
    """Something was lost."""


class Load(threading.Thread):
    """wrk, a second at a time, until it is told to stop; what it counts."""

    def __init__(self, url, keep_alive, namespace=None):
        super().__init__()
        argv = ["wrk", "-t1", f"-c{CONNECTIONS}", "-d1s", "--timeout", "8s", *([] if keep_alive else ["-H", "Connection: close"]), url]
        self.argv = namespace.command(argv) if namespace else argv
        self.over = threading.Event()
        self.requests = self.failures = 0
        self.output = ""
        self.start()

    def run(self):
        while not self.over.is_set():
            output = subprocess.run(self.argv, stdout=subprocess.PIPE, text=True, check=True).stdout
            self.requests += int(re.search(r"(\d+) requests in", output).group(1))
            errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
            other = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
            failures = (sum(int(count) for count in errors.groups()) if errors else 0) + (int(other.group(1)) if other else 0)
            if failures:
                self.output = output
            self.failures += failures

    def stop(self):
        self.over.set()
        self.join()


class Session:
    """One psql that stays; each question must be answered."""

    def __init__(self, port):
        self.psql = subprocess.Popen(["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-XAtq"], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.asked = 0
        self.backend = self.ask("select pg_backend_pid()")

    def ask(self, question):
        self.psql.stdin.write(f"{question};\n")
        self.asked += 1
        return self.psql.stdout.readline().strip()

    def check(self):
        """The same session, and nothing in between."""
        answer = self.ask(f"select pg_backend_pid() || ' {self.asked}'")
        if answer != f"{self.backend} {self.asked - 1}":
            raise Failed(f"a PostgreSQL session was lost at question {self.asked}: {answer!r}")

    def close(self):
        self.psql.stdin.close()
        if self.psql.wait(10) != 0:
            raise Failed("psql did not end well")
        self.psql.stdout.close()


class Rollout:
    def __init__(self, programs, out):
        self.out = out
        self.directory = tempfile.mkdtemp(prefix="outrigger-rollout-")
        self.programs = programs
        self.web, self.pg, self.health = free_port(), free_port(), free_port()
        self.socket = f"{self.directory}/control.sock"
        self.config_path = f"{self.directory}/outrigger.json"
        self.processes, self.sessions, self.servers = [], [], []
        self.began = time.monotonic()
        self.number = 0

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", file=self.out, flush=True)

    def write(self, turn, endpoints):
        """Each turn another configuration: endpoints, policies, and a listener that comes and goes."""
        web = {"name": "web", "endpoints": [{"address": f"127.0.0.1:{port}"} for port in endpoints],
               "circuit_breaker": {"max_connections": 0}, "timeouts": {"connect": f"{1000 + turn}ms"}}
        listeners = [{"name": "web", "address": f"127.0.0.1:{self.web}", "cluster": "web"},
                     {"name": "pg", "address": f"127.0.0.1:{self.pg}", "cluster": "pg"}]
        if turn % 3 == 1:
            listeners.append({"name": "extra", "address": f"127.0.0.1:{self.extra}", "cluster": "web"})
        config = {"version": 1, "workers": 2, "log": {"format": "text", "level": "debug"}, "health": {"port": self.health}, "admin": {"port": 0},
                  "control": {"path": self.socket}, "drain": {"delay": "3s", "timeout": "10s"}, "listeners": listeners,
                  "clusters": [web, {"name": "pg", "endpoints": [{"address": f"127.0.0.1:{self.postgres.port}"}]}]}
        with open(self.config_path + ".new", "w", encoding="utf-8") as file:
            json.dump(config, file)
        os.rename(self.config_path + ".new", self.config_path)

    def start(self, *words):
        self.number += 1
        program = Program([f"{self.programs}/outrigger", "-c", self.config_path, *words], f"{self.directory}/log{self.number}")
        self.processes.append(program)
        eventually(lambda: "state: ready" in program.log() or not program.is_running(), what="ready")
        if not program.is_running():
            raise Failed(f"it did not start:\n{program.log()}")
        return program

    def ctl(self, *words):
        done = run([f"{self.programs}/outriggerctl", "--socket", self.socket, *words], check=False)
        if done.returncode != 0:
            raise Failed(f"outriggerctl {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def check_sessions(self):
        for session in self.sessions:
            session.check()

    def prepare(self):
        self.extra = free_port()
        ports = [free_port(), free_port()]
        for i, port in enumerate(ports):
            self.servers.append(Nginx(f"{self.directory}/nginx{i}", [f"127.0.0.1:{port}"], "hello"))
        self.postgres = Postgres(f"{self.directory}/pg.log")
        self.servers.append(self.postgres)
        self.endpoints = ports
        self.write(0, ports)
        self.start()
        self.say("started, ready")

    def reload(self, count):
        for turn in range(1, count + 1):
            self.write(turn, self.endpoints if turn % 2 else self.endpoints[:1])
            self.ctl("reload")
            if turn % 10 == 0:
                self.check_sessions()
        status = json.loads(self.ctl("--json", "status"))["configuration"]
        if status["problem"]:
            raise Failed(f"a reload was refused: {status['problem']}")
        self.say(f"{count} reloads")

    def take_over(self, count):
        for turn in range(count):
            old = self.processes[-1]
            self.sessions.append(Session(self.pg))  # stays with the process that is there now
            self.start("--takeover", self.socket)
            eventually(lambda process=old: "another process has taken over" in process.log(), what="the old process's farewell")
            self.ctl("ready")
            self.check_sessions()
            if not old.is_running():
                raise Failed(f"the process taken over from ended with a session open:\n{old.log()}")
            self.say(f"takeover {turn + 1}: pid {old.pid} to {self.processes[-1].pid}")

    def drain(self, loads):
        self.ctl("drain")
        if run([f"{self.programs}/outriggerctl", "--socket", self.socket, "ready"], check=False).returncode == 0:
            raise Failed("ready although it drains")
        for load in loads:  # as whoever balances load does, within drain.delay
            load.stop()
        self.check_sessions()
        for session in self.sessions:
            session.close()
        self.say("drained")

    def stop(self):
        self.processes[-1].signal(signal.SIGTERM)
        for process in self.processes:
            try:
                code = process.wait(20)
            except subprocess.TimeoutExpired:
                process.signal(signal.SIGTERM)  # so that it says what it is waiting for
                process.signal(signal.SIGTERM)
                process.wait(5)
                raise Failed(f"it did not end:\n{self.left_in(process)}") from None
            if code != 0:
                raise Failed(f"exit {code}:\n{process.log()[-2000:]}")
        self.say("all processes have ended with 0")

    @staticmethod
    def left_in(process):
        """The connections that had not ended by themselves."""
        return "".join(f"{line}\n" for line in process.log().splitlines() if "ended: drain_timeout" in line)

    def endings(self):
        """By reason, of all processes: what each says when it ends."""
        sums = {}
        for process in self.processes:
            found = re.search(r"connections: (\d+) opened(?:; ended: (.*))?\n", process.log())
            if not found:
                raise Failed(f"it does not say how its connections ended:\n{process.log()[-2000:]}")
            for part in (found.group(2) or "").split(", "):
                if part:
                    reason, count = part.split()
                    sums[reason] = sums.get(reason, 0) + int(count)
        return sums

    def clean_up(self):
        for session in self.sessions:
            if session.psql.poll() is None:
                session.psql.kill()
        for process in self.processes:
            process.stop()
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.directory)


def drill(rollout, reloads, takeovers):
    rollout.prepare()
    loads = [Load(f"http://127.0.0.1:{rollout.web}/", True), Load(f"http://127.0.0.1:{rollout.web}/", False)]
    try:
        rollout.sessions = [Session(rollout.pg) for _ in range(3)]
        rollout.reload(reloads)
        rollout.take_over(takeovers)
        rollout.reload(max(reloads // 10, 1))
        rollout.drain(loads)
    finally:
        for load in loads:
            load.stop()
    rollout.stop()
    endings = rollout.endings()
    failures = sum(load.failures for load in loads)
    questions = sum(session.asked for session in rollout.sessions)
    print(f"\n{loads[0].requests} requests with keep-alive, {loads[1].requests} without: {failures} failed\n"
          f"{len(rollout.sessions)} PostgreSQL sessions, {questions} questions: 0 lost\n"
          f"connections by how they ended: {', '.join(f'{reason} {count}' for reason, count in sorted(endings.items()))}", file=rollout.out)
    unexplained = {reason: count for reason, count in endings.items() if reason not in EXPLAINED}
    if failures or unexplained:
        raise Failed(f"{failures} failed requests; unexplained endings: {unexplained or 'none'}\n" +
                     "".join(load.output for load in loads) + "".join(rollout.left_in(process) for process in rollout.processes))


def main():
    parser = argparse.ArgumentParser(prog="tools/campaign rollout", description=__doc__)
    parser.add_argument("--reloads", type=positive, default=100, help="how many (100)")
    parser.add_argument("--takeovers", type=positive, default=5, help="how many (5)")
    arguments = parser.parse_args()
    end_on_sigterm()
    rollout = Rollout(os.environ["OUTRIGGER_BIN"], sys.stdout)
    try:
        drill(rollout, arguments.reloads, arguments.takeovers)
    except (Failed, AssertionError) as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        rollout.clean_up()
    print("\n0 failed requests, 0 unexplained endings.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
