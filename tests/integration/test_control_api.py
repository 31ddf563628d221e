"""Every request of the control API: what it answers, as JSON and for people, and what it changes; the admin address."""

import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
import yaml

from tests.support.clients import connect, ending, exchange, outcome, served
from tests.support.outrigger import ROOT
from tests.support.processes import eventually, run
from tests.support.servers import echo, free_port


def ctl(proxy, *words, check=True):
    return run([f"{proxy.programs}/outriggerctl", "--socket", proxy.socket_path, *words], check=check)


def post(proxy, path, body=""):
    return proxy.request("POST", path, body=body)


def health(proxy):
    return [each["health"] for each in proxy.status()["clusters"][0]["endpoints"]]


def test_connections_are_listed(plain, serve):
    server = serve(echo)
    proxy, port = plain([server.port])
    clients = [served(port) for _ in range(3)]
    answer = json.loads(proxy.request("GET", "/connections")[1])
    assert answer["total"] == 3 and len(answer["connections"]) == 3
    addresses = {"127.0.0.1:%d" % client.getsockname()[1] for client in clients}
    assert {each["client"] for each in answer["connections"]} == addresses
    one = answer["connections"][0]
    assert one["direction"] == "listener" and one["cluster"] == "test" and one["state"] == "established"
    assert one["endpoint"] == f"127.0.0.1:{server.port}" and one["original_destination"] is None
    assert one["bytes_from_client"] == 1 and one["bytes_from_upstream"] == 1 and one["attempts"] == 1
    assert 0 <= one["idle_seconds"] <= one["age_seconds"] < 5
    table = ctl(proxy, "connections").stdout.splitlines()
    assert len(table) == 4 and table[0].startswith("ID         DIRECTION CLUSTER") and "established" in table[1]
    for client in clients:
        client.close()
    eventually(lambda: json.loads(proxy.request("GET", "/connections")[1])["total"] == 0, what="none")


def test_the_list_of_connections_is_bounded(plain, serve):
    proxy, port = plain([serve(echo, backlog=2048).port], workers=1, cluster={"circuit_breaker": {"max_connections": 0}})
    clients = [served(port) for _ in range(1010)]
    answer = json.loads(proxy.request("GET", "/connections")[1])
    assert answer["total"] == 1010 and len(answer["connections"]) == 1000
    assert ctl(proxy, "connections").stdout.endswith("1000 of 1010 connections\n")
    for client in clients:
        client.close()


def test_the_configuration_in_force_loads_again(plain, serve, tmp_path):
    proxy, _ = plain([serve(echo).port])
    as_json, as_yaml = json.loads(ctl(proxy, "--json", "config").stdout), ctl(proxy, "config").stdout
    assert as_json["clusters"][0]["timeouts"]["connect"] == "3s"
    for name, text in (("a.yaml", json.dumps(as_json)), ("b.yaml", as_yaml)):
        (tmp_path / name).write_text(text)
        assert run([f"{proxy.programs}/outrigger", "-c", tmp_path / name, "--dump-config"]).stdout == as_yaml


def test_stats_tell_of_the_whole_process(plain, serve):
    proxy, port = plain([serve(echo).port], workers=2)
    client = served(port)
    stats = json.loads(proxy.request("GET", "/stats")[1])
    assert stats["connections"]["active"] == 1 and stats["connections"]["opened"] == 1
    eventually(lambda: json.loads(proxy.request("GET", "/stats")[1])["bytes"] == {"from_client": 1, "from_upstream": 1},
               what="the bytes, which are counted when they have passed")
    assert stats["resident_bytes"] > 1 << 20 and 0 < stats["descriptors"]["open"] < stats["descriptors"]["max"]
    assert [worker["active"] for worker in stats["workers"]] in ([1, 0], [0, 1])
    assert all(worker["last_turn_seconds"] < 2.5 for worker in stats["workers"])
    assert "resident memory" in ctl(proxy, "stats").stdout
    client.close()


def test_clusters_are_those_of_the_status(plain, serve):
    proxy, port = plain([serve(echo).port])
    exchange(port)
    # A connection is counted as ended a moment before its endpoint is let go.
    eventually(lambda: json.loads(proxy.request("GET", "/clusters")[1])["clusters"] == proxy.status()["clusters"], what="the same")
    assert "ENDPOINT" in ctl(proxy, "clusters").stdout


def test_an_endpoint_is_ejected_and_restored(plain, serve):
    one, other = serve(echo), serve(echo)
    proxy, port = plain([one.port, other.port])
    stays = served(port)
    done = ctl(proxy, "eject", "test", f"127.0.0.1:{one.port}")
    assert done.stdout == f"cluster test: endpoint 127.0.0.1:{one.port}: disabled\n"
    assert health(proxy) == ["disabled", "healthy"]
    assert [exchange(port, b"x") for _ in range(6)] == [b"x"] * 6
    assert (one.accepted, other.accepted) == (1, 6)
    stays.sendall(b"x")
    assert stays.recv(1) == b"x", "what it has goes on"
    ctl(proxy, "eject", "test", f"127.0.0.1:{other.port}")
    assert outcome(port, b"x") == (b"", "reset"), "nor in panic"
    ctl(proxy, "restore", "test", f"127.0.0.1:{one.port}")
    assert health(proxy) == ["healthy", "disabled"]
    assert exchange(port, b"x") == b"x"
    stays.close()


def test_restore_ends_an_ejection(plain, serve):
    bad = free_port()
    proxy, port = plain([bad, serve(echo).port], {"outlier_detection": {"consecutive_failures": 1, "base_ejection": "1m"}})
    assert [exchange(port, b"x") for _ in range(2)] == [b"x"] * 2
    assert health(proxy) == ["ejected", "healthy"]
    ctl(proxy, "restore", "test", f"127.0.0.1:{bad}")
    assert health(proxy) == ["healthy", "healthy"]


def test_eject_names_what_there_is(plain, serve):
    server = serve(echo)
    proxy, _ = plain([server.port])
    done = ctl(proxy, "eject", "tost", "127.0.0.1:1", check=False)
    assert done.returncode == 1 and 'did you mean "test"?' in done.stderr
    done = ctl(proxy, "eject", "test", "127.0.0.1:1", check=False)
    assert done.returncode == 1 and f'has no endpoint "127.0.0.1:1"; it has: 127.0.0.1:{server.port}\n' in done.stderr
    assert ctl(proxy, "eject", "inbound", "x", check=False).stderr.endswith("it has: none\n")
    assert ctl(proxy, "eject", "test", check=False).returncode == 2
    assert post(proxy, "/endpoints/test/explode", "127.0.0.1:1")[0] == 404
    assert post(proxy, "/endpoints/test", "127.0.0.1:1")[0] == 404


def test_the_log_level_changes_while_it_runs(plain, serve):
    proxy, port = plain([serve(echo).port], log={"format": "text", "level": "info"})
    exchange(port)
    assert "connection ended" not in proxy.log()
    assert ctl(proxy, "log-level", "debug").stdout == "debug\n"
    exchange(port)
    eventually(lambda: "connection ended" in proxy.log(), what="a line of debug")
    done = ctl(proxy, "log-level", "loud", check=False)
    assert done.returncode == 1
    assert done.stderr == 'outriggerctl: "loud" is no level; allowed: error, warning, info, debug; now: debug\n'


def test_undrain_accepts_again_and_loses_nothing(plain, serve):
    proxy, port = plain([serve(echo).port], workers=2)
    stays = served(port)
    for _ in range(5):
        ctl(proxy, "drain")
        assert ctl(proxy, "ready", check=False).returncode == 1
        eventually(lambda: refused(port), what="the listener's end")
        assert ctl(proxy, "undrain").stdout == "accepting again\n"
        assert ctl(proxy, "ready").returncode == 0
        assert [exchange(port, b"x") for _ in range(10)] == [b"x"] * 10
    assert ctl(proxy, "undrain").stdout == "it does not drain\n"
    stays.sendall(b"x")
    assert stays.recv(1) == b"x"
    stays.close()
    assert proxy.traffic("test", "listener")["opened"] == 51


def test_undrain_at_once_after_drain(plain, serve):
    """The listeners may not even be closed yet."""
    proxy, port = plain([serve(echo).port], workers=2)
    for _ in range(20):
        assert post(proxy, "/drain")[0] == 200
        assert post(proxy, "/undrain")[0] == 200
        assert exchange(port, b"x") == b"x"


def test_undrain_that_cannot_listen_goes_on_draining(plain, serve):
    proxy, port = plain([serve(echo).port])
    ctl(proxy, "drain")
    eventually(lambda: refused(port), what="the listener's end")
    taken = serve(echo, port=port)
    status, text = post(proxy, "/undrain")
    assert status == 500 and "Address already in use; it goes on draining" in text
    assert ctl(proxy, "ready", check=False).returncode == 1
    taken.close()
    eventually(lambda: post(proxy, "/undrain")[0] == 200, what="another try")
    assert exchange(port, b"x") == b"x"


def test_undrain_is_too_late_once_it_ends(plain, serve):
    proxy, port = plain([serve(echo).port], drain={"timeout": "2s"})
    client = served(port)
    ctl(proxy, "quit")
    eventually(lambda: ctl(proxy, "ready", check=False).returncode == 1, what="the drain")
    done = ctl(proxy, "undrain", check=False)
    assert done.returncode == 1 and "too late" in done.stderr
    client.close()


def test_a_reload_while_draining_does_not_open_what_was_closed(plain, serve):
    server = serve(echo)
    proxy, port = plain([server.port])
    ctl(proxy, "drain")
    eventually(lambda: refused(port), what="the listener's end")
    with open(proxy.config_path, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    config["clusters"][0]["timeouts"] = {"connect": "1s"}
    assert proxy.reload(config)[0] == 200
    assert refused(port)
    ctl(proxy, "undrain")
    assert exchange(port, b"x") == b"x"


def test_drain_that_waits_comes_back_with_the_last_connection(plain, serve):
    proxy, port = plain([serve(echo).port])
    client = served(port)
    done = ctl(proxy, "drain", "--wait", "--timeout", "300ms", check=False)
    assert done.returncode == 69 and "not done after 300 ms: 1 inbound connections are left" in done.stderr
    waiting = subprocess.Popen([f"{proxy.programs}/outriggerctl", "--socket", proxy.socket_path, "drain", "--wait"], stdout=subprocess.PIPE)
    time.sleep(0.3)
    assert waiting.poll() is None
    client.close()
    assert waiting.wait(5) == 0
    waiting.stdout.close()
    ctl(proxy, "undrain")


def test_quit_that_waits_comes_back_when_the_proxy_is_gone(plain, serve):
    proxy, port = plain([serve(echo).port], drain={"timeout": "1s"})
    client = served(port)
    begun = time.monotonic()
    ctl(proxy, "quit", "--wait")
    assert time.monotonic() - begun > 0.8
    assert proxy.program.wait(3) == 0
    client.close()


def test_outriggerctl_copies_itself(programs, tmp_path):
    for _ in range(2):
        assert run([f"{programs}/outriggerctl", "copy", tmp_path]).returncode == 0
    assert run([tmp_path / "outriggerctl", "copy", tmp_path / "other"]).returncode == 0
    with open(f"{programs}/outriggerctl", "rb") as one, open(tmp_path / "other", "rb") as other:
        assert one.read() == other.read()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "outriggerctl"]
    done = run([f"{programs}/outriggerctl", "copy", "/nonexistent/x"], check=False)
    assert done.returncode == 1 and "/nonexistent/x: No such file or directory" in done.stderr


def refused(port):
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_connections_end_one_after_the_other_over_the_spread(plain, serve):
    proxy, port = plain([serve(echo).port], workers=1, drain={"spread": "2s", "timeout": "20s"})
    clients = [served(port) for _ in range(40)]
    ctl(proxy, "drain")
    left, begun = [], time.monotonic()
    while proxy.active() > 0 and time.monotonic() < begun + 5:
        left.append(proxy.active())
        time.sleep(0.2)
    took = time.monotonic() - begun
    assert 1.5 < took < 3.5
    middle = left[len(left) // 2]
    assert 8 <= middle <= 32, left
    assert {ending(client)[1] for client in clients} == {"reset"}
    assert proxy.ended("test") == {"drain_spread": 40}


def test_top_shows_rates(plain, serve):
    proxy, port = plain([serve(echo).port])
    program = subprocess.Popen([f"{proxy.programs}/outriggerctl", "--socket", proxy.socket_path, "top", "--interval", "200ms"],
                               stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        while not any(line.startswith("listener ") and line.split()[3] != "0.0" for line in lines):
            exchange(port)
            lines.append(program.stdout.readline())
            assert len(lines) < 200
        assert any(line.startswith("DIRECTION CLUSTER") for line in lines)
        program.send_signal(signal.SIGINT)
        assert program.wait(5) == 0
    finally:
        program.kill()
        program.stdout.close()


def test_top_ends_with_the_proxy(plain, serve):
    proxy, _ = plain([serve(echo).port])
    program = subprocess.Popen([f"{proxy.programs}/outriggerctl", "--socket", proxy.socket_path, "top", "--interval", "100ms"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    program.stdout.readline()
    assert proxy.stop() == 0
    assert "no proxy answers" in program.communicate(timeout=5)[1] and program.returncode == 69


def test_long_words_are_refused_by_the_client(programs, tmp_path):
    """Regression: it sent what lay behind them on its stack."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    for words in (["log-level", "a" * 6000], ["eject", "c" * 400, "e" * 2100], ["eject", "c" * 600, "e"], ["restore", "c", "e" * 300]):
        done = run([f"{programs}/outriggerctl", "--socket", tmp_path / "s", *words], check=False, timeout=10)
        assert done.returncode == 2, words
    listener.close()


def test_nobody_keeps_others_out_of_the_control_socket(plain, serve):
    """Regression: whoever connected again and again had everybody else's connection closed before it was read."""
    proxy, _ = plain([serve(echo).port])
    over, held = threading.Event(), []

    def flood():
        while not over.is_set():
            try:
                client = socket.socket(socket.AF_UNIX)
                client.settimeout(1)
                client.connect(proxy.socket_path)
                held.append(client)
                if len(held) > 200:
                    held.pop(0).close()
            except OSError:
                time.sleep(0.001)

    flooders = [threading.Thread(target=flood, daemon=True) for _ in range(2)]
    for flooder in flooders:
        flooder.start()
    try:
        time.sleep(0.3)
        answered = [ctl(proxy, "ready", check=False).returncode for _ in range(10)]
    finally:
        over.set()
        for flooder in flooders:
            flooder.join()
    for client in held:
        client.close()
    assert answered == [0] * 10


@pytest.fixture
def admin(plain, serve):
    port = free_port()
    proxy, listener = plain([serve(echo).port], admin={"port": port})

    def ask(method, path, host="localhost", address="127.0.0.1"):
        connection = http.client.HTTPConnection(address, port, timeout=5)
        connection.request(method, path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read().decode()

    ask.proxy, ask.listener = proxy, listener
    return ask


def test_admin_answers_everything_that_only_asks(admin):
    for path in ("/healthz/ready", "/healthz/live", "/status", "/clusters", "/connections", "/config", "/stats", "/metrics"):
        assert admin("GET", path)[0] == 200, path
        assert admin("GET", path, host="[::1]:15000", address="::1")[0] == 200, path


def test_admin_changes_nothing(admin):
    for path in ("/drain", "/undrain", "/quit", "/reload", "/log-level", "/faults/test", "/endpoints/test/eject"):
        assert admin("POST", path)[0] == 403, path
        assert admin("GET", path)[0] == 405, path
    assert admin("DELETE", "/faults/test")[0] == 403
    assert admin.proxy.is_ready()


def test_admin_is_not_read_by_a_browser_that_was_led_here(admin):
    for host in ("evil.example", "evil.example:15000", "10.0.0.1", "localhost.evil.example", ""):
        assert admin("GET", "/config", host=host)[0] == 403, host


def test_admin_is_on_loopback_only(admin):
    port = json.loads(admin.proxy.request("GET", "/config")[1])["admin"]["port"]
    with socket.socket() as other:  # the port is free on every other address
        other.bind(("127.0.0.2", port))


def test_admin_port_that_is_taken_is_named(plain, serve):
    server = serve(echo)
    proxy, _ = plain([1], admin={"port": server.port}, wait=False)
    eventually(lambda: not proxy.program.is_running(), what="its end")
    assert f"admin listener 127.0.0.1:{server.port}: Address already in use" in proxy.log()


def test_help_of_each_command_is_there(programs):
    words = run([f"{programs}/outriggerctl", "--help"]).stdout
    for name in ("ready", "wait", "run", "status", "stats", "clusters", "connections", "config", "top", "reload", "drain", "undrain",
                 "quit", "log-level", "eject", "restore", "fault", "copy", "completion"):
        assert f"\n  {name}" in words
        assert f"{name}" in run([f"{programs}/outriggerctl", name, "--help"]).stdout


def test_completion_completes(programs):
    script = f"source <({programs}/outriggerctl completion bash); COMP_WORDS=(outriggerctl --socket /x $1); COMP_CWORD=3; _outriggerctl; echo ${{COMPREPLY[@]}}"
    assert run(["bash", "-c", script, "bash", "re"]).stdout.split() == ["ready", "reload", "restore"]


def test_without_a_proxy_wait_and_run_go_on_where_that_is_said(programs):
    environment = {"OUTRIGGER_DISABLED": "1"}
    ctl_path = f"{programs}/outriggerctl"
    assert run([ctl_path, "--socket", "/nonexistent", "wait"], env=environment).returncode == 0
    done = run([ctl_path, "--socket", "/nonexistent", "run", "--quit", "--", "sh", "-c", "echo here; exit 7"], env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "here\n", "")


def keys_of(value):
    """Every key of a JSON value; those of objects whose keys are values themselves are left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in ("ended", "connect_failures") or not isinstance(inner, dict):
                yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def test_every_key_is_documented(plain, serve):
    with open(f"{ROOT}/docs/control-api.md", encoding="utf-8") as file:
        documented = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]*)`", file.read()))))
    proxy, port = plain([serve(echo).port])
    client = served(port)
    for path in ("/status", "/clusters", "/connections", "/stats", "/endings"):
        missing = set(keys_of(json.loads(proxy.request("GET", path)[1]))) - documented
        assert not missing, (path, missing)
    client.close()


def test_every_documented_request_is_there(plain, serve):
    """By the description for programs: what it says a request needs is enough, and no status is one that it does not name."""
    with open(f"{ROOT}/docs/openapi.json", encoding="utf-8") as file:
        paths = json.load(file)["paths"]
    server = serve(echo)
    proxy, _ = plain([server.port])
    bodies = {"/log-level": "debug", "/trace": "session=1 test", "/endpoints/{cluster}/{verb}": f"127.0.0.1:{server.port}"}
    for path, item in paths.items():
        for method, operation in item.items():
            if path in ("/quit", "/takeover", "/takeover/done"):  # see test_takeover.py
                continue
            at = path.format(cluster="test", verb="restore", name="none") + ("?port=80" if path == "/authorization" else "")
            status, _ = proxy.request(method.upper(), at, body=bodies.get(path, ""))
            assert str(status) in operation["responses"] and (status < 400 or "none" in at), (method, path, status)
            assert proxy.request("PUT", at)[0] == 405
