"""
GET /probe/NAME tells the truth about the app, as the kubelet's own probe would have without a proxy in between: real HTTP, HTTPS and
gRPC servers, well and unwell, and nobody can keep the app busy by asking.
"""

import concurrent.futures
import http.client
import http.server
import os
import socket
import ssl
import threading
import time

import grpc
import pytest

from tests.support.outrigger import Outrigger, built_programs
from tests.support.processes import eventually, run
from tests.support.servers import Server, free_port


class App(http.server.ThreadingHTTPServer):
    """Answers as `answers` says: path to status and headers."""

    def __init__(self, answers, tls=None, port=0):
        self.asked = []
        app = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=invalid-name
                app.asked.append((self.path, dict(self.headers), self.client_address[0]))
                status, headers = answers[self.path](self) if callable(answers[self.path]) else answers[self.path]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", port), Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        pass


class Health:
    """A real gRPC server with grpc.health.v1.Health: service to status (1 SERVING, 2 NOT_SERVING)."""

    def __init__(self, services):
        def check(request, context):
            name = request[2:].decode() if request else ""
            if name not in services:
                context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return bytes([8, services[name]]) if services[name] else b""

        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)})])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def close(self):
        self.server.stop(0).wait()


def configuration(health, *probes):
    """A proxy that has something to do."""
    return {"health": {"port": health}, "probes": list(probes), "clusters": [{"name": "c", "endpoints": [{"address": "127.0.0.1:9"}]}],
            "listeners": [{"name": "l", "address": f"127.0.0.1:{free_port()}", "cluster": "c"}]}


@pytest.fixture
def proxy(programs, tmp_path):
    """A function that starts a proxy with these probes; ask(name) gives status and words."""
    started = []

    def start(*probes):
        health = free_port()
        made = Outrigger(programs, tmp_path / f"proxy{len(started)}", configuration(health, *probes))
        started.append(made)

        def ask(name, timeout=30):
            connection = http.client.HTTPConnection("127.0.0.1", health, timeout=timeout)
            try:
                connection.request("GET", f"/probe/{name}")
                response = connection.getresponse()
                return response.status, response.read().decode().strip()
            finally:
                connection.close()

        made.ask, made.health = ask, health
        return made

    yield start
    for each in started:
        each.stop()


def test_tcp_succeeds_only_while_the_app_listens(proxy):
    port = free_port()
    made = proxy({"name": "app/liveness", "port": port})
    assert made.ask("app/liveness") == (503, "Connection refused")
    server = Server(lambda connection: None, port=port)
    assert made.ask("app/liveness") == (200, "ok")
    server.close()
    assert made.ask("app/liveness")[0] == 503
    log = made.log()
    assert log.count("probe app/liveness: Connection refused") == 2 and log.count("probe app/liveness: the app is well") == 1


def test_the_status_decides_and_the_app_s_own_is_passed_on(proxy):
    app = App({"/200": (200, {}), "/204": (204, {}), "/399": (399, {}), "/400": (400, {}), "/418": (418, {}), "/500": (500, {}), "/503": (503, {})})
    made = proxy(*({"name": f"a/{status}", "type": "http", "port": app.port, "path": f"/{status}"} for status in (200, 204, 399, 400, 418, 500, 503)))
    assert [made.ask(f"a/{status}")[0] for status in (200, 204, 399, 400, 418, 500, 503)] == [200, 200, 200, 400, 418, 500, 503]
    assert made.ask("a/500")[1] == "the app's status is 500"
    app.close()


def test_the_request_is_what_the_kubelet_would_send(proxy):
    app = App({"/ready?full=1": (200, {})})
    made = proxy({"name": "a/readiness", "type": "http", "port": app.port, "path": "/ready?full=1", "host": "shop.example",
                  "headers": [{"name": "X-Probe", "value": "yes: really"}, {"name": "X-Probe-2", "value": ""}]},
                 {"name": "b", "type": "http", "port": app.port, "path": "/ready?full=1", "headers": [{"name": "user-agent", "value": "mine"}]})
    assert made.ask("a/readiness")[0] == 200 and made.ask("b")[0] == 200
    (path, headers, _), (_, plain, _) = app.asked
    assert path == "/ready?full=1" and headers["Host"] == "shop.example" and headers["X-Probe"] == "yes: really"
    assert headers["User-Agent"].startswith("kube-probe/") and headers["X-Probe-2"] == ""
    assert plain["Host"] == f"127.0.0.1:{app.port}" and plain.get("user-agent") == "mine" and "User-Agent" not in plain
    app.close()


def server_tls(directory):
    """With a certificate that nobody has a reason to trust."""
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", directory / "key", "-out", directory / "crt",
         "-subj", "/CN=nobody", "-days", "1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "crt", directory / "key")
    return context


def test_redirects_to_the_same_place_are_followed(proxy):
    answers = {"/": (302, {"Location": "/login"}), "/login": (500, {}), "/well": (301, {"Location": "/end#there"}), "/end": (200, {}),
               "/away": (302, {"Location": "http://192.0.2.1/"}), "/twisted": (302, {"Location": "//192.0.2.1/"}), "/loop": (302, {"Location": "/loop"}),
               "/full": lambda handler: (302, {"Location": f"http://{handler.headers['Host']}/login"}), "/without": (304, {"Location": "/login"})}
    app = App(answers)
    made = proxy(*({"name": path.strip("/") or "root", "type": "http", "port": app.port, "path": path, "timeout": "10s"} for path in answers))
    assert made.ask("root") == (500, "the app's status is 500")
    assert made.ask("full") == (500, "the app's status is 500")
    assert [made.ask(name)[0] for name in ("well", "away", "twisted", "without")] == [200, 200, 200, 200]
    assert made.ask("loop") == (503, "stopped after 10 redirects")
    app.close()


def test_redirects_to_another_port_of_the_app_are_followed_and_its_scheme(proxy, tmp_path):
    """As the kubelet does; a name that the probe only sends is not the app's address, for it neither."""
    secure = App({"/ill": (503, {}), "/well": (200, {}), "/back": lambda _: (302, {"Location": f"http://127.0.0.1:{app.port}/well"})}, tls=server_tls(tmp_path))
    answers = {"/ill": (302, {"Location": f"https://127.0.0.1:{secure.port}/ill"}), "/back": (302, {"Location": f"https://127.0.0.1:{secure.port}/back"}),
               "/plain": (302, {"Location": f"//127.0.0.1:{secure.port}/well"}),
               "/secure": (302, {"Location": f"https://127.0.0.1:{secure.port}/well"}), "/named": (302, {"Location": "http://shop.example/ill"}),
               "/relative": (302, {"Location": "ill"}), "/closed": (302, {"Location": f"http://127.0.0.1:{free_port()}/"}), "/odd": (302, {"Location": "http://127.0.0.1:x/"}),
               "/long": (302, {"Location": "/" + 3000 * "x"}), "/login": (302, {"Location": f"https://idp.example/saml?scope=openid profile&SAMLRequest={3000 * 'x'}"}),
               "/well": (200, {})}
    app = App(answers)
    made = proxy(*({"name": path.strip("/"), "type": "http", "port": app.port, "path": path, "host": "shop.example", "timeout": "10s"} for path in answers))
    assert [made.ask(name) for name in ("ill", "relative")] == [(503, "the app's status is 503")] * 2
    assert [made.ask(name) for name in ("secure", "named", "back", "login")] == [(200, "ok")] * 4
    assert made.ask("closed") == (503, "Connection refused")
    assert [made.ask(name) for name in ("odd", "long")] == [(503, "the app redirects to what cannot be asked")] * 2
    assert [headers["Host"] for path, headers, _ in app.asked if path == "/ill"] == ["shop.example", "shop.example"]
    assert {headers["Host"] for _, headers, _ in secure.asked} == {f"127.0.0.1:{secure.port}"}
    assert made.ask("plain")[0] == 503 and "within" not in made.ask("plain")[1]  # that port speaks TLS only
    app.close()
    secure.close()


def test_https_is_asked_whatever_the_certificate(proxy, tmp_path):
    names = []
    context = server_tls(tmp_path)
    context.sni_callback = lambda _, name, __: names.append(name)
    app = App({"/well": (200, {}), "/ill": (503, {})}, tls=context)
    plain = App({"/well": (200, {})})
    https = {"type": "http", "scheme": "https"}
    made = proxy({"name": "well", "port": app.port, "path": "/well", "host": "shop.example:8443", **https}, {"name": "ill", "port": app.port, "path": "/ill", **https},
                 {"name": "plain", "port": plain.port, "path": "/well", **https}, {"name": "reversed", "type": "http", "port": app.port, "path": "/well"})
    assert made.ask("well") == (200, "ok")
    assert made.ask("ill")[0] == 503
    assert names == ["shop.example", None]
    status, words = made.ask("plain")
    assert status == 503 and words.startswith("TLS: ")
    assert made.ask("reversed")[0] == 503
    app.close()
    plain.close()


def test_grpc_asks_the_health_service(proxy):
    health = Health({"": 1, "shop.Cart": 2, "shop.Pay": 1, "unknown": 0, "long" * 40: 1})
    names = {"whole": None, "cart": "shop.Cart", "pay": "shop.Pay", "unknown": "unknown", "none": "nobody.Here"}
    made = proxy(*({"name": name, "type": "grpc", "port": health.port, **({"service": service} if service else {})} for name, service in names.items()))
    assert made.ask("whole") == (200, "ok") and made.ask("pay") == (200, "ok")
    assert made.ask("cart") == (503, "gRPC: the service is not SERVING (2)")
    assert made.ask("unknown") == (503, "gRPC: the service is not SERVING (0)")
    assert made.ask("none") == (503, "gRPC: the app's grpc-status is 5 (it does not know this service)")
    health.close()


def test_grpc_of_who_speaks_no_grpc_fails(proxy):
    app = App({"/": (200, {})})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    made = proxy({"name": "http", "type": "grpc", "port": app.port}, {"name": "bare", "type": "grpc", "port": port})
    assert made.ask("http")[0] == 503
    assert made.ask("bare") == (503, "gRPC: the app's grpc-status is 12 (it has no health service)")
    server.stop(0).wait()
    app.close()


@pytest.mark.parametrize("answer, words", [
    (b"", "the app closed the connection without an answer"),
    (b"SSH-2.0-x\r\n", "the app's answer is not HTTP/1.1"),
    (b"HTTP/1.1 999 odd\r\n\r\n", "the app's answer is not HTTP/1.1"),
    (b"HTTP/1.1 200 OK\r\n", "the app closed the connection without an answer"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000, "a line of the app's answer is longer than 16384 bytes"),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 x\r\n\r\n", "the app's status is 500"),
    (b"HTTP/1.0 200\r\nLocation:\r\n\r\n", "ok"),
])
def test_answers_that_are_none(proxy, answer, words):
    def serve(connection):
        connection.recv(1000)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)

    server = Server(serve)
    made = proxy({"name": "a", "type": "http", "port": server.port})
    assert made.ask("a")[1] == words
    server.close()


def test_a_silent_app_fails_after_the_timeout_and_not_the_others(proxy):
    server = Server(lambda connection: connection.recv(1000) and time.sleep(5))
    made = proxy(*({"name": kind, "type": kind, "port": server.port, "timeout": "300ms"} for kind in ("http", "grpc")), {"name": "tcp", "port": server.port})
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(made.ask, ("http", "grpc"))) == [(503, "no answer within 300ms")] * 2
    assert 0.3 <= time.monotonic() - begun < 2
    assert made.ask("tcp") == (200, "ok")
    server.close()


def test_a_probe_may_take_longer_than_other_requests(proxy):
    """A client of the health address has ten seconds otherwise."""
    app = App({"/": lambda handler: time.sleep(11) or (200, {})})
    made = proxy({"name": "slow", "type": "http", "port": app.port, "timeout": "20s"})
    assert made.ask("slow") == (200, "ok")
    app.close()


def test_whoever_asks_at_once_shares_one_probe(proxy):
    app = App({"/": lambda handler: time.sleep(1) or (200, {})})
    made = proxy({"name": "a", "type": "http", "port": app.port, "timeout": "5s"})
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        assert set(pool.map(made.ask, ["a"] * 30)) == {(200, "ok")}
    assert len(app.asked) <= 3  # the last of them may have come when the first was answered
    app.close()


def test_clients_that_go_away_and_the_proxy_s_end_leave_nothing(proxy):
    server = Server(lambda connection: connection.recv(1000) and time.sleep(5))
    made = proxy({"name": "a", "type": "http", "port": server.port, "timeout": "1s"}, {"name": "b", "type": "http", "port": server.port, "timeout": "1m"})
    for name in ("a", "b") * 5:
        with socket.create_connection(("127.0.0.1", made.health)) as client:
            client.sendall(f"GET /probe/{name} HTTP/1.1\r\n\r\nGET /healthz/live HTTP/1.1\r\n\r\n".encode())
    eventually(lambda: "probe a: no answer" in made.log(), what="the probe that nobody waits for")
    assert made.ask("a")[0] == 503
    waiting = socket.create_connection(("127.0.0.1", made.health))
    waiting.sendall(b"GET /probe/b HTTP/1.1\r\n\r\n")
    time.sleep(0.2)
    assert made.stop() == 0
    waiting.close()
    server.close()


def test_a_pipelined_request_is_answered_after_the_probe(proxy):
    app = App({"/": lambda handler: time.sleep(0.3) or (500, {})})
    made = proxy({"name": "a", "type": "http", "port": app.port})
    with socket.create_connection(("127.0.0.1", made.health), timeout=10) as client:
        client.sendall(b"GET /probe/a HTTP/1.1\r\n\r\nGET /healthz/live HTTP/1.1\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: client.recv(4096), b""))
    assert text.count(b"HTTP/1.1 ") == 2 and text.startswith(b"HTTP/1.1 500") and text.index(b"HTTP/1.1 200") > 0
    app.close()


def resident(made):
    with open(f"/proc/{made.program.pid}/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


@pytest.mark.skipif("asan" in built_programs() or "tsan" in built_programs(), reason="a sanitizer keeps freed memory")
def test_what_is_sent_while_an_answer_is_due_costs_no_memory(proxy):
    """Regression: once an earlier answer had left, everything that came before the probe's was taken in: a gigabyte in a second."""
    server = Server(lambda connection: connection.recv(1000) and time.sleep(5))
    made = proxy({"name": "slow", "type": "http", "port": server.port, "timeout": "5s"})
    before = resident(made)
    with socket.create_connection(("127.0.0.1", made.health), timeout=10) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\nGET /probe/slow HTTP/1.1\r\n\r\n")
        client.recv(1 << 20)
        client.setblocking(False)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                client.send(b"x" * 65536)
            except BlockingIOError:
                time.sleep(0.01)
    assert resident(made) < before + 30000
    server.close()


@pytest.mark.skipif("asan" in built_programs() or "tsan" in built_programs(), reason="a sanitizer keeps freed memory")
def test_answers_that_nobody_reads_are_not_made(proxy):
    """Regression: a request at a time, and nothing read, made the answers pile up."""
    made = proxy({"name": "a", "port": free_port()})
    before = resident(made)
    clients = [socket.create_connection(("127.0.0.1", made.health)) for _ in range(40)]
    for client in clients:
        client.setblocking(False)
    for _ in range(100):
        for client in clients:
            try:
                client.send(b"GET /metrics HTTP/1.1\r\n\r\n")
            except BlockingIOError:
                pass
        time.sleep(0.01)
    assert resident(made) < before + 40000
    for client in clients:
        client.close()


def test_others_that_ask_all_the_time_do_not_make_the_app_ill(proxy):
    """Regression: who had gone was still waited for, and their places ran out: the kubelet heard 503, or nothing."""
    app = App({"/": lambda handler: time.sleep(0.5) or (200, {})})
    made = proxy({"name": "a", "type": "http", "port": app.port, "timeout": "3s"})
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            with socket.socket() as client:
                client.bind(("127.0.0.9", 0))
                client.settimeout(2)
                try:
                    client.connect(("127.0.0.1", made.health))
                    client.sendall(b"GET /probe/a HTTP/1.1\r\n\r\n")
                except OSError:
                    pass

    threads = [threading.Thread(target=flood, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    answers = [made.ask("a") for _ in range(8)]
    stop.set()
    for thread in threads:
        thread.join()
    assert answers == [(200, "ok")] * 8
    app.close()


def test_only_what_is_configured_is_asked(proxy):
    made = proxy({"name": "a", "port": free_port()})
    for name in ("b", "a/", "a/../b", "127.0.0.1:22", "%61", "a?port=22"):
        status, words = made.ask(name)
        assert status == (503 if name.startswith("a?") else 404), name
        assert words == ("Connection refused" if name.startswith("a?") else "no such probe is configured")
    assert made.ask("")[0] == 404


def test_a_reload_changes_probes_at_once_and_a_file_of_their_own_is_read(programs, tmp_path):
    port, health = free_port(), free_port()
    probes = tmp_path / "probes.yaml"
    probes.write_text(f'{{"probes": [{{"name": "app/readiness", "port": {port}}}]}}')
    wrapper = tmp_path / "bin"
    wrapper.mkdir()
    (wrapper / "outrigger").write_text(f'#!/bin/sh\nexec {programs}/outrigger "$@" --probes {probes}\n')
    os.chmod(wrapper / "outrigger", 0o755)
    os.symlink(f"{programs}/outriggerctl", wrapper / "outriggerctl")
    made = Outrigger(str(wrapper), tmp_path / "proxy", configuration(health, {"name": "own", "port": port}))
    server = Server(lambda connection: None, port=port)

    def ask(name):
        connection = http.client.HTTPConnection("127.0.0.1", health, timeout=10)
        connection.request("GET", f"/probe/{name}")
        return connection.getresponse().status

    assert (ask("own"), ask("app/readiness"), ask("other")) == (200, 200, 404)
    probes.write_text(f"probes: [{{name: other, port: {port}}}]")
    run([f"{programs}/outriggerctl", "--socket", made.socket_path, "reload"])
    assert (ask("own"), ask("app/readiness"), ask("other")) == (200, 404, 200)
    probes.write_text("probes: [{name: own, port: 1}]")
    done = run([f"{programs}/outriggerctl", "--socket", made.socket_path, "reload"], check=False)
    assert done.returncode != 0 and "another probe has this name already" in done.stdout + done.stderr
    assert (ask("own"), ask("other")) == (200, 200)
    made.stop()
    server.close()
    done = run([f"{programs}/outrigger", "-c", made.config_path, "--probes", tmp_path / "none.yaml", "--check"], check=False)
    assert done.returncode == 2 and "none.yaml: cannot be read" in done.stderr


def test_probes_that_cannot_be_are_refused_with_their_place(programs, tmp_path):
    path = tmp_path / "probes.yaml"
    path.write_text("probes:\n- {name: a b, type: http, port: 80, path: x, host: a b, service: s, headers: [{name: 'a:b', value: \"x\\r\\ny\"}]}\n"
                    "- {name: c, type: grpc, port: 80, path: /x, host: h, scheme: https, headers: [{name: a, value: b}]}\n- {name: c, port: 15021}\nprobe: 1\n")
    main = tmp_path / "main.yaml"
    main.write_text("{version: 1, intercept: {}}")
    done = run([f"{programs}/outrigger", "-c", main, "--probes", path, "--check"], check=False)
    assert done.returncode == 2 and done.stderr.startswith(f"{path}:5:1: unknown key \"probe\"; did you mean \"probes\"?")
    path.write_text(path.read_text().replace("probe: 1", ""))
    done = run([f"{programs}/outrigger", "-c", main, "--probes", path, "--check"], check=False)
    assert done.returncode == 2
    assert {line.split("probes[", 1)[1][:1] + "." + line.split("].", 1)[1].split(":")[0] for line in done.stderr.splitlines()} == {
        "0.name", "0.path", "0.host", "0.service", "0.headers[0].name", "0.headers[0].value", "1.path", "1.host", "1.scheme", "1.headers", "2.name", "2.port"}
    assert f"{path}:4:10: probes[2].name: another probe has this name already" in done.stderr
