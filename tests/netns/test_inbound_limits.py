"""How many clients an inbound port may have: together and each source, that port alone; the app's own connections do not count."""

import os
import time

import pytest

from tests.support.clients import outcome, served
from tests.support.processes import eventually
from tests.support.servers import Server, echo

SERVER = "10.78.0.2"
RESET = (b"", "reset")


@pytest.fixture
def limited(pods, start, programs):
    """Two apps behind inbound interception; `served` and `outcome` are from the other pod, which has two addresses."""
    client, server = pods
    client.run(["ip", "address", "add", "10.78.0.3/24", "dev", "eth0"])
    apps = [server.inside(lambda port=port: Server(echo, host="0.0.0.0", port=port)) for port in (8080, 8081)]
    apps.append(client.inside(lambda: Server(echo, host="10.78.0.1", port=9000)))

    class Limited:
        def __init__(self, ports, **config):
            server.run([os.path.join(programs, "outrigger-init")])
            self.proxy = start({"intercept": {"inbound": {"ports": ports}}, "health": {"port": 15021}, "drain": {"timeout": "200ms"},
                                **config}, namespace=server, uid=1337)

        @staticmethod
        def served(port, source="10.78.0.1"):
            return client.inside(lambda: served(port, host=SERVER, source=source))

        @staticmethod
        def outcome(port, source="10.78.0.1"):
            return client.inside(lambda: outcome(port, b"x", host=SERVER, source=source))

        @staticmethod
        def app_calls(port=9000):
            return server.inside(lambda: served(port, host="10.78.0.1"))

    yield Limited
    for app in apps:
        app.close()


def test_a_port_has_so_many_clients_and_another_port_others(limited):
    it = limited([{"ports": 8080, "limits": {"max_connections": 2}}])
    clients = [it.served(8080), it.served(8080, "10.78.0.3"), it.served(8081), it.served(8081), it.served(8081)]
    assert it.outcome(8080) == RESET and it.outcome(8080, "10.78.0.3") == RESET
    assert it.proxy.ended("inbound:8080", "inbound") == {"max_connections": 2}
    clients[0].close()
    eventually(lambda: it.proxy.active() == 4, what="a free place")
    clients[0] = it.served(8080, "10.78.0.3")
    for client in clients:
        client.close()


def test_each_source_has_its_places_at_the_port_and_in_all(limited):
    it = limited([{"ports": 8080, "limits": {"max_connections_per_source": 1}}], limits={"max_connections_per_source": 3})
    clients = [it.served(8080), it.served(8080, "10.78.0.3")]
    assert it.outcome(8080) == RESET and it.outcome(8080, "10.78.0.3") == RESET
    clients += [it.served(8081), it.served(8081)]
    assert it.outcome(8081) == RESET
    clients.append(it.served(8081, "10.78.0.3"))
    assert it.proxy.ended("inbound:8080", "inbound") == {"max_connections_per_source": 2}
    assert it.proxy.ended("inbound", "inbound") == {"max_connections_per_source": 1}
    clients[2].close()  # what was refused at the port has left nothing in the account of all
    eventually(lambda: it.proxy.active() == 4, what="a free place")
    clients[2] = it.served(8081)
    assert it.outcome(8081) == RESET
    for client in clients:
        client.close()


def test_the_apps_own_connections_are_not_limited_by_it(limited):
    it = limited([], limits={"max_connections_per_source": 1, "accept_rate": 1})
    begun = time.monotonic()
    mine = [it.app_calls() for _ in range(10)]
    assert time.monotonic() - begun < 2
    with it.served(8080):
        begun = time.monotonic()
        waiting = [it.served(8081, "10.78.0.3")]
        assert time.monotonic() - begun > 0.3, "those of others are"
        mine += [it.app_calls() for _ in range(10)]
    assert it.proxy.traffic("passthrough", "outbound")["opened"] == 20
    for client in (*mine, *waiting):
        client.close()


@pytest.mark.parametrize("limits", [{"max_connections": 1}, {"max_connections_per_source": 1}])
def test_a_sidecar_with_one_too_many_goes_to_another_endpoint(mesh, limits):
    apps = [mesh.serve(port=port) for port in (8080, 8081)]
    b = mesh.start_b(mesh.config_b(ports=[{"ports": 8080, "limits": limits}]))
    a = mesh.start_a(mesh.config_a(cluster={"endpoints": [{"address": f"10.78.0.2:{port}"} for port in (8080, 8081)],
                                            "load_balancing": {"policy": "round_robin"}, "retry": {"attempts": 2}}))
    clients = [mesh.connect() for _ in range(6)]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert [app.accepted for app in apps] == [1, 5]
    assert b.ended("inbound:8080", "inbound") == {next(iter(limits)): 2}
    causes = a.traffic("app", "listener")["connect_failures"]  # the reset comes in the handshake, or before the connect is looked at
    assert sum(causes.values()) == 2 and set(causes) <= {"tls", "reset_before_reply"}
    for client in clients:
        client.close()
