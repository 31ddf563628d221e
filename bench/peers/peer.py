"""What every proxy of the benchmark has: a name, a port, a configuration of its own, and a way to start it."""

import os
import socket
import time

from bench.origin import BODY
from bench.processes import Measured
from tests.support.servers import free_port

PROXY_UID = 1337


class Failed(Exception):
    """A proxy did not do its work."""


class Peer:
    """A proxy from its own port on 127.0.0.1 to the origin's. One object is one run of it."""

    name = None
    note = ""  # how it is configured, in a few words; the report prints it
    uid = PROXY_UID  # in a namespace; None: as the benchmark itself
    redirect = False  # whether it can carry redirected connections to their original destination

    def __init__(self, bench):
        self.bench = bench
        self.directory = os.path.join(bench.directory, f"{self.name}-{next(bench.numbers)}")
        self.port = free_port() if bench.namespace is None else 15001
        self.running = None
        self.wrap = []  # words before its own: a program that runs it

    @classmethod
    def absent(cls):
        """Why it cannot run here, or None."""
        return None

    @classmethod
    def version(cls):
        return ""

    def argv(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def write(self, file_name, text):
        path = os.path.join(self.directory, file_name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def spawn(self):
        """Executes it. The configuration is written before, so that this is the time of the program alone."""
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o777)
        argv = [*self.wrap, *self.argv()]
        uid = self.uid if self.bench.namespace else None
        started = time.monotonic()
        self.running = Measured(argv, os.path.join(self.directory, "output.log"), self.bench.proxy_core, self.bench.namespace,
                                uid, env={**os.environ, **self.environment()})
        return started

    def start(self, answers=None):
        """Starts it and waits until it carries a request (or as told); returns how long that took, in seconds."""
        started = self.spawn()
        while True:
            if self.bench.inside(answers or self.answers):
                return time.monotonic() - started
            self.check_running()
            if time.monotonic() - started > 20:
                raise Failed(f"{self.name} does not answer:\n{self.running.program.log()}")
            time.sleep(0.0002)

    def check_running(self):
        """Raises Failed when it is gone: what was measured then is not its work."""
        if not self.running.program.is_running():
            raise Failed(f"{self.name} has ended:\n{self.running.program.log()}")

    def target(self):
        """Where clients connect to."""
        return (self.bench.host, self.bench.origin.port if self.bench.namespace else self.port)

    def is_open(self):
        """Whether it accepts connections."""
        try:
            socket.create_connection(self.target(), timeout=2).close()
            return True
        except OSError:
            return False

    def answers(self):
        """Whether a request through it is answered."""
        try:
            with socket.create_connection(self.target(), timeout=2) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                reply = b""
                while data := connection.recv(4096):
                    reply += data
                return reply.endswith(BODY.encode())
        except OSError:
            return False

    def url(self, path="/"):
        host, port = self.target()
        return f"http://{host}:{port}{path}"

    def cpu_ns(self):
        self.check_running()
        return self.running.cpu_ns()

    def memory_kib(self):
        return self.running.memory_kib()

    def executable(self):
        return self.running.executable()

    def stop(self):
        if self.running:
            self.running.stop()
            self.running = None
