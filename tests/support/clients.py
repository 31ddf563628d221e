"""Connections to a proxy, and what can be seen of their endings."""

import errno
import os
import select
import socket
import struct
import threading
import time

from .servers import receive_all


def connect(port, host="127.0.0.1", timeout=10, receive_buffer=None, source=None):
    """
    A connection that was made, though it may be cut by now: whoever uses it sees that. An ordinary connect() reports a reset
    that follows at once as its own failure, and what came before the reset can no longer be told.
    """
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    connection.setblocking(False)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if source:
        connection.bind((source, 0))
    problem = connection.connect_ex((host, port))
    if problem == errno.EINPROGRESS:
        problem = _never_made(connection, timeout)
    if problem:
        connection.close()
        raise OSError(problem, os.strerror(problem))
    connection.settimeout(timeout)
    return connection


def _never_made(connection, timeout):
    """What is wrong with a connection that nobody answered with SYN-ACK: then, and only then, there is no round trip time."""
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    if not (events := poll.poll(timeout * 1000)):
        return errno.ETIMEDOUT
    (_number, event), = events
    tcpi_rtt, = struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 68)
    return 0 if tcpi_rtt or not event & select.POLLERR else connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def connect_late(port, timeout=10):
    """As a client that looks at its connection only when there is something to see: bytes, an end, or a reset."""
    connection = connect(port, timeout=timeout)
    select.select([connection], [], [], timeout)
    return connection


def exchange(port, data=b"ping", **options):
    """Sends, finishes, and returns the whole reply."""
    with connect(port, **options) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return receive_all(connection)


def served(port, **options):
    """A connection through to a server that echoes; it stays."""
    client = connect(port, **options)
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


def outcome(port, data=b"", **options):
    """Connects, sends, finishes, and tells how it ended; a reset may come at any of these steps."""
    try:
        with connect(port, **options) as connection:
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
