"""Servers for proxies to stand in front of."""

import os
import random
import socket
import threading
import time

from .processes import Program, eventually


_given = set()


def free_port(family=socket.AF_INET, host="127.0.0.1"):
    """
    Below the range that outgoing connections get theirs from, so that none of them takes it before it is used; and another one
    each time, since a port that was given out may not be listened on yet.
    """
    while True:
        port = random.randrange(16384, 32768)
        if port in _given and len(_given) < 12000:
            continue
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        _given.add(port)
        return port


class Server:
    """Serves each connection with `serve(connection)` in a thread of its own."""

    def __init__(self, serve, host="127.0.0.1", port=0, family=socket.AF_INET, path=None, backlog=1024, receive_buffer=None):
        self.serve = serve
        self.listener = socket.socket(socket.AF_UNIX if path else family)
        if not path:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(path or (host, port))
        self.listener.listen(backlog)
        self.port = None if path else self.listener.getsockname()[1]
        self.accepted = 0
        self.errors = []
        self.connections = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.connections.append(connection)
            threading.Thread(target=self._guard, args=(connection,), daemon=True).start()

    def _guard(self, connection):
        try:
            self.serve(connection)
        except OSError as error:
            self.errors.append(error)

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self._thread.join(5)
        for connection in self.connections:
            connection.close()


class Silent:
    """A listener whose queue is full: further SYNs get no answer, until accept() makes room."""

    def __init__(self, host="127.0.0.1", port=0):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(0)
        self.listener.settimeout(16)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.listener.getsockname())
            self.fillers.append(filler)
        time.sleep(0.1)

    def accept(self):
        """Makes room; returns the first connection that is not one of those that filled the queue."""
        fillers = {filler.getsockname() for filler in self.fillers}
        while True:
            connection, address = self.listener.accept()
            if address not in fillers:
                connection.settimeout(8)
                return connection
            connection.close()

    def close(self):
        for each in [self.listener, *self.fillers]:
            each.close()


def echo(connection):
    """Sends back what comes, and finishes when the other side does."""
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


def reset(connection):
    """Ends a connection with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def receive_all(connection, limit=1 << 30):
    """Everything up to the orderly end. ConnectionResetError where the stream was cut."""
    parts, total = [], 0
    while total < limit and (data := connection.recv(65536)):
        parts.append(data)
        total += len(data)
    return b"".join(parts)


class Nginx:
    """A real nginx with one server that answers `body`, and files from its directory under /files/."""

    def __init__(self, directory, addresses, body, namespace=None):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        listens = "\n".join(f"    listen {address};" for address in addresses)
        self.config_path = os.path.join(self.directory, "nginx.conf")
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(f"""daemon off;
user root;
worker_processes 1;
pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  server {{
{listens}
    location / {{ return 200 "{body}\\n"; }}
    location /files/ {{ alias {self.directory}/; }}
    location /nginx_status {{ stub_status; }}
  }}
}}
""")
        argv = ["/usr/sbin/nginx", "-e", f"{self.directory}/error.log", "-c", self.config_path]
        log_path = os.path.join(self.directory, "output.log")
        self.program = namespace.start(argv, log_path) if namespace else Program(argv, log_path)
        eventually(lambda: os.path.exists(f"{self.directory}/nginx.pid") and self.worker_pids(), what="nginx")

    @property
    def pid(self):
        """Its master's: `ip netns exec` becomes the program."""
        return self.program.pid

    def worker_pids(self):
        path = f"/proc/{self.pid}/task/{self.pid}/children"
        with open(path, encoding="ascii") as file:
            return [int(word) for word in file.read().split()]

    def quit(self):
        """Stops gracefully."""
        os.kill(self.pid, 3)

    def kill(self):
        """Ends master and workers with SIGKILL."""
        for pid in [self.pid, *self.worker_pids()]:
            os.kill(pid, 9)

    def stop(self):
        self.program.stop()
