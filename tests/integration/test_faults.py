"""What the kernel may answer at any time, and seldom does: short reads and writes, interruptions, no memory, a listener that has died."""

import ctypes
import os
import re
import socket
import time

import pytest

from tests.support.clients import connect, exchange, outcome, pattern
from tests.support.injection import Injection
from tests.support.outrigger import ROOT, built_programs
from tests.support.processes import cpu_seconds, eventually, run
from tests.support.servers import echo, receive_all, reset
from tests.support.torture import LIMITS, torture_proxy

SANITIZED = os.path.basename(os.path.dirname(built_programs())) in ("asan-ubsan", "tsan")


@pytest.fixture
def short_io(tmp_path):
    """The environment of a proxy whose reads and writes are short."""
    library = tmp_path / "short_io.so"
    run(["gcc", "-O1", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, os.path.join(ROOT, "tests", "support", "short_io.c"), "-ldl"])
    return {"LD_PRELOAD": str(library), "SHORT_IO_SEED": "5"}


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's runtime must be loaded before everything else")
@pytest.mark.parametrize("seed,limits", enumerate(LIMITS[:3], 50))
def test_short_reads_and_writes_change_nothing(programs, tmp_path, short_io, seed, limits):
    tmp_path.chmod(0o755)
    assert torture_proxy(programs, tmp_path / "proxy", seed, 1000, limits, environment=short_io) > 10_000_000


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's runtime must be loaded before everything else")
def test_messages_that_grow_are_exact_with_short_writes(serve, plain, short_io):
    _, port = plain([serve(echo).port], environment=short_io)
    with connect(port, timeout=60) as client:
        for number in range(1, 2561):
            message = pattern(number, number)
            client.sendall(message)
            assert receive_all(client, number) == message


@pytest.mark.parametrize("error", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
def test_accept_that_fails_pauses_and_comes_back(serve, plain, error):
    proxy, port = plain([serve(echo).port], workers=1)
    with connect(port) as kept:
        kept.sendall(b"x")
        assert kept.recv(1) == b"x"
        injection = Injection(proxy.pid, f"accept4:error={error}")
        try:
            waiting = connect(port)
            eventually(lambda: "accepting pauses" in proxy.log(), what="the pause")
            before = cpu_seconds(proxy.pid)
            time.sleep(1)
            assert cpu_seconds(proxy.pid) - before < 0.2
            kept.sendall(b"y")
            assert kept.recv(1) == b"y"
        finally:
            injection.end()
        begun = time.monotonic()
        waiting.sendall(b"z")
        assert waiting.recv(1) == b"z"
        assert time.monotonic() - begun < 1.2
        waiting.close()


@pytest.mark.parametrize("error", ["ENOBUFS", "ENOMEM", "EMFILE"])
def test_connect_that_fails_for_want_of_memory_is_named_and_no_fault_of_the_endpoint(serve, plain, error):
    proxy, port = plain([serve(echo).port], workers=1)
    injection = Injection(proxy.pid, f"{'socket' if error == 'EMFILE' else 'connect'}:error={error}")
    try:
        assert outcome(port, b"x") == (b"", "reset")
    finally:
        injection.end()
    eventually(lambda: proxy.ended("test") == {"no_descriptors": 1}, what="no_descriptors")
    endpoints = [each for cluster in proxy.status()["clusters"] for each in cluster["endpoints"]]
    assert [each["connect_failures"] for each in endpoints] == [0]
    eventually(lambda: outcome(port, b"back") == (b"back", "end"), what="accepting again")


def test_dead_listener_is_closed_and_reported_and_not_polled(serve, plain):
    """EINVAL from accept4: the socket listens no more, and its event would fire for ever."""
    proxy, port = plain([serve(echo).port], workers=1)
    with connect(port) as kept:
        kept.sendall(b"x")
        assert kept.recv(1) == b"x"
        kill_listener(proxy.pid, port)
        eventually(lambda: "listener test: closed, accepting failed: Invalid argument" in proxy.log(), what="the report")
        before = cpu_seconds(proxy.pid)
        time.sleep(1)
        assert cpu_seconds(proxy.pid) - before < 0.1
        kept.sendall(b"y")
        assert kept.recv(1) == b"y"


def kill_listener(pid, port):
    """shutdown(2) of a listening socket of another process, through a duplicate of its descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            if not re.match(r"socket:", os.readlink(f"/proc/{pid}/fd/{name}")):
                continue
            fd = libc.syscall(438, pidfd, int(name), 0)  # pidfd_getfd
            assert fd >= 0, os.strerror(ctypes.get_errno())
            with socket.socket(fileno=fd) as duplicate:
                if duplicate.family == socket.AF_INET and duplicate.getsockname()[1] == port and \
                        duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    duplicate.shutdown(socket.SHUT_RDWR)
                    return
    finally:
        os.close(pidfd)
    raise AssertionError("no such listener")


def test_exit_in_the_middle_of_a_flush_is_clean(serve, plain):
    """A reader has stopped with megabytes owed to it when the proxy is told to end."""
    data = pattern(50 * 1024 * 1024)

    def send(connection):
        connection.sendall(data)

    proxy, port = plain([serve(send).port])
    with connect(port, receive_buffer=4096) as client:
        eventually(lambda: proxy.traffic("test", "listener")["bytes_from_upstream"] > 1_000_000, what="bytes on their way")
        assert proxy.stop() == 0
        got = bytearray()
        with pytest.raises(ConnectionResetError):
            while part := client.recv(65536):
                got += part
        assert data.startswith(bytes(got))


def test_storm_of_refusals_and_resets_passes(serve, plain):
    """Refused, reset, silent, well, in turn; each time the service is well it is served."""
    behaviour = {"now": echo}
    server = serve(lambda connection: behaviour["now"](connection))
    proxy, port = plain([server.port], {"timeouts": {"connect": "300ms"}})
    for _ in range(3):
        for bad in (reset, lambda connection: (connection.recv(1), reset(connection)), lambda connection: connection.close()):
            behaviour["now"] = bad
            for _ in range(20):
                outcome(port, b"x")
            behaviour["now"] = echo
            assert exchange(port, b"well") == b"well"
    eventually(lambda: proxy.active() == 0, what="no connection left")
