"""Mode tproxy: the app sees the client's own address, every byte and ending arrives, and nothing gets past a dead proxy."""

import hashlib
import os
import signal
import socket
import threading
import time

import pytest

from tests.support.clients import connect, ending, linger_zero, pattern
from tests.support.namespaces import ROOT_AS_PROXY
from tests.support.processes import eventually
from tests.support.servers import Server, receive_all

CLIENT, SERVER = "10.78.0.1", "10.78.0.2"
CLIENT6, SERVER6 = "fd4e::1", "fd4e::2"
BOTH = [(CLIENT, SERVER), (CLIENT6, SERVER6)]


def tell_peer(connection):
    """Says who is there, then gives back what it gets."""
    connection.sendall(f"{connection.getpeername()[0]} ".encode())
    connection.sendall(receive_all(connection))
    connection.close()


class World:
    """The server's pod has rules of mode tproxy, a proxy and an app."""

    def __init__(self, pods, start, programs, options=(), config=None, app="0.0.0.0", uid=ROOT_AS_PROXY, function=tell_peer):
        self.client, self.server = pods
        self.init = os.path.join(programs, "outrigger-init")
        self.done = self.server.run([self.init, "-m", "tproxy", *options])
        self.proxy = start({"intercept": {"inbound": {"mode": "tproxy"}}, "health": {"port": 15021}, "drain": {"timeout": "500ms"},
                            **(config or {})}, namespace=self.server, uid=uid)
        self.apps = [self.server.inside(lambda: Server(function, host=app, port=8080, backlog=1024))]
        if app == "0.0.0.0":
            self.apps.append(self.server.inside(lambda: Server(function, host=SERVER6, port=8080, family=socket.AF_INET6, backlog=1024)))

    def ask(self, host, data=b"hello", port=8080):
        """What the client's pod gets."""
        def inside():
            with connect(port, host, timeout=10) as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                return ending(connection)
        return self.client.inside(inside)

    def close(self):
        for app in self.apps:
            app.close()


@pytest.fixture
def init_path(programs):
    return os.path.join(programs, "outrigger-init")


@pytest.fixture
def world(pods, start, programs):
    made = []

    def make(**options):
        made.append(World(pods, start, programs, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("client, server", BOTH)
def test_app_sees_the_client_s_address(world, client, server):
    space = world()
    for _ in range(20):
        assert space.ask(server) == (f"{client} hello".encode(), "end")
    eventually(lambda: space.proxy.ended("inbound", "inbound") == {"completed": 20}, what="through the proxy")


def test_large_streams_arrive_whole_from_many_at_once(world):
    space, data = world(), pattern(1 << 20)
    results = []

    def ask(host, own):
        word, how = space.ask(host, data)
        results.append((word == own.encode() + b" " + data, how))

    threads = [threading.Thread(target=ask, args=(host, own)) for own, host in BOTH * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(True, "end")] * 20


@pytest.mark.parametrize("client, server", BOTH)
def test_reset_is_passed_on_both_ways(world, client, server):
    seen = []

    def cut(connection):
        seen.append(ending(connection))
        connection.close()

    space = world(function=cut)

    def inside():
        connection = connect(8080, server)
        connection.sendall(b"half")
        eventually(lambda: space.proxy.active() == 1, what="accepted")
        linger_zero(connection)
        connection.close()

    space.client.inside(inside)
    eventually(lambda: seen == [(b"half", "reset")], what="the app's view")


def test_app_on_localhost_alone_is_dialled_from_the_proxy_s_address(world):
    endpoint = {"inbound": {"mode": "tproxy", "ports": [{"ports": [8080], "cluster": {"endpoints": [{"address": "127.0.0.1:8080"}]}}]}}
    space = world(app="127.0.0.1", config={"intercept": endpoint})
    assert space.ask(SERVER) == (b"127.0.0.6 hello", "end")


def test_endpoint_on_another_machine_is_dialled_from_an_address_of_ours(world):
    """Regression: it was dialled from the client's address, and answered the client."""
    endpoint = {"inbound": {"mode": "tproxy", "ports": [{"ports": [8080], "cluster": {"endpoints": [{"address": f"{CLIENT}:9000"}]}}]}}
    space = world(config={"intercept": endpoint})
    other = space.client.inside(lambda: Server(tell_peer, host=CLIENT, port=9000))
    assert space.ask(SERVER) == (f"{SERVER} hello".encode(), "end")
    other.close()


def test_call_of_the_app_s_own_service_comes_from_the_proxy_s_address(world):
    space = world()

    def inside():
        with connect(8080, SERVER) as connection:
            connection.shutdown(socket.SHUT_WR)
            return ending(connection)

    # The app's own call by address stays direct; the proxy's, as its uid and gid show, is inbound.
    assert space.server.inside(inside) == (f"{SERVER} ".encode(), "end")
    os.setegid(1337)
    try:
        assert space.server.inside(inside) == (b"127.0.0.6 ", "end")
    finally:
        os.setegid(0)


@pytest.mark.parametrize("client, server", BOTH)
def test_dead_proxy_means_refused(world, client, server):
    space = world()
    space.proxy.program.signal(signal.SIGKILL)
    space.proxy.program.wait()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            space.ask(server)
    assert space.apps[0].accepted == space.apps[-1].accepted == 0


def test_first_packet_that_comes_again_does_not_get_past_a_proxy_that_has_died(world):
    """Regression: NAT decides once for each connection, and had let the first one pass to the transparent socket."""
    space = world()
    space.client.run(["nft", "add table inet deaf; add chain inet deaf input { type filter hook input priority -400; }; "
                      "add rule inet deaf input tcp flags & (syn | ack) == syn | ack drop"])

    def die():
        time.sleep(0.4)
        space.proxy.program.signal(signal.SIGKILL)
        space.proxy.program.wait()
        space.client.run(["nft", "delete table inet deaf"])

    killer = threading.Thread(target=die)
    killer.start()
    with pytest.raises(ConnectionRefusedError):
        space.ask(SERVER)
    killer.join()
    assert space.apps[0].accepted == 0


def test_established_connection_of_a_dead_proxy_is_reset(world):
    space = world()

    def inside():
        with connect(8080, SERVER) as connection:
            assert connection.recv(100) == f"{CLIENT} ".encode()
            space.proxy.program.signal(signal.SIGKILL)
            space.proxy.program.wait()
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                for _ in range(20):
                    connection.sendall(b"x")
                    time.sleep(0.05)

    space.client.inside(inside)


def test_client_with_many_low_ports_meets_none_of_the_proxy_s(world):
    """Regression: the proxy's port towards the app was one that the client used, and conntrack took both for one."""
    space = world()

    def inside():
        connections = []
        for port in range(2000, 2600):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.settimeout(5)
            connection.bind((CLIENT, port))
            connection.connect((SERVER, 8080))
            connections.append(connection)
            assert connection.recv(100) == f"{CLIENT} ".encode(), port
        for connection in connections:
            connection.sendall(b"still")
            connection.shutdown(socket.SHUT_WR)
        for connection in connections:
            assert ending(connection) == (b"still", "end")
            connection.close()

    space.client.inside(inside)


def test_newly_excluded_port_leaves_what_is_under_way(world):
    space = world()

    def inside():
        with connect(8080, SERVER) as connection:
            assert connection.recv(100) == f"{CLIENT} ".encode()
            space.server.run([space.init, "--no-verify", "-m", "tproxy", "-d", "8080"])
            connection.sendall(b"still")
            connection.shutdown(socket.SHUT_WR)
            return ending(connection)

    assert space.client.inside(inside) == (b"still", "end")


def test_proxy_in_mode_redirect_still_gets_what_comes_in(world):
    space = world(config={"intercept": {}}, uid=1337)
    assert space.ask(SERVER) == (b"127.0.0.6 hello", "end")
    assert space.ask(SERVER6) == (b"::6 hello", "end")


def test_proxy_without_net_admin_says_what_it_needs(pods, start):
    proxy = start({"intercept": {"inbound": {"mode": "tproxy"}}, "health": {"port": 15021}}, namespace=pods[0], uid=1337, wait=False)
    eventually(lambda: not proxy.program.is_running(), what="exit")
    assert "intercept.inbound.mode tproxy needs NET_ADMIN" in proxy.log()


def test_another_mark_and_table(world):
    space = world(options=["-t", "77", "-r", "177"], config={"intercept": {"inbound": {"mode": "tproxy", "tproxy_mark": 77}}})
    assert space.ask(SERVER) == (f"{CLIENT} hello".encode(), "end")
    assert "fwmark 0x4d lookup 177" in space.server.run(["ip", "rule"]).stdout


def test_established_connections_outlive_the_replacement_of_the_rules(world):
    space = world()

    def inside():
        with connect(8080, SERVER) as connection:
            parts = [connection.recv(100)]
            for port in (1, 2, 3):
                space.server.run([space.init, "--no-verify", "-m", "tproxy", "-o", str(port)])
                connection.sendall(b"still ")
            connection.shutdown(socket.SHUT_WR)
            parts.append(receive_all(connection))
            return b"".join(parts)

    digest = hashlib.sha256(space.client.inside(inside)).hexdigest()
    assert digest == hashlib.sha256(f"{CLIENT} still still still ".encode()).hexdigest()


def test_verify_proves_it_with_the_running_proxy(world):
    space = world()
    assert "IPv4 inbound: verified" in space.done.stdout and "where no proxy listens yet" in space.done.stdout
    done = space.server.run([space.init, "verify"])
    assert done.stdout.count("and the running proxy answered") == 4
    assert "tproxy: packets with mark 1337 are delivered on this machine" in done.stdout


def failed_verify(space, problem):
    done = space.server.run([space.init, "verify"], check=False)
    return done.returncode == 95 and problem in done.stderr


@pytest.mark.parametrize("family", ["-4", "-6"])
@pytest.mark.parametrize("words", [["rule", "delete", "priority", "133"], ["route", "delete", "local", "default", "dev", "lo", "table", "133"]])
def test_verify_finds_the_routing_gone(world, family, words):
    space = world()
    space.server.run(["ip", family, *words])
    name = "IPv4" if family == "-4" else "IPv6"
    assert failed_verify(space, f"{name} tproxy: packets with mark 1337 are not delivered on this machine")
    space.server.run([space.init, "-m", "tproxy"])


@pytest.mark.parametrize("interface", ["all", "eth0"])
def test_verify_names_the_setting_that_drops_marked_packets(world, interface):
    space = world()
    space.server.run(["sysctl", "-qw", f"net.ipv4.conf.{interface}.src_valid_mark=1"])
    assert failed_verify(space, f"net.ipv4.conf.{interface}.src_valid_mark is 1")
    with pytest.raises(TimeoutError):
        space.ask(SERVER)


@pytest.mark.parametrize("settings", [["lo.src_valid_mark"], ["eth0.src_valid_mark", "eth0.accept_local"], ["side0.src_valid_mark"]])
def test_setting_that_drops_nothing_does_not_matter(world, settings):
    """Regression: verify failed over loopback, excluded interfaces, and where accept_local lets the packets in."""
    space = world()
    space.server.run(["ip", "link", "add", "side0", "type", "veth", "peer", "name", "side1"])
    space.server.run([space.init, "-m", "tproxy", "-c", "side0"])
    for setting in settings:
        space.server.run(["sysctl", "-qw", f"net.ipv4.conf.{setting}=1"])
    space.server.run([space.init, "verify"])
    assert space.ask(SERVER) == (f"{CLIENT} hello".encode(), "end")


def test_without_ipv6_mode_tproxy_works_over_ipv4(pods, init_path):
    """Regression: verify missed the policy routing of a family that is not there."""
    _, server = pods
    for interface in ("all", "default", "lo", "eth0"):
        server.run(["sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1"])
    done = server.run([init_path, "-m", "tproxy"])
    assert "IPv6: not available here" in done.stdout and "tproxy: packets with mark 1337 are delivered" in done.stdout
    server.run([init_path, "verify"])


def test_verify_compares_the_running_proxy_s_mode_and_mark(world):
    space = world(options=["-t", "77"])
    assert failed_verify(space, "the running proxy marks its packets to the app with 1337, the rules with 77")
    space.server.run([space.init, "-m", "tproxy"])
    done = space.server.run([space.init, "-m", "redirect"])
    assert "the running proxy is in mode tproxy, the rules are not" in done.stdout


def test_verify_says_that_a_proxy_in_mode_redirect_hides_the_client(world):
    space = world(config={"intercept": {}}, uid=1337)
    done = space.server.run([space.init, "verify"])
    assert "the rules are of mode tproxy, the running proxy is not" in done.stdout
