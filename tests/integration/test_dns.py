"""Discovery by names against a real name server whose records change, also under load."""

import shutil
import signal
import socket
import threading
import time

import pytest

from tests.support.clients import connect, ending, outcome
from tests.support.dns import NameServer
from tests.support.processes import eventually
from tests.support.servers import Server, free_port

pytestmark = pytest.mark.skipif(not shutil.which("dnsmasq"), reason="dnsmasq is not installed")


@pytest.fixture
def names(tmp_path):
    made = []

    def make(records, **options):
        made.append(NameServer(tmp_path / f"names{len(made)}", records, **options))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def whoami():
    """A server on every address that says which one was dialled."""
    def say(connection):
        connection.sendall(connection.getsockname()[0].encode())
        connection.close()

    server = Server(say, host="0.0.0.0")
    servers = [server, Server(say, host="::1", port=server.port, family=socket.AF_INET6)]
    yield server.port
    for each in servers:
        each.close()


def resolved(plain, server, port, *hosts, **cluster):
    return plain([f"{host}:{port}" for host in hosts], {"discovery": "dns", **cluster},
                 dns={"servers": [{"address": f"127.0.0.1:{server.port}"}], "timeout": "200ms", "attempts": 2})


def start_required(plain, name_server, port):
    """Does not wait until it is ready."""
    return plain([f"a.test:{port}"], {"discovery": "dns", "required": True}, wait=False,
                 dns={"servers": [{"address": f"127.0.0.1:{name_server}"}], "timeout": "200ms", "attempts": 2})[0]


def endpoints(proxy):
    return [endpoint["address"].rsplit(":", 1)[0].strip("[]") for endpoint in proxy.status()["clusters"][0]["endpoints"]]


def ask(port):
    with connect(port) as client:
        return ending(client)[0].decode()


def test_all_addresses_of_both_families_are_used_in_a_certain_order(names, plain, whoami):
    server = names({"a.test": ["127.0.0.3", "127.0.0.2", "::1"]})
    proxy, port = resolved(plain, server, whoami, "a.test")
    eventually(lambda: endpoints(proxy) == ["127.0.0.2", "127.0.0.3", "::1"], what="the addresses")
    assert [ask(port) for _ in range(6)] == ["127.0.0.2", "127.0.0.3", "::1"] * 2


def test_a_hundred_addresses_come_by_tcp(names, plain, whoami):
    addresses = [f"127.0.1.{number}" for number in range(1, 101)]
    server = names({"many.test": addresses})
    proxy, port = resolved(plain, server, whoami, "many.test")
    eventually(lambda: len(endpoints(proxy)) == 100, what="all of them")
    assert {ask(port) for _ in range(100)} == set(addresses)


def test_changes_are_followed_within_the_ttl(names, plain, whoami):
    server = names({"a.test": ["127.0.0.2"]}, ttl=1)
    proxy, port = resolved(plain, server, whoami, "a.test")
    eventually(lambda: endpoints(proxy) == ["127.0.0.2"], what="resolved")
    server.change({"a.test": ["127.0.0.4", "127.0.0.5"]})
    eventually(lambda: endpoints(proxy) == ["127.0.0.4", "127.0.0.5"], timeout=4, what="the change")
    assert {ask(port) for _ in range(4)} == {"127.0.0.4", "127.0.0.5"}


def test_ttl_is_honoured(names, plain, whoami):
    server = names({"a.test": ["127.0.0.2"]}, ttl=60)
    proxy, _ = resolved(plain, server, whoami, "a.test")
    eventually(lambda: endpoints(proxy) == ["127.0.0.2"], what="resolved")
    time.sleep(2.5)
    assert server.log().count("query[A] a.test") == 1


def test_last_good_addresses_stay_while_the_server_is_silent(names, plain, whoami):
    server = names({"a.test": ["127.0.0.2"]})
    proxy, port = resolved(plain, server, whoami, "a.test")
    eventually(lambda: endpoints(proxy) == ["127.0.0.2"], what="resolved")
    server.program.signal(signal.SIGSTOP)
    eventually(lambda: "cannot be resolved" in proxy.log(), what="the failure")
    time.sleep(1)
    assert endpoints(proxy) == ["127.0.0.2"] and ask(port) == "127.0.0.2"
    server.change({"a.test": ["127.0.0.9"]})
    server.program.signal(signal.SIGCONT)
    eventually(lambda: endpoints(proxy) == ["127.0.0.9"], timeout=8, what="it is asked again")


def test_name_without_addresses_has_no_endpoint_and_comes_back(names, plain, whoami):
    server = names({"a.test": ["127.0.0.2"]})
    proxy, port = resolved(plain, server, whoami, "a.test")
    eventually(lambda: endpoints(proxy) == ["127.0.0.2"], what="resolved")
    server.change({"other.test": ["127.0.0.3"]})
    eventually(lambda: endpoints(proxy) == [], timeout=4, what="gone")
    assert "a.test has no addresses any more" in proxy.log()
    assert outcome(port) == (b"", "reset")
    eventually(lambda: proxy.ended("test") == {"no_endpoint": 1}, what="the account")
    server.change({"a.test": ["127.0.0.5"]})
    eventually(lambda: endpoints(proxy) == ["127.0.0.5"], timeout=9, what="back")


def test_names_and_addresses_together(names, plain, whoami):
    server = names({"a.test": ["127.0.0.2"], "b.test": ["127.0.0.3", "127.0.0.2"]})
    proxy, _ = resolved(plain, server, whoami, "127.0.0.7", "b.test", "a.test")
    eventually(lambda: endpoints(proxy) == ["127.0.0.7", "127.0.0.2", "127.0.0.3"], what="without doubles")


@pytest.mark.parametrize("closes", [False, True])
def test_connections_to_a_removed_endpoint_go_on_or_are_closed(names, plain, closes):
    def hold(connection):
        connection.sendall(b"x")
        connection.recv(10)
        connection.close()

    holder = Server(hold, host="0.0.0.0")
    server = names({"a.test": ["127.0.0.2", "127.0.0.3"]})
    proxy, port = resolved(plain, server, holder.port, "a.test", close_on_removal=closes)
    eventually(lambda: len(endpoints(proxy)) == 2, what="resolved")
    clients = [connect(port) for _ in range(10)]
    for client in clients:
        assert client.recv(1) == b"x"
    server.change({"a.test": ["127.0.0.3"]})
    eventually(lambda: endpoints(proxy) == ["127.0.0.3"], timeout=4, what="removed")
    if closes:
        eventually(lambda: proxy.ended("test") == {"endpoint_removed": 5}, what="half of them")
    assert proxy.active() == (5 if closes else 10)
    for client in clients:
        client.close()
    holder.close()


def test_no_connection_fails_while_the_zone_changes_under_load(names, plain, whoami):
    server = names({"a.test": ["127.0.0.2", "127.0.0.3"]})
    proxy, port = resolved(plain, server, whoami, "a.test")
    eventually(lambda: len(endpoints(proxy)) == 2, what="resolved")
    stop, failures, seen = threading.Event(), [], set()

    def load():
        while not stop.is_set():
            try:
                seen.add(ask(port))
            except OSError as error:
                failures.append(error)

    threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(4, 8):
            server.change({"a.test": [f"127.0.0.{number}", f"127.0.0.{number + 1}"]})
            eventually(lambda: endpoints(proxy) == [f"127.0.0.{number}", f"127.0.0.{number + 1}"], timeout=5, what="the change")
        eventually(lambda: "127.0.0.8" in seen, what="the last address is asked")
    finally:
        stop.set()
    for thread in threads:
        thread.join()
    assert not failures and "" not in seen


def test_health_checks_follow_the_addresses(names, plain, whoami):
    server = names({"a.test": ["127.0.0.2"]})
    proxy, port = resolved(plain, server, whoami, "a.test", health_check={"interval": "100ms"})
    eventually(lambda: endpoints(proxy) == ["127.0.0.2"], what="resolved")
    server.change({"a.test": ["127.0.0.2", "192.0.2.1"]})  # nobody is there
    eventually(lambda: [each["health"] for each in proxy.status()["clusters"][0]["endpoints"]] == ["healthy", "unhealthy"], timeout=6,
               what="the new one is checked")
    assert ask(port) == "127.0.0.2"


def test_an_endpoint_that_comes_back_has_its_history(names, plain, whoami):
    """Regression: an address that was missing from one answer came back without its ejection."""
    server = names({"a.test": ["127.0.0.2", "192.0.2.1", "127.0.0.3"]})
    proxy, port = resolved(plain, server, whoami, "a.test", timeouts={"connect": "100ms"},
                           outlier_detection={"consecutive_failures": 1, "base_ejection": "1m"})

    def health():
        return {each["address"].rsplit(":", 1)[0]: each["health"] for each in proxy.status()["clusters"][0]["endpoints"]}

    eventually(lambda: len(health()) == 3, what="resolved")
    eventually(lambda: ask(port) and health()["192.0.2.1"] == "ejected", what="nobody is at the third")
    server.change({"a.test": ["127.0.0.2", "127.0.0.3"]})
    eventually(lambda: len(health()) == 2, timeout=4, what="it is gone")
    server.change({"a.test": ["127.0.0.2", "192.0.2.1", "127.0.0.3"]})
    eventually(lambda: len(health()) == 3, timeout=4, what="it is back")
    assert health()["192.0.2.1"] == "ejected"


class OnlyIPv4:
    """Passes questions on to a name server, but for AAAA, which it leaves unanswered."""

    def __init__(self, port):
        self.behind = ("127.0.0.1", port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            question, client = self.socket.recvfrom(4096)
            if not question:
                return
            if b"\0\x1c\0\1" in question:
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
                asked.sendto(question, self.behind)
                self.socket.sendto(asked.recv(4096), client)

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()


def test_a_family_without_an_answer_does_not_delay_the_other(names, plain, whoami):
    """Regression: while AAAA timed out, changes of A waited for it, longer each time."""
    server = names({"a.test": ["127.0.0.2"]})
    broken = OnlyIPv4(server.port)
    proxy, port = resolved(plain, broken, whoami, "a.test", required=True)
    assert endpoints(proxy) == ["127.0.0.2"], "it was ready"
    for number in (3, 4, 5):
        server.change({"a.test": [f"127.0.0.{number}"]})
        eventually(lambda: endpoints(proxy) == [f"127.0.0.{number}"], timeout=2.5, what="the change")
    assert ask(port) == "127.0.0.5"
    broken.stop()


def test_required_waits_for_the_first_answer(names, plain, whoami):
    server = names({"a.test": ["127.0.0.2"]})
    server.stop()
    port = free_port()
    proxy = start_required(plain, port, whoami)
    time.sleep(1.5)
    status, blockers = proxy.request("GET", "/healthz/ready")
    assert status == 503 and blockers == '{"state":"starting","blockers":["endpoints"]}\n'
    names({"a.test": ["127.0.0.2"]}, port=port)
    eventually(proxy.is_ready, what="ready", timeout=10)
    assert endpoints(proxy) == ["127.0.0.2"]


def test_required_name_without_addresses_is_an_answer(names, plain, whoami):
    server = names({"b.test": ["127.0.0.2"]})
    proxy = start_required(plain, server.port, whoami)
    eventually(proxy.is_ready, what="ready")
    assert endpoints(proxy) == []


def test_two_hundred_names_are_asked_a_few_at_a_time(names, plain, whoami):
    server = names({f"n{i}.test": [f"127.0.1.{i + 1}"] for i in range(200)})
    proxy, _ = resolved(plain, server, whoami, *[f"n{i}.test" for i in range(200)])
    eventually(lambda: endpoints(proxy) == [f"127.0.1.{i + 1}" for i in range(200)], timeout=10, what="all are resolved")
