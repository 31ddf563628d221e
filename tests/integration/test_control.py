"""Control socket, health address, readiness, draining and ending."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from tests.support.clients import connect, ending, exchange, outcome
from tests.support.outrigger import Outrigger
from tests.support.processes import eventually, run, stopped
from tests.support.servers import echo, free_port


def health(proxy_port, path, host="127.0.0.1", method="GET"):
    connection = http.client.HTTPConnection(host, proxy_port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_health_address_serves_readiness_and_metrics_and_nothing_else(serve, plain):
    port_health = free_port()
    plain([serve(echo).port], health={"port": port_health})
    for host in ("127.0.0.1", "::1"):
        assert health(port_health, "/healthz/ready", host) == (200, "ready\n")
        assert health(port_health, "/healthz/live", host)[0] == 200
        assert "outrigger_ready 1" in health(port_health, "/metrics", host)[1]
    assert health(port_health, "/status")[0] == 404
    assert health(port_health, "/quit", method="POST")[0] == 403
    assert health(port_health, "/healthz/ready", method="POST")[0] == 405


def test_control_socket_answers_curl_and_refuses_get_for_commands(serve, plain):
    proxy, _ = plain([serve(echo).port])
    done = run(["curl", "-sS", "--unix-socket", proxy.socket_path, "http://outrigger/status"])
    assert json.loads(done.stdout)["state"] == "ready"
    assert proxy.request("GET", "/quit")[0] == 405
    assert proxy.request("GET", "/drain")[0] == 405
    assert proxy.request("POST", "/nothing")[0] == 404
    assert proxy.is_ready()


def test_counters_are_exact(serve, plain):
    proxy, port = plain([serve(echo).port], workers=2)
    for _ in range(50):
        assert exchange(port, b"z" * 1000) == b"z" * 1000
    eventually(lambda: proxy.active() == 0, what="no connection left")
    metrics = proxy.metrics()
    labels = 'direction="listener",cluster="test"'
    assert metrics[f"outrigger_connections_opened_total{{{labels}}}"] == 50
    assert metrics[f'outrigger_connections_ended_total{{{labels},reason="completed"}}'] == 50
    assert metrics[f'outrigger_received_bytes_total{{{labels},from="client"}}'] == 50_000
    assert metrics[f'outrigger_received_bytes_total{{{labels},from="upstream"}}'] == 50_000
    assert metrics[f"outrigger_connections_active{{{labels}}}"] == 0


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another uid")
def test_another_uid_may_ask_but_not_end_the_proxy(serve, plain, programs):
    proxy, _ = plain([serve(echo).port])
    ctl = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", os.path.join(programs, "outriggerctl"), "--socket",
           proxy.socket_path]
    assert run([*ctl, "ready"]).stdout == "ready\n"
    for command in ("drain", "quit"):
        done = run([*ctl, command], check=False)
        assert done.returncode == 1 and "control.allow" in done.stderr
    overflow = [word.replace("1000", "65534") for word in ctl[:3]] + ctl[3:]
    assert run([*overflow, "quit"], check=False).returncode == 1
    assert proxy.is_ready()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another uid")
def test_quit_can_be_allowed_for_the_app(serve, start, programs, tmp_path):
    path = str(tmp_path / "proxy0" / "control.sock")
    proxy = start({"control": {"path": path, "allow": {"quit": [1000]}},
                   "listeners": [{"name": "web", "address": f"127.0.0.1:{free_port()}", "cluster": "c"}],
                   "clusters": [{"name": "c", "endpoints": [{"address": f"127.0.0.1:{serve(echo).port}"}]}]})
    ctl = [os.path.join(programs, "outriggerctl"), "--socket", path]
    for uid, command, code in ((1001, "quit", 1), (1000, "drain", 1), (1000, "quit", 0)):
        done = run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *ctl, command], check=False)
        assert done.returncode == code, done.stderr
    assert proxy.program.wait(5) == 0


def test_hostile_control_clients_are_bounded_and_harm_nobody(serve, plain):
    proxy, port = plain([serve(echo).port])

    def dial():
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(proxy.socket_path)
        return client

    def answer(data):
        with dial() as client:
            client.sendall(data)
            return client.recv(65536).decode(errors="replace").split("\r\n")[0]

    assert answer(b"garbage\r\n\r\n") == "HTTP/1.1 400 Bad Request"
    assert "431" in answer(b"GET / HTTP/1.1\r\nX: " + b"x" * 9000)
    assert "413" in answer(b"POST /drain HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
    assert "501" in answer(b"POST /drain HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert "400" in answer(b"GET /\x00 HTTP/1.1\r\n\r\n")
    slow = [dial() for _ in range(80)]
    for client in slow[20:]:  # the first 16 have lost their places by now
        client.sendall(b"GET /he")
    assert exchange(port, b"data plane") == b"data plane"
    for client in slow:
        client.setblocking(False)

    def closed():
        count = 0
        for client in slow:
            try:
                count += client.recv(1) == b""
            except BlockingIOError:
                pass
            except ConnectionResetError:
                count += 1
        return count

    eventually(lambda: closed() >= 16, what="no more than 64 clients at one time")
    assert proxy.is_ready()  # they hold every place, and still nobody is kept out
    for client in slow:
        client.close()
    eventually(proxy.is_ready, what="control answers again")


def test_trickling_control_client_is_closed_in_time(serve, plain):
    """A byte now and then does not keep a place."""
    proxy, _ = plain([serve(echo).port])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(proxy.socket_path)
        begun = time.monotonic()
        try:
            for byte in b"GET /healthz/ready HTTP/1.1\r\nX-Slow: " + b"x" * 100:
                client.sendall(bytes([byte]))
                time.sleep(0.3)
        except BrokenPipeError:
            pass
        assert 9 < time.monotonic() - begun < 13


def test_pipelined_requests_are_answered_in_order(serve, plain):
    proxy, _ = plain([serve(echo).port])
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(proxy.socket_path)
        client.sendall(b"GET /healthz/ready HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\n\r\nGET /healthz/live HTTP/1.0\r\n\r\n")
        data = b""
        while part := client.recv(65536):
            data += part
    assert [line for line in data.decode().split("\r\n") if "HTTP/1.1" in line] == [
        "HTTP/1.1 200 OK", "ready\nHTTP/1.1 404 Not Found", "no such path\nHTTP/1.1 200 OK"]


@pytest.mark.parametrize("taken", ["health", "listener", "control"])
def test_taken_address_stops_the_start_and_is_named(serve, programs, tmp_path, taken):
    server = serve(echo)
    first = None
    config = {"health": {"port": free_port()}, "listeners": [{"name": "web", "address": f"127.0.0.1:{free_port()}", "cluster": "c"}],
              "clusters": [{"name": "c", "endpoints": [{"address": "127.0.0.1:1"}]}]}
    if taken == "health":
        config["health"]["port"] = server.port
    elif taken == "listener":
        config["listeners"][0]["address"] = f"127.0.0.1:{server.port}"
    else:
        first = Outrigger(programs, tmp_path / "proxy", config)
        config = {**config, "health": {"port": free_port()}}
    second = Outrigger(programs, tmp_path / "proxy", config, wait=False)
    assert second.program.wait() == 1
    name = {"health": "health listener", "listener": "listener web (127.0.0.1:", "control": "control socket"}[taken]
    assert name in second.log() and "Address already in use" in second.log()
    if first:
        assert first.is_ready()
        assert first.stop() == 0


def test_second_proxy_never_joins_the_first_ones_port(serve, programs, tmp_path):
    """Regression by design: SO_REUSEPORT alone would let it."""
    config = {"workers": 2, "listeners": [{"name": "web", "address": f"127.0.0.1:{free_port()}", "cluster": "c"}],
              "clusters": [{"name": "c", "endpoints": [{"address": f"127.0.0.1:{serve(echo).port}"}]}]}
    first = Outrigger(programs, tmp_path / "first", {**config, "health": {"port": free_port()}})
    second = Outrigger(programs, tmp_path / "second", {**config, "health": {"port": free_port()}}, wait=False)
    assert second.program.wait() == 1
    assert first.stop() == 0


def test_sigterm_lets_connections_finish_refuses_new_ones_and_ends_with_the_last(serve, plain):
    proxy, port = plain([serve(echo).port], drain={"timeout": "20s"})
    client = connect(port)
    client.sendall(b"before")
    assert client.recv(10) == b"before"
    proxy.program.signal(signal.SIGTERM)
    eventually(lambda: not proxy.is_ready(), what="not ready")
    status, body = proxy.request("GET", "/healthz/ready")
    assert (status, json.loads(body)) == (503, {"state": "draining", "blockers": ["draining"]})
    eventually(lambda: not can_connect(port), what="listener closed")
    client.sendall(b"still")
    assert client.recv(10) == b"still"
    assert proxy.program.is_running()
    client.close()
    begun = time.monotonic()
    assert proxy.program.wait(5) == 0
    assert time.monotonic() - begun < 1
    assert not os.path.exists(proxy.socket_path)


def can_connect(port):
    try:
        connect(port).close()
        return True
    except OSError:
        return False


def test_drain_timeout_resets_what_is_left(serve, plain):
    proxy, port = plain([serve(echo).port], drain={"timeout": "700ms"})
    client = connect(port)
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    begun = time.monotonic()
    proxy.program.signal(signal.SIGTERM)
    assert ending(client) == (b"", "reset")
    assert proxy.program.wait(5) == 0
    assert 0.6 < time.monotonic() - begun < 2
    client.close()


def test_second_sigterm_ends_at_once(serve, plain):
    proxy, port = plain([serve(echo).port], drain={"timeout": "30s"})
    client = connect(port)
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    proxy.program.signal(signal.SIGTERM)
    eventually(lambda: not proxy.is_ready(), what="draining")
    assert proxy.program.is_running()
    proxy.program.signal(signal.SIGTERM)
    assert proxy.program.wait(2) == 0
    assert ending(client) == (b"", "reset")
    client.close()


def test_second_sigterm_under_a_flood_leaks_nothing_and_ends_with_resets(serve, plain):
    """Regression: sockets handed to a worker that was ending were leaked, and their clients saw a clean end."""
    for _ in range(3):
        proxy, port = plain([serve(echo, backlog=1024).port], drain={"timeout": "30s"}, workers=4)
        stop, endings = threading.Event(), set()

        def flood(holds):
            while not stop.is_set():
                try:
                    with connect(port, timeout=5) as client:
                        client.sendall(b"x")
                        if not client.recv(1):
                            endings.add("end")
                        elif holds:
                            endings.add(ending(client)[1])
                except OSError as error:
                    endings.add(type(error).__name__)
                    if isinstance(error, ConnectionRefusedError):
                        return

        threads = [threading.Thread(target=flood, args=(number % 2,)) for number in range(16)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        proxy.program.signal(signal.SIGTERM)
        eventually(lambda: "state: draining" in proxy.log(), what="draining", every=0.0005)  # two at once are one
        proxy.program.signal(signal.SIGTERM)
        assert proxy.program.wait(5) == 0, proxy.log()[-2000:]
        stop.set()
        for thread in threads:
            thread.join()
        assert endings <= {"reset", "ConnectionResetError", "ConnectionRefusedError", "BrokenPipeError"}


def test_sighup_cuts_nothing(serve, plain):
    proxy, port = plain([serve(echo).port])
    with connect(port) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        proxy.program.signal(signal.SIGHUP)
        eventually(lambda: "nothing has changed" in proxy.log(), what="the message")
        client.sendall(b"y")
        assert client.recv(1) == b"y"


def test_drain_delay_goes_on_accepting_and_minimum_holds_the_process(serve, plain):
    proxy, port = plain([serve(echo).port], drain={"delay": "600ms", "minimum": "1200ms", "timeout": "5s"})
    begun = time.monotonic()
    proxy.program.signal(signal.SIGTERM)
    time.sleep(0.2)
    assert not proxy.is_ready()
    assert exchange(port, b"late") == b"late"
    assert proxy.program.wait(5) == 0
    assert 1.1 < time.monotonic() - begun < 2.5


def test_drain_takes_what_waits_in_the_backlog(serve, plain):
    """Connections that the kernel has accepted when draining begins are served, not reset."""
    proxy, port = plain([serve(echo).port], drain={"timeout": "10s"}, workers=2)
    results = []

    def ask():
        results.append(outcome(port, b"in time"))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(50)]
    with stopped(proxy.pid):
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        proxy.program.signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert results == [(b"in time", "end")] * 50
    assert proxy.program.wait(5) == 0


def test_ctl_drain_never_ends_the_proxy_and_quit_does(serve, plain):
    proxy, _ = plain([serve(echo).port])
    assert proxy.ctl("drain").stdout == "draining\n"
    done = proxy.ctl("ready")
    assert done.returncode == 1 and done.stderr == "outriggerctl: draining, blockers: draining\n"
    time.sleep(0.5)
    assert proxy.program.is_running()
    assert proxy.ctl("quit").returncode == 0
    assert proxy.program.wait(5) == 0
    assert proxy.ctl("ready").returncode == 69


def test_ctl_status_is_a_table_for_people_and_json_for_programs(serve, plain):
    proxy, port = plain([serve(echo).port])
    exchange(port, b"x")
    text = proxy.ctl("status").stdout
    assert "outrigger 0.1.0: ready" in text and "completed 1" in text
    status = json.loads(proxy.ctl("--json", "status").stdout)
    assert status["connections"]["max"] > 1000
    assert status["clusters"][0]["endpoints"][0]["connects"] == 1


def test_liveness_tells_a_stuck_process_by_not_answering(serve, plain):
    port_health = free_port()
    proxy, _ = plain([serve(echo).port], health={"port": port_health})
    assert health(port_health, "/healthz/live") == (200, "live\n")
    os.kill(proxy.pid, signal.SIGSTOP)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port_health, timeout=0.5)
        connection.request("GET", "/healthz/live")
        with pytest.raises(TimeoutError):
            connection.getresponse()
    finally:
        os.kill(proxy.pid, signal.SIGCONT)
    assert health(port_health, "/healthz/live") == (200, "live\n")


def test_log_that_nobody_reads_holds_nobody_up(serve, programs, tmp_path):
    """A full pipe behind standard error: lines are dropped and counted, traffic goes on."""
    port, path = free_port(), tmp_path / "config.yaml"
    path.write_text(f"""
version: 1
log: {{level: debug}}
health: {{port: {free_port()}}}
admin: {{port: 0}}
control: {{path: {tmp_path}/control.sock}}
drain: {{timeout: 1s}}
listeners: [{{name: web, address: "127.0.0.1:{port}", cluster: c}}]
clusters: [{{name: c, endpoints: [{{address: "127.0.0.1:{serve(echo).port}"}}]}}]
""")
    proxy = subprocess.Popen([os.path.join(programs, "outrigger"), "-c", path], stderr=subprocess.PIPE)
    try:
        eventually(lambda: can_connect(port), what="listening")
        for _ in range(1000):  # a line each: several times what a pipe holds
            assert exchange(port, b"x") == b"x"
    finally:
        proxy.terminate()
        log = proxy.stderr.read().decode()
        assert proxy.wait(10) == 0
    assert len(log) < 200_000
    assert "log lines were dropped: standard error was not read" in log
