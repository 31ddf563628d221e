"""Connections whose every byte and ending the client knows, in random order from a seed; and the account that must come of them."""

import collections
import random
import struct
import threading

from .clients import connect, connect_late
from .processes import eventually
from .servers import free_port, receive_all, reset

HEADER = struct.Struct("!cII")
KINDS = ["complete", "client_resets", "upstream_resets", "upstream_ends_first", "silent", "refused"]


def receive(connection, count):
    parts = bytearray()
    while len(parts) < count:
        data = connection.recv(min(count - len(parts), 65536))
        if not data:
            raise EOFError
        parts += data
    return bytes(parts)


def serve_as_told(connection):
    """The first bytes say what to do: how many bytes there are to read, and to send, and how to end."""
    with connection:
        try:
            kind, reads, sends = HEADER.unpack(receive(connection, HEADER.size))
        except EOFError:
            return
        if kind == b"u":
            connection.sendall(b"s" * sends)
            connection.shutdown(1)
            receive(connection, reads)
            receive_all(connection)
            return
        receive(connection, reads)
        connection.sendall(b"s" * sends)
        if kind == b"r":
            connection.recv(1)  # the client has it all
            reset(connection)
            return
        try:
            receive_all(connection)
        except ConnectionResetError:
            pass


class Seeded:
    def __init__(self, serve, start, seed, **config):
        self.seed = seed
        self.port, self.refusing = free_port(), free_port()
        budget = {"percent": "100%", "min_per_second": 10000, "burst": 10000, "window": "0s"}
        self.proxy = start({
            "workers": 2,
            "listeners": [{"name": "test", "address": f"127.0.0.1:{self.port}", "cluster": "test"},
                          {"name": "refusing", "address": f"127.0.0.1:{self.refusing}", "cluster": "refusing"}],
            "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{serve(serve_as_told, backlog=1024).port}"}], "retry": {"attempts": 1}},
                         {"name": "refusing", "endpoints": [{"address": f"127.0.0.1:{free_port()}"}],
                          "retry": {"attempts": 3, "backoff": {"base": "1ms", "max": "1ms"}, "budget": budget},
                          "outlier_detection": {"consecutive_failures": 0}}],
            **config})
        self.lock = threading.Lock()
        self.expected = collections.Counter()
        self.failures = []

    def one(self, choice):
        kind, reads, sends = choice.choice(KINDS), choice.randrange(20000), choice.randrange(20000)
        account = collections.Counter()
        if kind == "refused":
            with connect_late(self.refusing) as client:
                try:
                    assert client.recv(1) == b"", "it was answered"
                    raise AssertionError("a tidy end")
                except ConnectionResetError:
                    pass
            account.update({"refused": 1})
            return account
        with connect(self.port) as client:
            if kind == "silent":
                client.shutdown(1)
                assert receive_all(client) == b""
                account.update({"completed": 1})
                return account
            code = {"upstream_resets": b"r", "upstream_ends_first": b"u"}.get(kind, b"c")
            client.sendall(HEADER.pack(code, reads, sends) + b"c" * reads)
            account.update({"from_client": HEADER.size + reads, "from_upstream": sends})
            assert len(receive(client, sends)) == sends
            if kind == "client_resets":
                reset(client)
                account.update({"client_reset": 1})
            elif kind == "upstream_resets":
                client.sendall(b"x")
                account.update({"from_client": 1, "upstream_reset": 1})
                try:
                    client.recv(1)
                    raise AssertionError("a cut that looks like an end")
                except ConnectionResetError:
                    pass
            else:
                client.shutdown(1)
                assert receive_all(client) == b""
                account.update({"completed": 1})
        return account

    def many(self, number, count):
        choice = random.Random(self.seed * 1000 + number)
        account = collections.Counter()
        try:
            for _ in range(count):
                account.update(self.one(choice))
        except (AssertionError, OSError, EOFError) as problem:
            self.failures.append(f"client {number}, connection {sum(account[r] for r in account)}: {problem!r}")
        with self.lock:
            self.expected.update(account)

    def run(self, connections, threads=8):
        workers = [threading.Thread(target=self.many, args=(i, connections // threads)) for i in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not self.failures, self.failures
        eventually(lambda: self.proxy.active() == 0, what="the last ending")
        self.check()

    def check(self):
        metrics, expected = self.proxy.metrics(), self.expected

        def value(name, cluster="test", more=""):
            return metrics.get(f'outrigger_{name}{{direction="listener",cluster="{cluster}"{more}}}', 0)
        reasons = {"completed", "client_reset", "upstream_reset"}
        played = sum(expected[reason] for reason in reasons)
        assert value("connections_opened_total") == played
        assert {reason: value("connections_ended_total", more=f',reason="{reason}"') for reason in reasons} == {reason: expected[reason] for reason in reasons}
        ended = {name: count for name, count in metrics.items() if name.startswith("outrigger_connections_ended_total") and 'cluster="test"' in name}
        assert sum(ended.values()) == played, ended
        assert value("received_bytes_total", more=',from="client"') == expected["from_client"]
        assert value("received_bytes_total", more=',from="upstream"') == expected["from_upstream"]
        assert value("connection_duration_seconds_count") == value("connect_duration_seconds_count") == played
        assert value("connections_active") == 0
        assert value("connections_opened_total", "refusing") == expected["refused"]
        assert value("connections_ended_total", "refusing", ',reason="connect_refused"') == expected["refused"]
        assert value("connect_failures_total", "refusing", ',cause="refused"') == 3 * expected["refused"]
        assert value("retries_total", "refusing") == 2 * expected["refused"]
        assert metrics['outrigger_endpoint_connects_total{cluster="test",endpoint="%s"}' % self.endpoint()] == played

    def endpoint(self):
        return next(cluster for cluster in self.proxy.status()["clusters"] if cluster["name"] == "test")["endpoints"][0]["address"]
