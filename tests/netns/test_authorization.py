"""Who may not reach the app reaches nothing of it: no connection is made to it; a reload ends those that were there."""

import json
import os
import socket

import pytest

from tests.support.clients import connect, ending
from tests.support.processes import eventually, run
from tests.support.servers import Server, echo

CLIENT, SERVER = "10.78.0.1", "10.78.0.2"
CLIENT6, SERVER6 = "fd4e::1", "fd4e::2"


@pytest.fixture
def guarded(pods, start, programs):
    """A pod behind inbound interception, its rules, and an app on 8080 and 8081; `ask` is from the other pod."""

    class Guarded:
        def __init__(self, rules):
            self.client, self.space = pods
            self.space.run([os.path.join(programs, "outrigger-init")])
            self.proxy = start(self.config(rules), namespace=self.space, uid=1337)
            self.apps = [self.space.inside(lambda port=port: Server(echo, host="0.0.0.0", port=port)) for port in (8080, 8081)]
            self.apps.append(self.space.inside(lambda: Server(echo, host="::", port=8082, family=socket.AF_INET6)))

        @staticmethod
        def config(rules):
            return {"intercept": {}, "health": {"port": 15021}, "drain": {"timeout": "200ms"}, "authorization": rules}

        def reload(self, rules):
            status, text = self.proxy.reload(self.config(rules))
            assert status == 200, text

        def connect(self, port, host=SERVER):
            return self.client.inside(lambda: connect(port, host, timeout=5))

        def ask(self, port, host=SERVER):
            """What the app answers, or how the connection ends."""
            try:
                with self.connect(port, host) as client:
                    client.sendall(b"x")
                    client.settimeout(5)
                    return client.recv(1) or "end"
            except ConnectionResetError:
                return "reset"

        def accepted(self):
            return [app.accepted for app in self.apps]

    made = []

    def make(rules):
        made.append(Guarded(rules))
        return made[-1]

    yield make
    for each in made:
        for app in each.apps:
            app.close()


def test_sources_and_ports_decide(guarded):
    it = guarded([{"action": "deny", "sources": [CLIENT], "ports": [8081]}, {"action": "allow", "sources": ["10.78.0.0/24"]}])
    assert it.ask(8080) == b"x" and it.ask(8081) == "reset"
    assert it.accepted() == [1, 0, 0]
    ended = it.proxy.ended("inbound", "inbound")
    assert ended["denied"] == 1
    assert it.proxy.metrics()['outrigger_connections_ended_total{direction="inbound",cluster="inbound",reason="denied"}'] == 1


def test_with_a_rule_who_matches_none_is_denied(guarded):
    it = guarded([{"action": "allow", "sources": ["192.0.2.0/24"]}])
    assert it.ask(8080) == "reset" and it.accepted() == [0, 0, 0]


def test_a_plaintext_peer_matches_no_identity(guarded):
    it = guarded([{"action": "allow", "identities": ["spiffe://cluster.local/ns/shop/sa/*"]}])
    assert it.ask(8080) == "reset"
    it.reload([{"action": "deny", "identities": ["spiffe://cluster.local/ns/shop/sa/*"]}, {"action": "allow"}])
    assert it.ask(8080) == b"x", "neither to be denied"


def test_a_reload_ends_what_it_denies_and_nothing_else(guarded):
    it = guarded([])
    goes, stays = it.connect(8080), it.connect(8081)
    for client in (goes, stays):
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    it.reload([{"action": "deny", "ports": [8080]}, {"action": "allow"}])
    assert ending(goes) == (b"", "reset")
    stays.sendall(b"y")
    assert stays.recv(1) == b"y"
    eventually(lambda: it.proxy.ended("inbound", "inbound").get("denied") == 1, what="the account")
    it.reload([])
    assert it.ask(8080) == b"x"
    stays.close()


def test_outbound_and_plain_listeners_are_not_asked(guarded):
    it = guarded([{"action": "deny"}])
    server = it.client.inside(lambda: Server(echo, host=CLIENT, port=9000))
    with it.space.inside(lambda: connect(9000, CLIENT, timeout=5)) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    server.close()
    assert it.ask(8080) == "reset"


def test_ipv6_sources(guarded):
    it = guarded([{"action": "allow", "sources": [CLIENT6]}])
    assert it.ask(8080) == "reset"
    assert it.ask(8082, SERVER6) == b"x"
    assert it.proxy.ended("inbound", "inbound")["denied"] == 1


def test_it_is_explained(guarded):
    it = guarded([{"action": "deny", "ports": [8081]}, {"action": "allow", "identities": ["spiffe://cluster.local/ns/shop/sa/*"]}])

    def explain(*words, check=True):
        return run([f"{it.proxy.programs}/outriggerctl", "--socket", it.proxy.socket_path, *words], check=check)

    assert explain("authz", "explain", "port=8081", "source=10.0.0.1").stdout == "deny: authorization[0] matches first\n"
    assert explain("authz", "explain", "port=8080", "source=10.0.0.1").stdout == "deny: no rule matches\n"
    words = ["authz", "explain", "port=8080", "identity=spiffe://cluster.local/ns/shop/sa/web"]
    assert explain(*words).stdout == "allow: authorization[1] matches first\n"
    assert json.loads(explain("--json", *words).stdout) == {"verdict": "allow", "rule": 1}
    assert explain("authz", "explain", "port=0", check=False).returncode == 1
    assert explain("authz", "explain", "port=80", "identity=spiffe://x/*", check=False).returncode == 1
    assert explain("authz", "explain", check=False).returncode == 2
    assert explain("authz", "explain", "8080", check=False).returncode == 2
