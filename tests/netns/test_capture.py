"""Unmodified clients through both sidecars: captured by the rules, carried exactly, refused when the proxy is dead."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import threading
import time

import pytest

from tests.support.clients import connect, ending
from tests.support.namespaces import ROOT_AS_PROXY
from tests.support.postgres import Postgres
from tests.support.processes import eventually, run
from tests.support.servers import Nginx, Server, echo, receive_all

CLIENT, SERVER = "10.78.0.1", "10.78.0.2"
SERVER6 = "fd4e::2"
APP = 1000
BOTH = [SERVER, SERVER6]


class Mesh:
    """Two pods with a sidecar each."""

    def __init__(self, pods, start, programs, client=None, server=None):
        self.client, self.server = pods
        self.init = os.path.join(programs, "outrigger-init")
        self.start = start
        for space in pods:
            space.run([self.init])
        self.client_proxy = self.start_proxy(self.client, client)
        self.server_proxy = self.start_proxy(self.server, server)

    def start_proxy(self, space, config=None):
        return self.start({"intercept": {}, "health": {"port": 15021}, "drain": {"timeout": "500ms"}, **(config or {})},
                          namespace=space, uid=1337)

    def captured(self):
        return (self.client_proxy.traffic("passthrough", "outbound")["opened"],
                self.server_proxy.traffic("inbound", "inbound")["opened"])


@pytest.fixture
def mesh(pods, start, programs):
    return lambda **options: Mesh(pods, start, programs, **options)


def url(host, port, path="/"):
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"


@pytest.fixture
def nginx(pods, tmp_path):
    server = Nginx(tmp_path / "nginx", [f"{SERVER}:8080", f"[{SERVER6}]:8080"], "hello", pods[1])
    yield server
    server.stop()


@pytest.mark.parametrize("host", BOTH)
def test_curl_is_captured_on_both_sides(mesh, nginx, host):
    both = mesh()
    before = both.captured()
    done = both.client.run(["curl", "-sS", "--max-time", "10", url(host, 8080)], uid=APP)
    assert done.stdout == "hello\n"
    eventually(lambda: both.captured() == (before[0] + 1, before[1] + 1), what="both captured it")


@pytest.mark.parametrize("host", BOTH)
def test_wrk_with_64_connections_has_no_error(mesh, nginx, host):
    both = mesh()
    for header in ([], ["-H", "Connection: close"]):
        done = both.client.run(["wrk", "-t1", "-c64", "-d2s", *header, url(host, 8080)], uid=APP)
        assert "Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout
        assert int(re.search(r"(\d+) requests in", done.stdout).group(1)) > 500
    eventually(lambda: both.client_proxy.active() == 0 and both.server_proxy.active() == 0, what="no connection left", timeout=5)


@pytest.mark.parametrize("host", BOTH)
def test_gigabyte_each_way_has_equal_checksums(mesh, nginx, host, tmp_path):
    both = mesh()
    size = 1 << 30
    path = os.path.join(nginx.directory, "large")
    run(["sh", "-c", f"head -c {size} /dev/urandom > {path}"])
    expected = run(["sha256sum", path]).stdout.split()[0]
    done = both.client.run(["sh", "-c", f"curl -sS --max-time 60 '{url(host, 8080, '/files/large')}' | sha256sum"], uid=APP,
                           timeout=90)
    assert done.stdout.split()[0] == expected

    digest = []

    def receive(connection):
        sum_, data = hashlib.sha256(), True
        while data := connection.recv(1 << 20):
            sum_.update(data)
        digest.append(sum_.hexdigest())
        connection.sendall(sum_.hexdigest().encode())
        connection.close()

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    receiver = both.server.inside(lambda: Server(receive, host=host, port=9000, family=family))

    def send():
        with connect(9000, host, timeout=60) as connection, open(path, "rb") as file:
            connection.sendfile(file)
            connection.shutdown(socket.SHUT_WR)
            return receive_all(connection)

    assert both.client.inside(send).decode() == expected
    receiver.close()
    os.unlink(path)


@pytest.mark.parametrize("host", BOTH)
def test_server_first_banner_has_no_added_delay(mesh, host):
    both = mesh()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = both.server.inside(lambda: Server(lambda connection: (connection.sendall(b"220 ready\r\n"), receive_all(connection),
                                                                   connection.close()), host=host, port=2525, family=family))

    def ask():
        begun = time.monotonic()
        with connect(2525, host) as connection:
            assert connection.recv(100) == b"220 ready\r\n"
            took = time.monotonic() - begun
            connection.shutdown(socket.SHUT_WR)
            assert ending(connection) == (b"", "end")
        return took

    both.client.inside(ask)  # the first one asks for the neighbour's address as well
    assert min(both.client.inside(ask) for _ in range(5)) < 0.05
    server.close()


@pytest.mark.parametrize("host", BOTH)
def test_half_close_like_ssh_lets_the_reply_through(mesh, host):
    def sort_lines(connection):
        request = receive_all(connection)
        time.sleep(0.2)
        connection.sendall(b"".join(sorted(request.splitlines(True))))
        connection.close()

    both = mesh()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = both.server.inside(lambda: Server(sort_lines, host=host, port=2222, family=family))

    def ask():
        with connect(2222, host) as connection:
            connection.sendall(b"b\nc\na\n")
            connection.shutdown(socket.SHUT_WR)
            return ending(connection)

    assert both.client.inside(ask) == (b"a\nb\nc\n", "end")
    server.close()


@pytest.mark.parametrize("host", BOTH)
def test_redis_cli_works(mesh, host, tmp_path):
    both = mesh()
    server = both.server.start(["redis-server", "--bind", host, "--port", "6379", "--save", "", "--protected-mode", "no", "--dir",
                                tmp_path], tmp_path / "redis.log")
    eventually(lambda: "Ready to accept" in server.log() or not server.is_running(), what="redis", timeout=15)
    redis = ["redis-cli", "-h", host]
    assert both.client.run([*redis, "set", "k", "v" * 100], uid=APP).stdout == "OK\n"
    assert both.client.run([*redis, "get", "k"], uid=APP).stdout == "v" * 100 + "\n"
    done = both.client.run(["sh", "-c", f"seq 1 5000 | sed 's/^/incrby sum /' | redis-cli -h {host} --pipe"], uid=APP)
    assert "errors: 0, replies: 5000" in done.stdout
    assert both.client.run([*redis, "get", "sum"], uid=APP).stdout == f"{5000 * 5001 // 2}\n"
    server.stop()


@pytest.fixture
def postgres(pods, tmp_path):
    """A real PostgreSQL in the server pod."""
    server = Postgres(tmp_path / "postgres.log", pods[1])
    yield server
    server.stop()


def test_psql_works_over_both_families(mesh, postgres):
    both = mesh()
    for host in BOTH:
        psql = ["psql", "-h", host, "-U", "postgres", "-At", "-c"]
        assert both.client.run([*psql, "select sum(n) from generate_series(1, 100000) n"], uid=APP).stdout == "5000050000\n"
        large = both.client.run([*psql, "select repeat('x', 3000000)"], uid=APP).stdout
        assert len(large) == 3000001
    eventually(lambda: both.server_proxy.ended("inbound", "inbound")["completed"] >= 4, what="counted")


def test_dead_proxy_refuses_and_a_new_one_restores_without_init(mesh, nginx):
    both = mesh()
    ask = ["curl", "-sS", "--max-time", "5", url(SERVER, 8080)]
    assert both.client.run(ask, uid=APP).stdout == "hello\n"
    for space, proxy in ((both.client, both.client_proxy), (both.server, both.server_proxy)):
        proxy.program.signal(signal.SIGKILL)
        proxy.program.wait()
        done = both.client.run(ask, uid=APP, check=False)
        assert done.returncode in (7, 56, 52), done  # refused, or reset behind the client's own sidecar
        assert "hello" not in done.stdout
        both.start_proxy(space)
        assert both.client.run(ask, uid=APP).stdout == "hello\n"


def test_what_the_proxys_uid_dials_goes_straight(mesh, nginx):
    """The loop breaker."""
    both = mesh()
    before = both.captured()
    assert both.client.run(["curl", "-sS", url(SERVER, 8080)], uid=1337).stdout == "hello\n"
    assert both.captured()[0] == before[0]


def test_capture_ports_dialled_directly_are_closed_without_a_loop(mesh):
    both = mesh()
    for space, host in ((both.client, "127.0.0.1"), (both.client, CLIENT), (both.server, CLIENT), (both.client, "::1")):
        for port in (15001, 15006):

            def ask():
                try:
                    with connect(port, host, timeout=5) as connection:
                        return ending(connection)
                except ConnectionResetError:
                    return b"", "reset"

            assert space.inside(ask) == (b"", "reset"), (host, port)
    for proxy in (both.client_proxy, both.server_proxy):
        eventually(lambda: proxy.active() == 0, what="no connection left")
        reasons = set(proxy.ended("passthrough", "outbound")) | set(proxy.ended("inbound", "inbound"))
        assert reasons <= {"not_intercepted", "loop", "completed", "client_reset", "upstream_reset"}, reasons


def test_self_calls_by_own_address_and_localhost_stay_direct(mesh, nginx):
    both = mesh()
    local = both.server.inside(lambda: Server(echo, host="127.0.0.1", port=7000))
    before = both.captured(), both.server_proxy.traffic("passthrough", "outbound")["opened"]
    assert both.server.run(["curl", "-sS", url(SERVER, 8080)], uid=APP).stdout == "hello\n"

    def ask():
        with connect(7000) as connection:
            connection.sendall(b"x")
            return connection.recv(1)

    assert both.server.inside(ask) == b"x"
    assert (both.captured(), both.server_proxy.traffic("passthrough", "outbound")["opened"]) == before
    local.close()


def test_self_call_by_service_address_passes_inbound_once(mesh, nginx):
    service = "10.96.0.1"
    both = mesh(server={"clusters": [{"name": "self", "match": [{"addresses": [service], "ports": [80]}],
                                      "endpoints": [{"address": f"{SERVER}:8080"}]}]})
    before = both.server_proxy.traffic("inbound", "inbound")["opened"]
    assert both.server.run(["curl", "-sS", url(service, 80)], uid=APP).stdout == "hello\n"
    eventually(lambda: both.server_proxy.traffic("self", "outbound")["ended"].get("completed") == 1, what="outbound")
    eventually(lambda: both.server_proxy.traffic("inbound", "inbound")["opened"] == before + 1, what="the account")


def test_app_sees_inbound_connections_from_its_own_machine(mesh):
    """The proxy dials from 127.0.0.6 and ::6, which the rules never capture."""
    both = mesh()
    for host, family, expected in ((SERVER, socket.AF_INET, "127.0.0.6"), (SERVER6, socket.AF_INET6, "::6")):
        server = both.server.inside(lambda: Server(
            lambda connection: (connection.sendall(connection.getpeername()[0].encode()), connection.close()), host=host, port=9100,
            family=family))

        def ask():
            with connect(9100, host) as connection:
                return ending(connection)

        assert both.client.inside(ask) == (expected.encode(), "end")
        server.close()


def test_unmatched_refuse_lets_only_clusters_through(mesh, nginx):
    both = mesh(client={"intercept": {"outbound": {"unmatched": "refuse"}},
                        "clusters": [{"name": "web", "match": [{"addresses": ["10.96.0.80"], "ports": [80]}],
                                      "endpoints": [{"address": f"{SERVER}:8080"}, {"address": f"[{SERVER6}]:8080"}]}]})
    for _ in range(2):
        assert both.client.run(["curl", "-sS", url("10.96.0.80", 80)], uid=APP).stdout == "hello\n"
    assert both.client.run(["curl", "-sS", url(SERVER, 8080)], uid=APP, check=False).returncode in (7, 56)
    eventually(lambda: both.client_proxy.ended("passthrough", "outbound").get("unmatched") == 1, what="the account")


def test_health_address_is_never_captured(mesh):
    both = mesh()
    done = both.client.run(["curl", "-sS", url(SERVER, 15021, "/healthz/ready")], uid=0)
    assert done.stdout == "ready\n"
    assert both.server_proxy.traffic("inbound", "inbound")["opened"] == 0


def blackhole(space, port):
    """Drops what comes for a port, before it is redirected."""
    space.run(["nft", "add table inet hole; add chain inet hole in { type filter hook prerouting priority raw; }; "
                      f"add rule inet hole in tcp dport {port} drop"])


def test_blackholed_endpoint_times_out_and_the_next_is_tried(mesh, pods):
    server = pods[1].inside(lambda: Server(echo, host=SERVER, port=9201))
    both = mesh(client={"clusters": [{"name": "two", "match": [{"addresses": ["10.96.0.2"]}],
                                      "endpoints": [{"address": f"{SERVER}:9200"}, {"address": f"{SERVER}:9201"}],
                                      "timeouts": {"connect": "300ms"}, "load_balancing": {"policy": "round_robin"}}]})
    blackhole(both.server, 9200)

    def ask():
        begun = time.monotonic()
        with connect(9200, "10.96.0.2") as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
        return time.monotonic() - begun

    durations = [both.client.inside(ask) for _ in range(4)]
    assert sorted(duration > 0.25 for duration in durations) == [False, False, True, True]
    eventually(lambda: both.client_proxy.traffic("two", "outbound")["connect_failures"] == {"timeout": 2}, what="the account")
    server.close()


def test_blackholed_established_peer_is_given_up_after_dead_peer(mesh, pods):
    """Without the look at what is unacknowledged the kernel would take 15 minutes."""
    server = pods[1].inside(lambda: Server(echo, host=SERVER, port=9300))
    both = mesh(client={"defaults": {"timeouts": {"dead_peer": "2s", "keepalive": "1h"}}})

    def ask():
        with connect(9300, SERVER, timeout=20) as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
            blackhole(both.server, 9300)
            connection.sendall(b"y")
            begun = time.monotonic()
            assert ending(connection) == (b"", "reset")
            return time.monotonic() - begun

    assert 1.8 < both.client.inside(ask) < 5
    eventually(lambda: both.client_proxy.ended("passthrough", "outbound").get("upstream_dead") == 1, what="the account")
    server.close()


def test_blackholed_idle_peer_is_found_by_keepalive(mesh, pods):
    server = pods[1].inside(lambda: Server(echo, host=SERVER, port=9301))
    both = mesh(client={"defaults": {"timeouts": {"dead_peer": "4s", "keepalive": "1s"}}})

    def ask():
        with connect(9301, SERVER, timeout=20) as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
            time.sleep(1.5)  # long enough to last: keepalive is set after a second
            blackhole(both.server, 9301)
            return ending(connection)

    assert both.client.inside(ask) == (b"", "reset")
    eventually(lambda: both.client_proxy.ended("passthrough", "outbound").get("upstream_dead") == 1, what="the account")
    server.close()


def test_half_closed_connection_outlives_the_nat_entrys_timer(mesh, pods):
    """
    The server has finished and the app goes on sending much later. Without keepalive the kernel's NAT entry (60 s in CLOSE_WAIT, here 6 s)
    would be gone, and the app's bytes with it. Regression: with keepalive well below dead_peer the probes came at a third of the latter.
    """
    got = {}

    def finish_and_listen(connection):
        connection.shutdown(socket.SHUT_WR)
        got["bytes"] = receive_all(connection)

    server = pods[1].inside(lambda: Server(finish_and_listen, host=SERVER, port=9302))
    keepalive = {"defaults": {"timeouts": {"keepalive": "2s"}}}
    both = mesh(client=keepalive, server=keepalive)
    for space in pods:
        space.run(["sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_close_wait=6"])

    def ask():
        with connect(9302, SERVER, timeout=20) as connection:
            assert connection.recv(1) == b""
            time.sleep(15)
            connection.sendall(b"late")
            connection.shutdown(socket.SHUT_WR)
            eventually(lambda: "bytes" in got, what="the late bytes")

    both.client.inside(ask)
    assert got["bytes"] == b"late"
    eventually(lambda: both.client_proxy.active() == both.server_proxy.active() == 0, what="no connection left")
    server.close()


def test_service_returns_after_each_spell_of_drops_and_rejects(mesh, pods):
    """Silence, refusals and good times in turn; whenever the way is open the service is there, and nothing is left over."""
    server = pods[1].inside(lambda: Server(echo, host=SERVER, port=9303))
    both = mesh(client={"defaults": {"timeouts": {"connect": "500ms", "dead_peer": "2s"}}})

    def try_once():
        try:
            with connect(9303, SERVER, timeout=6) as connection:
                connection.sendall(b"x")
                return connection.recv(1) == b"x"
        except OSError:
            return False

    for verdict in ("drop", "reject with tcp reset", "drop", "reject with icmpx port-unreachable"):
        assert both.client.inside(lambda: eventually(try_once, what="service", timeout=15))
        both.server.run(["nft", "add table inet hole; add chain inet hole in { type filter hook input priority -300; }; "
                                f"add rule inet hole in tcp dport 15006 {verdict}"])
        assert not both.client.inside(try_once)
        both.server.run(["nft", "delete table inet hole"])
    assert both.client.inside(lambda: eventually(try_once, what="service", timeout=15))
    eventually(lambda: both.client_proxy.active() == both.server_proxy.active() == 0, what="no connection left", timeout=20)
    server.close()


def test_server_killed_behind_both_sidecars_is_a_reset_for_the_client(mesh, pods):
    both = mesh()
    app = both.server.start(["/usr/bin/python3", "-c",
                             "import socket, time\n"
                             f"s = socket.socket(); s.bind(('{SERVER}', 9400)); s.listen()\n"
                             "c, _ = s.accept(); c.sendall(b'part'); c.recv(10); time.sleep(60)"], "/tmp/outrigger-test-app.log")
    result = {}

    def ask():
        with eventually(lambda: try_connect(9400), what="the app") as connection:
            got = connection.recv(4)
            while len(got) < 4:
                got += connection.recv(4)
            connection.sendall(b"unread" * 1000)
            time.sleep(0.3)
            os.kill(app.pid, signal.SIGKILL)
            rest, how = ending(connection)
            result["end"] = (got + rest, how)

    thread = threading.Thread(target=lambda: both.client.inside(ask))
    thread.start()
    thread.join(20)
    app.wait()
    assert result["end"] == (b"part", "reset")


def try_connect(port):
    try:
        connection = connect(port, SERVER)
        connection.settimeout(1)
        connection.recv(1, socket.MSG_PEEK)
        connection.settimeout(10)
        return connection
    except OSError:
        return None


@pytest.mark.parametrize("mode", ["redirect", "tproxy"])
def test_call_of_a_link_local_address_reaches_neither_the_app_nor_localhost(pods, start, programs, mode):
    """What listens on localhost alone stays out of reach of the neighbours; the app itself cannot be dialled there (docs)."""
    client, server = pods
    local = server.run(["ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link"]).stdout.split()[3].split("/")[0]
    server.run([os.path.join(programs, "outrigger-init"), "-m", mode])
    start({"intercept": {"inbound": {"mode": mode}}, "drain": {"timeout": "500ms"}}, namespace=server,
          uid=1337 if mode == "redirect" else ROOT_AS_PROXY)
    apps = [server.inside(lambda host=host, port=port: Server(echo, host=host, port=port, family=socket.AF_INET6))
            for host, port in (("::", 8080), ("::1", 7000))]
    # The address is usable a second or two after its interface came up.
    eventually(lambda: "tentative" not in server.run(["ip", "-6", "address", "show", "dev", "eth0"]).stdout +
               client.run(["ip", "-6", "address", "show", "dev", "eth0"]).stdout, timeout=10, what="the link-local addresses")
    for port in (8080, 7000):
        def inside(port=port):
            with socket.create_connection((f"{local}%eth0", port), timeout=10) as connection:
                return ending(connection)

        with contextlib.suppress(ConnectionResetError):
            assert client.inside(inside) == (b"", "reset")
    assert [app.accepted for app in apps] == [0, 0]
    for app in apps:
        app.close()
