"""Connections to a proxy, and what can be seen of their endings."""

import errno
import select
import socket
import struct
import threading
import time

from .servers import receive_all


def connect(port, host="127.0.0.1", timeout=10, receive_buffer=None):
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    connection.settimeout(timeout)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((host, port))
    return connection


def connect_late(port, timeout=10):
    """
    As a client that looks at its connection only later: connects without waiting. A connect() that waits reports a reset that
    follows at once as its own failure, and what came before the reset can no longer be told.
    """
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex(("127.0.0.1", port))
    select.select([connection], [], [], timeout)
    connection.settimeout(timeout)
    return connection


def exchange(port, data=b"ping", **options):
    """Sends, finishes, and returns the whole reply."""
    with connect(port, **options) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return receive_all(connection)


def served(port):
    """A connection through to a server that echoes; it stays."""
    client = connect(port)
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    return client


def ending(connection):
    """Reads to the end: the bytes, and "end" or "reset"."""
    parts = []
    while True:
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return b"".join(parts), "reset"
        if not data:
            return b"".join(parts), "end"
        parts.append(data)


def outcome(port, data=b""):
    """Connects, sends, finishes, and tells how it ended; a reset may come at any of these steps."""
    try:
        with connect(port) as connection:
            if data:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            return ending(connection)
    except (ConnectionResetError, BrokenPipeError):
        return b"", "reset"
    except OSError as error:  # shutdown of a socket that is reset already
        if error.errno != errno.ENOTCONN:
            raise
        return b"", "reset"


def linger_zero(connection):
    """close() will send RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def pattern(length, seed=0):
    """Bytes that tell their place."""
    block = bytes((i * 31 + (i >> 8) + seed) & 0xFF for i in range(65536))
    return (block * (length // 65536 + 1))[:length]


def seconds(function):
    """How long a call takes, and its value."""
    begun = time.monotonic()
    value = function()
    return time.monotonic() - begun, value


class Load:
    """Exchanges in several threads, one after the other, until it is stopped or one of them fails."""

    def __init__(self, port, threads):
        self.port, self.exchanged, self.problems = port, 0, []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._over.is_set():
            try:
                assert exchange(self.port, b"hello") == b"hello"
                self.exchanged += 1
            except Exception as error:  # pylint: disable=broad-except
                self.problems.append(error)
                return

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join()
