"""The PROXY protocol in and out, with HAProxy and nginx as the other ends; what is no header is reset and reaches nobody."""

import re
import socket
import time

import pytest
import yaml

from tests.support.clients import connect, ending, exchange, outcome, served
from tests.support.processes import Program, eventually, run
from tests.support.servers import echo, free_port, receive_all

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def tells(connection):
    """A server that sends back everything, header and all, once the client has finished."""
    connection.sendall(receive_all(connection))
    connection.close()


@pytest.fixture
def accepting(plain):
    """A listener that wants a header."""

    def make(endpoints, cluster=None, **config):
        port = free_port()
        proxy, _ = plain(endpoints, cluster, listeners=[
            {"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test", "accept_proxy_protocol": True}], **config)
        return proxy, port

    return make


@pytest.fixture
def haproxy(tmp_path):
    """HAProxy in TCP mode; `bind` and `server` are what stands behind those words."""
    made = []

    def make(bind, server):
        path = tmp_path / f"haproxy{len(made)}.cfg"
        path.write_text(f"""
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen test
  bind {bind}
  server one {server}
""")
        port = int(re.match(r"127\.0\.0\.1:(\d+)", bind).group(1))
        made.append(Program(["haproxy", "-f", path, "-db"], tmp_path / f"haproxy{len(made)}.log"))
        eventually(lambda: can_connect(port), what="HAProxy")
        return made[-1]

    yield make
    for program in made:
        program.stop()


def can_connect(port):
    try:
        connect(port).close()
    except OSError:
        return False
    return True


def test_v1_and_v2_tell_the_clients_address(plain, serve):
    server = serve(tells)
    for version in ("v1", "v2"):
        _, port = plain([server.port], {"proxy_protocol": version})
        with connect(port) as client:
            own = client.getsockname()[1]
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            told = receive_all(client)
        if version == "v1":
            assert told == b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nhello" % (own, port)
        else:
            assert told == SIGNATURE + b"\x21\x11\0\x0c" + bytes([127, 0, 0, 1] * 2) + own.to_bytes(2, "big") + port.to_bytes(2, "big") + b"hello"


def test_a_server_that_speaks_first_is_told_all_the_same(plain, serve):
    def first(connection):
        connection.sendall(b"220 ready\r\n")
        line = connection.recv(200)
        connection.sendall(line)
        connection.close()

    _, port = plain([serve(first).port], {"proxy_protocol": "v1"})
    with connect(port) as client:
        assert client.recv(11) == b"220 ready\r\n"
        assert client.recv(200).startswith(b"PROXY TCP4 127.0.0.1 ")


def test_each_attempt_is_told(plain, serve):
    """The first endpoint resets before a client byte was sent: the next has the header too."""

    def resets(connection):
        connection.recv(200)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    proxy, port = plain([serve(resets).port, serve(tells).port], {"proxy_protocol": "v1"})
    with connect(port) as client:
        time.sleep(0.2)
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        told = receive_all(client)
    assert told.startswith(b"PROXY TCP4 ") and told.endswith(b"\r\nx") and told.count(b"PROXY") == 1
    assert proxy.traffic("test", "listener")["connect_failures"] == {"reset_before_reply": 1}


def test_haproxy_in_front_and_haproxy_behind(accepting, haproxy, serve):
    for sends, told in (("send-proxy", "v2"), ("send-proxy-v2", "v1")):
        front, back, server = free_port(), free_port(), serve(tells)
        haproxy(f"127.0.0.1:{back} accept-proxy", f"127.0.0.1:{server.port} send-proxy")
        proxy, port = accepting([back], {"proxy_protocol": told})
        haproxy(f"127.0.0.1:{front}", f"127.0.0.1:{port} {sends}")
        with connect(front) as client:
            own = client.getsockname()[1]
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nhello" % (own, front)
        eventually(lambda process=proxy: process.ended("test").get("completed", 0) >= 1, what="the account")


def test_nginx_behind_sees_the_client(plain, tmp_path):
    port = free_port()
    (tmp_path / "nginx.conf").write_text(f"""daemon off; user root; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
events {{}}
http {{ access_log off; server {{ listen 127.0.0.1:{port} proxy_protocol; location / {{ return 200 "$proxy_protocol_addr $proxy_protocol_port\\n"; }} }} }}
""")
    nginx = Program(["/usr/sbin/nginx", "-e", f"{tmp_path}/error.log", "-c", tmp_path / "nginx.conf"], tmp_path / "log")
    try:
        eventually(lambda: can_connect(port), what="nginx")
        proxy, listener = plain([port], {"proxy_protocol": "v2", "health_check": {"type": "http", "interval": "100ms", "fall": 1}})
        done = run(["curl", "-sS", "--local-port", "40000-40100", f"http://127.0.0.1:{listener}/"])
        address, source = done.stdout.split()
        assert address == "127.0.0.1" and 40000 <= int(source) <= 40100
        time.sleep(0.5)
        assert proxy.status()["clusters"][0]["endpoints"][0]["health"] == "healthy", "its checks announce nobody"
    finally:
        nginx.stop()


def test_what_was_announced_is_what_is_shown_and_passed_on(accepting, serve):
    proxy, port = accepting([serve(tells).port], {"proxy_protocol": "v1"})
    with connect(port) as client:
        client.sendall(b"PROXY TCP6 2001:db8::1 2001:db8::2 1000 2000\r\nhel")
        eventually(lambda: "[2001:db8::1]:1000" in proxy.request("GET", "/connections")[1], what="the announced client")
        client.sendall(b"lo")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"PROXY TCP6 2001:db8::1 2001:db8::2 1000 2000\r\nhello"


def test_source_hash_is_of_the_announced_client(accepting, serve):
    servers = [serve(echo) for _ in range(4)]
    _, port = accepting([server.port for server in servers], {"load_balancing": {"policy": "source_hash"}})
    for i in range(32):
        assert exchange(port, b"PROXY TCP4 10.0.0.1 10.0.0.2 %d 2\r\nx" % (1000 + i)) == b"x"
    assert sorted(server.accepted for server in servers) == [0, 0, 0, 32]
    for i in range(64):
        assert exchange(port, b"PROXY TCP4 10.0.1.%d 10.0.0.2 1 2\r\nx" % i) == b"x"
    assert min(server.accepted for server in servers) > 0


def test_a_header_may_come_in_pieces(accepting, serve):
    _, port = accepting([serve(echo).port])
    for header in (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", SIGNATURE + b"\x21\x11\0\x0c" + bytes(range(12)), SIGNATURE + b"\x20\0\0\0"):
        with connect(port) as client:
            for byte in header + b"data":
                client.sendall(bytes([byte]))
                time.sleep(0.002)
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"data"


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 nonsense\r\n", b"P" * 200, SIGNATURE + b"\x31\x11\0\x0c" + bytes(12)])
def test_what_is_no_header_is_reset_and_reaches_nobody(accepting, serve, first):
    server = serve(echo)
    proxy, port = accepting([server.port])
    assert outcome(port, first) == (b"", "reset")
    assert proxy.ended("test") == {"proxy_protocol": 1} and server.accepted == 0


def test_a_client_that_says_nothing_is_not_waited_for(accepting, serve):
    proxy, port = accepting([serve(echo).port])
    begun = time.monotonic()
    silent, half = connect(port), connect(port)
    half.sendall(b"PROXY TCP4 1.2")
    assert ending(silent) == (b"", "reset") and ending(half) == (b"", "reset")
    assert 2.5 < time.monotonic() - begun < 5
    assert proxy.ended("test") == {"proxy_protocol": 2}


def test_a_client_that_goes_is_let_go(accepting, serve):
    proxy, port = accepting([serve(echo).port])
    connect(port).close()
    half = connect(port)
    half.sendall(b"PROXY TC")
    half.shutdown(socket.SHUT_WR)
    assert ending(half)[1] == "reset"
    half.close()
    eventually(lambda: proxy.ended("test") == {"client_gone": 2}, what="the account")


def test_a_reload_while_a_header_is_awaited(accepting, serve):
    proxy, port = accepting([serve(echo).port])
    client = connect(port)
    eventually(lambda: proxy.active() == 1, what="the connection")
    with open(proxy.config_path, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    config["clusters"][0]["timeouts"] = {"connect": "1s"}
    assert proxy.reload(config)[0] == 200
    client.sendall(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nx")
    assert client.recv(1) == b"x"
    client.close()


def test_without_the_key_nothing_is_expected(plain, serve):
    _, port = plain([serve(echo).port])
    assert exchange(port, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n") == b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"
    served(port).close()
