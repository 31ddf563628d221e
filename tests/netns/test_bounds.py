"""Buffers have a hard bound, whatever readers do, and neither slow nor fast connections starve the others."""

import os
import resource
import select
import socket
import threading
import time

import pytest

from tests.support.clients import connect, exchange, pattern
from tests.support.outrigger import built_programs
from tests.support.processes import eventually
from tests.support.servers import receive_all

SANITIZED = os.path.basename(os.path.dirname(built_programs())) in ("asan-ubsan", "tsan")
KIB, MIB = 1024, 1024 * 1024
QUANTUM = 4 * KIB  # what each direction may hold outside the budget


@pytest.fixture
def many_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * KIB for line in file if line.startswith("VmRSS:"))


def narrow_client(port):
    """A client for which the kernel keeps little: small segments, a small window."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    client.settimeout(20)
    client.connect(("127.0.0.1", port))
    return client


def push(connections, data, sent):
    """Sends to each what it takes at once."""
    moved = 0
    for connection in connections:
        place = sent.get(connection, 0)
        if place < len(data):
            try:
                n = connection.send(data[place:])
            except BlockingIOError:
                continue
            sent[connection] = place + n
            moved += n
    return moved


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's own memory hides the proxy's")
def test_nine_thousand_stopped_readers_stay_within_buffer_memory(plain, namespace, many_descriptors):
    space = namespace("bounds")
    for key in ("tcp_wmem", "tcp_rmem"):  # the kernel keeps little, so that it is the proxy that would have to
        space.run(["sysctl", "-qw", f"net.ipv4.{key}=4096 8192 8192"])
    space.inside(lambda: nine_thousand_stopped_readers(lambda *words, **options: plain(*words, namespace=space, **options)))


def nine_thousand_stopped_readers(plain):
    count, memory = 9000, 16 * MIB
    data = memoryview(pattern(100 * KIB))
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    proxy, port = plain([listener.getsockname()[1]], {"circuit_breaker": {"max_connections": 0}}, limits={"buffer_memory": "16MiB"},
                        workers=2, log={"level": "info", "format": "text"})
    before = resident(proxy.pid)
    clients, servers, sent = [], [], {}
    for _ in range(count):
        clients.append(narrow_client(port))
        server, _ = listener.accept()
        server.setblocking(False)
        servers.append(server)
    idle = resident(proxy.pid)
    for _ in range(20):  # until nothing moves any more
        if push(servers, data, sent) == 0:
            break
        time.sleep(0.3)
    time.sleep(1)
    grown = resident(proxy.pid) - idle
    assert sum(sent.values()) < count * len(data) * 0.9, "the readers have not stopped anybody"
    assert grown > memory, f"{grown / MIB:.1f} MiB: the budget was not used up"
    assert grown <= memory + count * QUANTUM + count * KIB, f"{grown / MIB:.1f} MiB"
    assert (idle - before) / count <= 1.5 * KIB
    # The others go on.
    other = connect(port)
    server, _ = listener.accept()
    server.settimeout(10)
    begun = time.monotonic()
    whole = bytes(data) * 10
    other.sendall(b"x")
    assert server.recv(1) == b"x"
    sender = threading.Thread(target=lambda: (server.sendall(whole), server.close()))
    sender.start()
    assert receive_all(other) == whole
    sender.join()
    assert time.monotonic() - begun < 10
    other.close()
    # Those who stopped get every byte once they read.
    finish(clients, servers, data, sent)
    eventually(lambda: proxy.active() == 0, what="no connection left", timeout=30)
    assert exchange_is_possible(port, listener)
    listener.close()
    for connection in clients + servers:
        connection.close()


def finish(clients, servers, data, sent):
    """Sends the rest, ends, and reads everything."""
    got = {client.fileno(): 0 for client in clients}
    by_fd = {client.fileno(): client for client in clients}
    poll = select.epoll()
    for client in clients:
        client.setblocking(False)
        poll.register(client.fileno(), select.EPOLLIN)
    ended, finished = set(), set()
    deadline = time.monotonic() + 120
    while len(ended) < len(clients):
        assert time.monotonic() < deadline, f"{len(ended)} of {len(clients)} have ended"
        push(servers, data, sent)
        for server in servers:
            if sent.get(server, 0) == len(data) and server not in finished:
                server.shutdown(socket.SHUT_WR)
                finished.add(server)
        for fd, _ in poll.poll(0.1, 4096):
            part = by_fd[fd].recv(65536)
            assert part == data[got[fd]:got[fd] + len(part)]
            got[fd] += len(part)
            if not part:
                ended.add(fd)
                poll.unregister(fd)
                by_fd[fd].shutdown(socket.SHUT_WR)
    poll.close()
    assert set(got.values()) == {len(data)}


def exchange_is_possible(port, listener):
    with connect(port) as client:
        server, _ = listener.accept()
        with server:
            client.sendall(b"again")
            return server.recv(5) == b"again"


def test_fast_flow_beside_a_thousand_slow_ones_and_they_beside_it(serve, plain, many_descriptors):
    data = pattern(200 * KIB)
    bulk = pattern(64 * MIB)
    slow_count = 1000

    def send(connection):
        connection.sendall(bulk if connection.recv(1) == b"f" else data)
        connection.close()

    _, port = plain([serve(send, backlog=1024).port], {"circuit_breaker": {"max_connections": 0}}, limits={"buffer_memory": "4MiB"},
                    workers=1, log={"level": "info", "format": "text"})
    slow = [narrow_client(port) for _ in range(slow_count)]
    for client in slow:
        client.sendall(b"s")
    got = [0] * slow_count
    stop = threading.Event()

    def read_slowly():
        while not stop.is_set():
            for index, client in enumerate(slow):
                if got[index] < len(data):
                    got[index] += len(client.recv(512))
            time.sleep(0.02)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    try:
        time.sleep(0.5)
        before = list(got)
        begun = time.monotonic()
        with connect(port, timeout=60) as fast:
            fast.sendall(b"f")
            assert receive_all(fast) == bulk
        took = time.monotonic() - begun
        assert took < 30 * (4 if SANITIZED else 1), took
        eventually(lambda: all(now > then or now == len(data) for now, then in zip(got, before)), what="every slow one has moved on",
                   timeout=20)
    finally:
        stop.set()
        reader.join()
    for client in slow:
        client.close()
    assert exchange(port, b"s") == data
