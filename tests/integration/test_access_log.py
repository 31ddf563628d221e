"""The access log: one line a connection with what happened, in every sink; and a sink that takes nothing holds up nobody."""

import json
import os
import pty
import signal
import socket
import subprocess
import threading
import time

import pytest
import yaml

from tests.support.clients import connect, connect_late, ending, exchange, served
from tests.support.dns import NameServer
from tests.support.processes import eventually, run
from tests.support.rsyslog import Rsyslog
from tests.support.seeded import Seeded
from tests.support.servers import echo, free_port, reset


@pytest.fixture
def collector(tmp_path):
    made = []

    def make(**options):
        made.append(Rsyslog(tmp_path / f"rsyslog{len(made)}", **options))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def logged(plain, tmp_path):
    """A proxy whose access log is a file; returns it, its port, and what reads the file."""

    def make(endpoints, access_log=None, **options):
        path = tmp_path / "access.log"
        proxy, port = plain(endpoints, access_log={"filter": "all", "sinks": [{"type": "file", "path": str(path)}], **(access_log or {})}, **options)

        def lines():
            return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return proxy, port, lines

    return make


def wait_for(lines, count, timeout=5):
    eventually(lambda: len(lines()) >= count, what=f"{count} lines", timeout=timeout)
    return lines()


def test_a_line_says_what_happened(serve, logged):
    server, refusing = serve(echo), free_port()
    _, port, lines = logged([refusing, server.port])
    with connect(port) as client:
        own = client.getsockname()
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert ending(client) == (b"hello", "end")
    line = wait_for(lines, 1)[0]
    assert line["reason"] == "completed" and line["ended_by"] == "client" and line["direction"] == "listener" and line["cluster"] == "test"
    assert line["client"] == f"127.0.0.1:{own[1]}" and line["endpoint"] == f"127.0.0.1:{server.port}"
    assert line["bytes_from_client"] == line["bytes_from_upstream"] == 5
    assert line["attempts"] == 2 and line["failed_attempts"] == [{"endpoint": f"127.0.0.1:{refusing}", "cause": "refused"}]
    assert 0 <= line["connect_ms"] <= line["duration_ms"] < 5000 and line["first_byte_ms"] >= 0
    assert "client_identity" not in line and "upstream_tls_ms" not in line


def ends_first(connection):
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    connection.close()


def resets_later(connection):
    connection.sendall(b"y")
    connection.recv(1)
    reset(connection)


@pytest.mark.parametrize("serves,acts,reason,ended_by", [
    (echo, lambda client: (client.shutdown(socket.SHUT_WR), ending(client)), "completed", "client"),
    (ends_first, lambda client: (ending(client), client.shutdown(socket.SHUT_WR)), "completed", "upstream"),
    (resets_later, lambda client: (client.recv(1), client.sendall(b"x"), ending(client)), "upstream_reset", "upstream"),
    (echo, lambda client: (client.sendall(b"x"), client.recv(1), reset(client)), "client_reset", "client"),
    (echo, lambda client: (client.sendall(b"x"), client.recv(1), time.sleep(0.5)), "idle_timeout", "proxy"),
])
def test_a_line_says_who_ended_it(serve, logged, serves, acts, reason, ended_by):
    _, port, lines = logged([serve(serves).port], cluster={"timeouts": {"idle": "200ms"}} if reason == "idle_timeout" else {})
    with connect(port) as client:
        acts(client)
    line = wait_for(lines, 1)[0]
    assert (line["reason"], line["ended_by"]) == (reason, ended_by)


def test_errors_alone_are_the_default_and_go_to_standard_output(serve, plain):
    proxy, port = plain([serve(echo).port], cluster={"retry": {"attempts": 1}},
                        listeners=[{"name": "test", "address": "127.0.0.1:%d" % (port := free_port()), "cluster": "test"},
                                   {"name": "bad", "address": "127.0.0.1:%d" % (bad := free_port()), "cluster": "bad"}],
                        clusters=[{"name": "test", "endpoints": [{"address": f"127.0.0.1:{serve(echo).port}"}]},
                                  {"name": "bad", "endpoints": [{"address": f"127.0.0.1:{free_port()}"}], "retry": {"attempts": 1}}])[0], port
    exchange(port, b"x")
    with connect_late(bad) as client:
        assert ending(client)[1] == "reset"
    eventually(lambda: '"reason":"connect_refused"' in proxy.log(), what="the line")
    assert '"reason":"completed"' not in proxy.log()
    line = json.loads(next(line for line in proxy.log().splitlines() if '"reason"' in line))
    assert line["ended_by"] == "upstream" and line["cluster"] == "bad" and line["attempts"] == 1


def test_none_means_none(serve, logged):
    proxy, port, lines = logged([free_port()], access_log={"filter": "none"}, cluster={"retry": {"attempts": 1}})
    with connect_late(port) as client:
        ending(client)
    time.sleep(0.2)
    assert lines() == [] and '"reason"' not in proxy.log()


def test_sampling_takes_about_so_many_of_the_good_and_all_of_the_bad(serve, logged):
    proxy, port, lines = logged([serve(echo).port], access_log={"sampling": "25%"})
    for _ in range(400):
        exchange(port, b"x")
    for _ in range(20):
        with connect(port) as client:
            client.sendall(b"x")
            client.recv(1)
            reset(client)
    eventually(lambda: sum(line["reason"] == "client_reset" for line in lines()) == 20, what="all of the bad")
    assert 50 < sum(line["reason"] == "completed" for line in lines()) < 150  # 100 expected, five standard deviations
    assert proxy.metrics()['outrigger_access_log_lines_total{sink="file"}'] == len(lines())


def test_connections_that_stay_have_lines_in_between(serve, logged):
    _, port, lines = logged([serve(echo).port], access_log={"interval": "1s"})
    with served(port):
        eventually(lambda: len(lines()) >= 2, what="lines of an open connection", timeout=6)
        first, second = lines()[:2]
        assert first["id"] == second["id"] and "reason" not in first and first["state"] == "established"
        assert 1000 <= first["duration_ms"] < second["duration_ms"]
    eventually(lambda: lines()[-1].get("reason") == "completed", what="the last line")


def test_every_connection_has_its_line_and_only_one(serve, start, tmp_path):
    """With both workers at it: as many lines of each reason as the client has seen, none lost, none twice."""
    path = tmp_path / "access.log"
    it = Seeded(serve, start, 5, access_log={"filter": "all", "sinks": [{"type": "file", "path": str(path), "buffer": "64MiB"}]})
    it.run(int(os.environ.get("OUTRIGGER_SEEDED_CONNECTIONS", "2000")))
    played = sum(it.expected[reason] for reason in ("completed", "client_reset", "upstream_reset", "refused"))
    eventually(lambda: len(path.read_text().splitlines()) >= played, what="all lines", timeout=30)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == played and len({line["id"] for line in lines}) == played
    for reason, name in (("completed", "completed"), ("client_reset", "client_reset"), ("upstream_reset", "upstream_reset"), ("refused", "connect_refused")):
        assert sum(line["reason"] == name for line in lines) == it.expected[reason]
    assert sum(line["bytes_from_client"] for line in lines) == it.expected["from_client"]
    assert sum(line["bytes_from_upstream"] for line in lines) == it.expected["from_upstream"]


def dropped_by_kernel():
    """Packets that the machine's receive queues had no room for (net.core.netdev_max_backlog): a busy machine's loopback loses some."""
    with open("/proc/net/softnet_stat", encoding="ascii") as file:
        return sum(int(line.split()[1], 16) for line in file)


@pytest.mark.parametrize("transport", ["tcp", "udp", "unix"])
def test_a_real_rsyslog_has_the_lines(serve, plain, collector, transport):
    """All of them; over UDP a try does not count in which all were sent and the machine has dropped packets: nobody sends those again."""
    for _ in range(5):
        rsyslog, dropped = collector(), dropped_by_kernel()
        sink = {"type": "syslog", "address": f"unix:{rsyslog.unix}"} if transport == "unix" else \
            {"type": "syslog", "address": f"127.0.0.1:{getattr(rsyslog, transport)}", "transport": transport}
        proxy, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": [{**sink, "facility": "local3", "app_name": "shop"}]})
        for i in range(20):
            exchange(port, b"x" * i)
        with connect(port) as client:
            client.sendall(b"x")
            client.recv(1)
            reset(client)
        try:
            eventually(lambda: len(rsyslog.lines()) == 21, what="the lines", timeout=10)
            break
        except AssertionError:
            sent = proxy.metrics()['outrigger_access_log_lines_total{sink="syslog"}']
            if transport != "udp" or sent < 21 or dropped_by_kernel() == dropped:
                raise
    assert len(rsyslog.lines()) == 21
    heads = [line.split(" ", 4) for line in rsyslog.lines()]
    assert {tuple(head[:4]) for head in heads} == {("local3.info", "shop", str(proxy.pid), "access"), ("local3.warning", "shop", str(proxy.pid), "access")}
    lines = [json.loads(line[line.index("{"):]) for line in rsyslog.lines()]
    assert sorted(line["bytes_from_client"] for line in lines) == sorted([*range(20), 1])
    assert [head[0] for head, line in zip(heads, lines) if line["reason"] == "client_reset"] == ["local3.warning"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A root, a certificate of localhost, and another root."""
    directory = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)
    for root in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{root}.key", "-out", f"{root}.crt", "-subj", f"/CN={root}", "-days", "1")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=collector")
    (directory / "names").write_text("subjectAltName=DNS:collector.example,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.crt", "-days", "1", "-extfile", "names")
    for path in [directory, *directory.parents][:3]:
        if path.stat().st_uid == os.getuid():
            path.chmod(0o755)
    return directory


@pytest.mark.parametrize("changes,problem", [
    ({}, None),
    ({"server_name": "collector.example"}, None),
    ({"server_name": "other.example"}, "hostname mismatch"),
    ({"trust_bundle": "other.crt"}, "unable to get local issuer certificate"),
    ({"trust_bundle": "missing.crt"}, "trust_bundle cannot be read"),
])
def test_tls_to_a_collector_is_verified(serve, plain, collector, certificates, changes, problem):
    rsyslog = collector(certificates=[certificates / "ca.crt", certificates / "server.crt", certificates / "server.key"])
    bundle = certificates / changes.get("trust_bundle", "ca.crt")
    proxy, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": [
        {"type": "syslog", "address": f"127.0.0.1:{rsyslog.tls}", "transport": "tls", **changes, "trust_bundle": str(bundle)}]})
    for _ in range(10):
        exchange(port, b"x")
    if problem:
        eventually(lambda: problem in proxy.log(), what="what is wrong", timeout=10)
        assert rsyslog.lines() == [] and proxy.metrics()["outrigger_access_log_failing_sinks"] == 1
    else:
        eventually(lambda: len(rsyslog.lines()) == 10, what="the lines", timeout=10)


def test_a_name_is_resolved(serve, plain, collector):
    rsyslog = collector()
    _, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": [{"type": "syslog", "address": f"localhost:{rsyslog.tcp}", "transport": "tcp"}]})
    exchange(port, b"x")
    eventually(lambda: len(rsyslog.lines()) == 1, what="the line", timeout=10)


def test_a_collector_that_is_away_gets_its_lines_when_it_is_back(serve, plain, collector):
    rsyslog = collector()
    proxy, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": [{"type": "syslog", "address": f"127.0.0.1:{rsyslog.tcp}", "transport": "tcp"}]})
    exchange(port, b"")
    eventually(lambda: len(rsyslog.lines()) == 1, what="the first line", timeout=10)
    rsyslog.stop()
    eventually(lambda: proxy.metrics()["outrigger_access_log_failing_sinks"] == 1, what="that it is away")
    for i in range(1, 101):
        exchange(port, b"x" * i)
    assert proxy.metrics()['outrigger_access_log_dropped_lines_total{sink="syslog"}'] == 0
    rsyslog.start()
    eventually(lambda: len(rsyslog.lines()) == 101, what="all lines", timeout=15)
    lines = [json.loads(line[line.index("{"):]) for line in rsyslog.lines()]
    assert sorted(line["bytes_from_client"] for line in lines) == list(range(101))
    eventually(lambda: proxy.metrics()["outrigger_access_log_failing_sinks"] == 0, what="that it is back")
    assert "takes lines again" in proxy.log()


def test_a_collector_that_is_dead_costs_no_traffic_and_bounded_memory(serve, plain):
    """It accepts and never reads: what does not fit its sink's buffer is dropped and counted."""
    deaf = socket.create_server(("127.0.0.1", 0))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    proxy, port = plain([serve(echo, backlog=512).port], access_log={"filter": "all", "sinks": [
        {"type": "syslog", "address": f"127.0.0.1:{deaf.getsockname()[1]}", "transport": "tcp", "buffer": "64KiB"}, {"type": "stdout"}]})
    before = time.monotonic()
    eventually(lambda: [exchange(port, b"x") for _ in range(100)] and proxy.metrics()['outrigger_access_log_dropped_lines_total{sink="syslog"}'] > 0,
               what="dropped lines", timeout=60)
    metrics = proxy.metrics()
    total = metrics['outrigger_connections_ended_total{direction="listener",cluster="test",reason="completed"}']
    assert metrics['outrigger_access_log_dropped_lines_total{sink="stdout"}'] == 0
    eventually(lambda: proxy.metrics()['outrigger_access_log_lines_total{sink="stdout"}'] == total, what="the other sink has all")
    assert total / (time.monotonic() - before) > 50  # connections go on
    deaf.close()


def test_a_collector_that_was_deaf_for_a_while_is_no_failure_for_ever(serve, plain):
    """Regression: its connection stayed open, so nothing ever said that it takes lines again."""
    hears = threading.Event()

    def collect(connection):
        hears.wait(60)
        while connection.recv(65536):
            pass
    server = serve(collect, receive_buffer=4096)
    proxy, port = plain([serve(echo, backlog=512).port], access_log={"filter": "all", "sinks": [{"type": "syslog", "address": f"127.0.0.1:{server.port}", "transport": "tcp", "buffer": "64KiB"}]})

    def failing():
        return proxy.metrics()["outrigger_access_log_failing_sinks"]
    eventually(lambda: [exchange(port, b"x") for _ in range(100)] and failing() == 1, what="that it takes nothing", timeout=60)
    hears.set()
    eventually(lambda: failing() == 0, what="that it takes lines again", timeout=10)
    assert server.accepted == 1


def test_standard_output_that_nobody_reads_holds_up_nobody(serve, programs, tmp_path):
    port, health = free_port(), free_port()
    config = {"version": 1, "control": {"path": str(tmp_path / "control.sock")}, "health": {"port": health}, "admin": {"port": 0},
              "log": {"format": "text"}, "access_log": {"filter": "all", "sinks": [{"type": "stdout", "buffer": "64KiB"}]},
              "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
              "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{serve(echo, backlog=512).port}"}]}]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with open(tmp_path / "stderr", "wb") as errors:
        process = subprocess.Popen([f"{programs}/outrigger", "-c", tmp_path / "config.yaml"], stdout=subprocess.PIPE, stderr=errors)
    try:
        eventually(lambda: "state: ready" in (tmp_path / "stderr").read_text(), what="ready")
        for _ in range(1000):
            assert exchange(port, b"x") == b"x"
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        eventually(lambda: process.poll() is not None, what="the end", timeout=10)
        assert process.returncode == 0 and time.monotonic() - begun < 5
        lines = process.stdout.read().splitlines()
        assert 100 < len(lines) < 1000
        for line in lines:
            json.loads(line)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_full_disk_loses_whole_lines_and_recovers(serve, plain, tmp_path):
    if os.getuid() != 0:
        pytest.skip("a file system of its own needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "tmpfs", disk])
    try:
        path = disk / "access.log"
        proxy, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": [{"type": "file", "path": str(path), "buffer": "64KiB"}]})
        eventually(lambda: [exchange(port, b"x") for _ in range(50)] and proxy.metrics()['outrigger_access_log_dropped_lines_total{sink="file"}'] > 5,
                   what="a full disk", timeout=30)
        assert "No space left on device" in proxy.log()
        os.rename(path, tmp_path / "moved")  # to another file system it is copied; see below
    except OSError:
        (tmp_path / "moved").write_bytes(path.read_bytes())
        path.unlink()
    else:
        raise AssertionError("it was not another file system")
    try:
        exchange(port, b"x")
        time.sleep(1.1)
        exchange(port, b"x")
        eventually(lambda: path.exists() and len(path.read_text().splitlines()) >= 1, what="a new file")
        eventually(lambda: "takes lines again" in proxy.log(), what="recovery")
        text = (tmp_path / "moved").read_text()
        broken = 0
        for line in text.splitlines():
            try:
                json.loads(line)
            except ValueError:
                broken += 1
        assert broken <= 1  # the one that met the full disk
        proxy.stop()
    finally:
        run(["umount", disk])


def test_a_file_that_cannot_be_opened_is_told_and_tried_again(serve, plain, tmp_path):
    directory = tmp_path / "later"
    proxy, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": [{"type": "file", "path": str(directory / "access.log")}]})
    exchange(port, b"x")
    eventually(lambda: "No such file or directory" in proxy.log(), what="that it fails")
    directory.mkdir()
    eventually(lambda: (directory / "access.log").exists() and (directory / "access.log").read_text().count("\n") == 1, what="the line that waited", timeout=5)


def test_logrotate_loses_nothing(serve, plain, tmp_path):
    """The real one, with rename and SIGUSR1, then without any signal, under load."""
    logs = tmp_path / "logs"
    logs.mkdir()
    path = logs / "access.log"
    proxy, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": [{"type": "file", "path": str(path)}]})
    count = 0
    for turn in range(4):
        for _ in range(50):
            exchange(port, b"x")
            count += 1
        signals = f"postrotate\n kill -USR1 {proxy.pid}\n endscript" if turn % 2 == 0 else ""
        (tmp_path / "rotate").write_text(f"{path} {{\n rotate 9\n nocreate\n nocompress\n su {'root root' if os.getuid() == 0 else ''}\n {signals}\n}}\n"
                                         if os.getuid() == 0 else f"{path} {{\n rotate 9\n nocreate\n nocompress\n {signals}\n}}\n")
        os.chmod(tmp_path / "rotate", 0o644)
        run(["logrotate", "-f", "-s", tmp_path / "state", tmp_path / "rotate"])
        if turn % 2 == 1:
            time.sleep(1.1)
    exchange(port, b"x")
    eventually(lambda: sum(each.read_text().count("\n") for each in logs.iterdir()) == count + 1, what="every line in some file", timeout=5)
    assert len(list(logs.iterdir())) == 5 and path.read_text().count("\n") >= 1


def test_a_reload_changes_sinks_and_loses_no_line(serve, plain, tmp_path):
    """The new ones have lines soon; until then the old ones have them, and none is written twice."""
    files = first, second = tmp_path / "first.log", tmp_path / "second.log"
    proxy, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": [{"type": "file", "path": str(first)}]})
    with open(proxy.config_path, encoding="utf-8") as file:
        config = yaml.safe_load(file)

    def ids(path):
        return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []

    for rounds, sinks in enumerate((files, [second], [first]), 1):
        for _ in range(20):
            exchange(port, b"x")
        eventually(lambda: len({*ids(first), *ids(second)}) == 20 * rounds, what="every line")
        config["access_log"]["sinks"] = [{"type": "file", "path": str(path)} for path in sinks]
        assert proxy.reload(config)[0] == 200
    exchange(port, b"x")
    eventually(lambda: len({*ids(first), *ids(second)}) == 61, what="every line")
    assert all(len(ids(path)) == len(set(ids(path))) for path in files)
    in_first, in_second = set(ids(first)), set(ids(second))
    assert in_first - in_second and in_second - in_first and in_first & in_second


def test_endings_that_were_not_meant_are_remembered(serve, plain):
    proxy, port = plain([serve(echo).port])
    exchange(port, b"x")
    for _ in range(50):
        with connect(port) as client:
            client.sendall(b"x")
            client.recv(1)
            reset(client)
    eventually(lambda: len(json.loads(proxy.request("GET", "/endings")[1])["endings"]) >= 32, what="endings")
    endings = json.loads(proxy.request("GET", "/endings")[1])["endings"]
    assert len(endings) <= 64 and {each["reason"] for each in endings} == {"client_reset"} and endings[0]["ended_by"] == "client"
    assert [each["time"] for each in endings] == sorted((each["time"] for each in endings), reverse=True)
    assert endings[0]["bytes_from_client"] == 1 and endings[0]["meaning"] == "The client cut the connection (RST)."


def test_a_connections_id_is_that_of_its_line(serve, logged):
    proxy, port, lines = logged([serve(echo).port])
    with served(port):
        listed = json.loads(proxy.request("GET", "/connections")[1])["connections"]
        assert len(listed) == 1
    assert wait_for(lines, 1)[0]["id"] == listed[0]["id"]


def test_a_terminal_that_nobody_reads_holds_up_neither_the_end_nor_other_sinks(serve, programs, tmp_path):
    """Regression: a terminal says that it has room and then takes a line only in part; the writer waited for ever, and so did SIGTERM."""
    port, path = free_port(), tmp_path / "access.log"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({
        "version": 1, "control": {"path": str(tmp_path / "control.sock")}, "health": {"port": free_port()}, "admin": {"port": 0}, "log": {"format": "text"},
        "access_log": {"filter": "all", "sinks": [{"type": "stdout"}, {"type": "file", "path": str(path)}]},
        "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
        "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{serve(echo, backlog=512).port}"}]}]}))
    ours, theirs = pty.openpty()
    with open(tmp_path / "stderr", "wb") as errors:
        process = subprocess.Popen([f"{programs}/outrigger", "-c", tmp_path / "config.yaml"], stdout=theirs, stderr=errors)
    try:
        eventually(lambda: "state: ready" in (tmp_path / "stderr").read_text(), what="ready")
        for _ in range(200):
            exchange(port, b"x")
        eventually(lambda: path.exists() and path.read_text().count("\n") == 200, what="the other sink's lines")
        process.send_signal(signal.SIGTERM)
        eventually(lambda: process.poll() is not None, what="the end", timeout=6)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_many_ends_at_once_lose_no_line(serve, logged):
    """Regression: what came within the writer's pause, or was more than a sink's buffer, was dropped though the file took everything."""
    proxy, port, lines = logged([serve(echo, backlog=2048).port], workers=1, drain={"timeout": "0s"})
    clients = [connect(port) for _ in range(1500)]
    eventually(lambda: proxy.active() == 1500, what="connections")
    proxy.request("POST", "/quit")
    for client in clients:
        client.close()
    assert proxy.program.wait(10) == 0
    assert len(lines()) == 1500


def test_a_sink_smaller_than_a_batch_loses_nothing_that_its_file_takes(serve, plain, tmp_path):
    path = tmp_path / "access.log"
    _, port = plain([serve(echo, backlog=2048).port], workers=1, access_log={"filter": "all", "sinks": [{"type": "file", "path": str(path), "buffer": "64KiB"}]})
    clients = [served(port) for _ in range(500)]
    for client in clients:
        client.close()
    eventually(lambda: path.exists() and path.read_text().count("\n") == 500, what="every line")


def test_a_collector_that_accepts_and_resets_is_asked_less_often_and_told_of_once(serve, plain):
    """Regression: what the kernel took counted as success, so it was told of twenty times a second, and asked ten times."""
    accepted = []

    def refuse(connection):
        accepted.append(time.monotonic())
        reset(connection)
    proxy, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": [{"type": "syslog", "address": f"127.0.0.1:{serve(refuse).port}", "transport": "tcp"}]})
    end = time.monotonic() + 4
    while time.monotonic() < end:
        exchange(port, b"x")
        time.sleep(0.02)
    told = [line for line in proxy.log().splitlines() if "access log:" in line]
    assert len(told) == 1 and 3 <= len(accepted) <= 12
    assert proxy.metrics()["outrigger_access_log_failing_sinks"] == 1


def test_an_idle_collector_that_closes_is_no_failure(serve, plain):
    def once(connection):
        connection.recv(65536)
        time.sleep(3.5)
        connection.close()
    server = serve(once)
    proxy, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": [{"type": "syslog", "address": f"127.0.0.1:{server.port}", "transport": "tcp"}]})
    exchange(port, b"x")
    eventually(lambda: server.accepted == 1, what="the collector")
    time.sleep(4)
    assert proxy.metrics()["outrigger_access_log_failing_sinks"] == 0 and "access log" not in proxy.log()
    exchange(port, b"x")
    eventually(lambda: server.accepted == 2, what="the next line's connection")


def test_every_address_of_a_collectors_name_is_tried(serve, plain, tmp_path):
    received = []

    def collect(connection):
        received.append(connection.recv(65536))
        connection.close()
    server = serve(collect, host="127.0.0.3")
    names = NameServer(tmp_path / "names", {"collector.test": ["127.0.0.2", "127.0.0.3"]})
    try:
        _, port = plain([serve(echo).port], dns={"servers": [{"address": f"127.0.0.1:{names.port}"}]},
                        access_log={"filter": "all", "sinks": [{"type": "syslog", "address": f"collector.test:{server.port}", "transport": "tcp"}]})
        exchange(port, b"x")
        eventually(lambda: received, what="the line, at the second address", timeout=10)
    finally:
        names.stop()


def test_closed_standard_descriptors_stay_harmless(serve, programs, tmp_path):
    """Regression: with standard output closed, lines were written into the event loop's descriptor."""
    port = free_port()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({
        "version": 1, "control": {"path": str(tmp_path / "control.sock")}, "health": {"port": free_port()}, "admin": {"port": 0}, "access_log": {"filter": "all"},
        "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
        "clusters": [{"name": "test", "endpoints": [{"address": f"127.0.0.1:{serve(echo).port}"}]}]}))
    process = subprocess.Popen(["sh", "-c", f"exec {programs}/outrigger -c {tmp_path}/config.yaml <&- >&- 2>&-"])
    try:
        eventually(lambda: (tmp_path / "control.sock").exists(), what="the proxy")
        eventually(lambda: os.readlink(f"/proc/{process.pid}/fd/1") == "/dev/null", what="a descriptor for standard output")
        time.sleep(0.2)
        assert exchange(port, b"x") == b"x"
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()


def test_two_sinks_that_are_the_same_keep_what_waits_over_a_reload(serve, plain, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    sinks = [{"type": "file", "path": str(fifo)}] * 2
    proxy, port = plain([serve(echo).port], access_log={"filter": "all", "sinks": sinks})
    for _ in range(20):
        exchange(port, b"x")
    with open(proxy.config_path, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    config["clusters"][0]["timeouts"] = {"connect": "2s"}
    time.sleep(0.2)
    assert proxy.reload(config)[0] == 200
    time.sleep(0.2)
    assert proxy.metrics()['outrigger_access_log_dropped_lines_total{sink="file"}'] == 0


@pytest.mark.parametrize("access_log,problem", [
    ("{interval: 10s}", "access_log.interval: has no effect without filter: all"),
    ("{sampling: 10%}", "access_log.sampling: has no effect without filter: all"),
    ("{filter: all, interval: 10ms}", "access_log.interval: too short"),
    ("{sinks: [{type: file}]}", "access_log.sinks[0].type: file needs path"),
    ("{sinks: [{type: stdout, path: /x}]}", "access_log.sinks[0].path: has no effect"),
    ("{sinks: [{type: stdout, facility: user}]}", "access_log.sinks[0].facility: has no effect"),
    ("{sinks: [{type: syslog}]}", "access_log.sinks[0].type: syslog needs address"),
    ("{sinks: [{type: syslog, address: 'unix:/x', transport: tcp}]}", "access_log.sinks[0].transport: a unix socket has datagrams"),
    ("{sinks: [{type: syslog, address: '10.0.0.1:1', transport: tls}]}", "access_log.sinks[0].transport: tls needs trust_bundle"),
    ("{sinks: [{type: syslog, address: '10.0.0.1:1', server_name: x}]}", "access_log.sinks[0].server_name: has no effect"),
    ("{sinks: [{type: syslog, address: '[2001:db8::1]:1', transport: tls, trust_bundle: /x, server_name: '2001:db8::1'}]}", None),
])
def test_keys_that_do_not_belong_together_are_told(programs, tmp_path, access_log, problem):
    (tmp_path / "config.yaml").write_text(f"version: 1\nintercept: {{}}\naccess_log: {access_log}\n")
    done = run([f"{programs}/outrigger", "-c", tmp_path / "config.yaml", "--check"], check=False)
    assert (done.returncode, problem is None or problem in done.stderr) == (2 if problem else 0, True), done.stderr
