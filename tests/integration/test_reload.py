"""A reload is all or nothing, loses no connection, and leaves alone what it does not change."""

import json
import os
import shutil
import signal
import threading
import time

import pytest
import yaml

from tests.support.clients import Load, connect, ending, exchange, served
from tests.support.dns import NameServer
from tests.support.outrigger import built_programs
from tests.support.processes import eventually, run
from tests.support.servers import echo, free_port, receive_all


def greets(name):
    """A server that says its name, once the client has finished."""
    def serve(connection):
        receive_all(connection)
        connection.sendall(name)
        connection.close()
    return serve


class Standing:
    """A proxy whose configuration is changed key by key."""

    def __init__(self, start, health_port, endpoints, cluster=None, **config):
        self.port = free_port()
        self.config = {
            "workers": 2, "health": {"port": health_port}, "drain": {"timeout": "200ms"},
            "listeners": [{"name": "test", "address": f"127.0.0.1:{self.port}", "cluster": "test"}],
            "clusters": [self.cluster("test", endpoints, **(cluster or {}))], **config}
        self.proxy = start(self.config)

    @staticmethod
    def cluster(name, endpoints, **keys):
        return {"name": name, "endpoints": [{"address": f"127.0.0.1:{port}"} for port in endpoints],
                "load_balancing": {"policy": "round_robin"}, **keys}

    def reload(self, **changes):
        self.config = {**self.config, **changes}
        status, text = self.proxy.reload(self.config)
        assert status == 200, text
        return text

    def refuse(self, **changes):
        status, text = self.proxy.reload({**self.config, **changes})
        assert status == 400, text
        return text


@pytest.fixture
def standing(start):
    return lambda *arguments, **options: Standing(start, free_port(), *arguments, **options)


def test_new_connections_have_the_new_endpoints_and_old_ones_stay(standing, serve):
    one, other = serve(echo), serve(echo)
    it = standing([one.port])
    old = served(it.port)
    assert it.reload(clusters=[it.cluster("test", [other.port])]).endswith(": reloaded\n")
    assert exchange(it.port, b"x") == b"x"
    assert (one.accepted, other.accepted) == (1, 1)
    old.sendall(b"still here")
    assert old.recv(16) == b"still here"
    old.close()
    eventually(lambda: it.proxy.ended("test") == {"completed": 2}, what="the account of both")


def test_nothing_changed_changes_nothing(standing, serve):
    it = standing([serve(echo).port])
    old = served(it.port)
    assert "nothing has changed" in it.reload()
    it.proxy.program.signal(signal.SIGHUP)
    eventually(lambda: it.proxy.log().count("nothing has changed") >= 2, what="the signal's reload")
    assert it.proxy.status()["configuration"]["reloads"] == 0
    old.sendall(b"x")
    assert old.recv(1) == b"x"
    old.close()


def test_a_file_that_is_wrong_changes_nothing_and_is_told_of(standing, serve):
    it = standing([serve(echo).port])
    text = it.refuse(clusters=[it.cluster("test", [1], timeouts={"connect": "soon"}), it.cluster("test", [1])])
    assert "clusters[0].timeouts.connect" in text and text.count("\n") >= 1
    assert exchange(it.port, b"x") == b"x"
    configuration = it.proxy.status()["configuration"]
    assert configuration["refused"] >= 1 and configuration["problem"] == text
    metrics = it.proxy.metrics()
    assert metrics["outrigger_config_last_reload_successful"] == 0
    assert metrics['outrigger_config_reloads_total{outcome="refused"}'] >= 1
    assert "reload refused: " in it.proxy.log()
    shown = run([f"{it.proxy.programs}/outriggerctl", "--socket", it.proxy.socket_path, "status"]).stdout
    assert "refused since" in shown and "clusters[0].timeouts.connect" in shown
    it.reload(clusters=[it.cluster("test", [1])])
    assert it.proxy.metrics()["outrigger_config_last_reload_successful"] == 1
    assert it.proxy.status()["configuration"]["problem"] is None


def test_a_file_that_is_not_there_changes_nothing(standing, serve):
    it = standing([serve(echo).port])
    os.unlink(it.proxy.config_path)
    status, text = it.proxy.request("POST", "/reload")
    assert status == 400 and "No such file" in text
    assert exchange(it.port, b"x") == b"x"


def test_keys_that_cannot_change_are_refused_by_name(standing, serve):
    it = standing([serve(echo).port])
    text = it.refuse(workers=1, health={"port": free_port()}, dns={"timeout": "3s"},
                     control={"path": it.proxy.socket_path + "2"})
    lines = text.splitlines()
    assert len(lines) == 4 and all("while the proxy runs" in line for line in lines)
    for path in ("workers: cannot change from 2 to 1", "health.port: ", "dns.timeout: ", "control.path: "):
        assert path in text
    assert all(line.startswith(it.proxy.config_path + ":") for line in lines)


def test_listeners_come_go_and_stay(standing, serve):
    server = serve(echo)
    it = standing([server.port])
    stays = served(it.port)
    gone, came = it.port, free_port()
    it.reload(listeners=[{"name": "test", "address": f"127.0.0.1:{came}", "cluster": "test"}])
    assert exchange(came, b"x") == b"x"
    with pytest.raises(ConnectionRefusedError):
        connect(gone)
    stays.sendall(b"y")
    assert stays.recv(1) == b"y"
    it.reload(listeners=[{"name": "renamed", "address": f"127.0.0.1:{came}", "cluster": "test"},
                         {"name": "test", "address": f"127.0.0.1:{gone}", "cluster": "test"}])
    assert exchange(came, b"x") == b"x" and exchange(gone, b"x") == b"x"
    stays.close()


def test_a_listener_may_lead_elsewhere(standing, serve):
    one, other = serve(greets(b"one")), serve(greets(b"other"))
    it = standing([one.port])
    assert exchange(it.port) == b"one"
    it.reload(clusters=[it.cluster("test", [one.port]), it.cluster("second", [other.port])],
              listeners=[{"name": "test", "address": f"127.0.0.1:{it.port}", "cluster": "second"}])
    assert [exchange(it.port) for _ in range(20)] == [b"other"] * 20


def test_an_address_that_is_taken_refuses_the_whole_reload(standing, serve):
    one, other = serve(greets(b"one")), serve(greets(b"other"))
    it = standing([one.port])
    came = free_port()
    status, text = it.proxy.reload({**it.config, "clusters": [it.cluster("test", [other.port])], "listeners": [
        {"name": "fine", "address": f"127.0.0.1:{came}", "cluster": "test"},
        {"name": "taken", "address": f"127.0.0.1:{one.port}", "cluster": "test"}]})
    assert status == 500 and "Address already in use" in text
    assert f"listener taken (127.0.0.1:{one.port}): Address already in use" in it.proxy.log()
    assert exchange(it.port) == b"one"
    with pytest.raises(ConnectionRefusedError):
        connect(came)


def test_health_and_ejections_carry_over(standing, serve):
    good, bad = serve(echo), free_port()
    outlier = {"outlier_detection": {"consecutive_failures": 1, "base_ejection": "1m", "panic_threshold": "0%"}}
    it = standing([good.port, bad], cluster=outlier)
    assert [exchange(it.port, b"x") for _ in range(4)] == [b"x"] * 4
    health = {each["address"]: each["health"] for each in it.proxy.status()["clusters"][0]["endpoints"]}
    assert health == {f"127.0.0.1:{good.port}": "healthy", f"127.0.0.1:{bad}": "ejected"}
    third = serve(echo)
    it.reload(clusters=[it.cluster("test", [bad, third.port], **outlier)])
    endpoints = it.proxy.status()["clusters"][0]["endpoints"]
    assert [each["health"] for each in endpoints] == ["ejected", "healthy"]
    assert endpoints[0]["connect_failures"] == 1
    assert [exchange(it.port, b"x") for _ in range(4)] == [b"x"] * 4
    assert it.proxy.traffic("test", "listener")["opened"] == 8, "counters survive"


def test_health_checks_go_on_and_those_that_are_gone_are_forgotten(standing, serve):
    good, bad = serve(echo), free_port()
    check = {"health_check": {"type": "tcp", "interval": "100ms", "fall": 1, "rise": 1}}
    it = standing([good.port, bad], cluster=check)

    def health():
        return [each["health"] for each in it.proxy.status()["clusters"][0]["endpoints"]]

    eventually(lambda: health() == ["healthy", "unhealthy"], what="the verdict")
    it.reload(clusters=[it.cluster("test", [good.port, bad], timeouts={"connect": "1s"}, **check)])
    assert health() == ["healthy", "unhealthy"]
    time.sleep(0.3)
    assert health() == ["healthy", "unhealthy"]
    it.reload(clusters=[it.cluster("test", [good.port, bad])])
    assert health() == ["healthy", "healthy"]
    it.reload(clusters=[it.cluster("test", [good.port, bad], **check)])
    eventually(lambda: health() == ["healthy", "unhealthy"], what="the verdict again")


def test_a_shorter_idle_timeout_reaches_connections_that_there_are(standing, serve):
    it = standing([serve(echo).port])
    old = served(it.port)
    it.reload(clusters=[it.cluster("test", [serve(echo).port], timeouts={"idle": "200ms"})])
    assert ending(old)[1] == "reset"
    assert it.proxy.ended("test") == {"idle_timeout": 1}


def test_a_greater_limit_lets_those_in_that_wait(standing, serve):
    breaker = {"max_connections": 1, "pending_timeout": "8s"}
    server = serve(echo)
    it = standing([server.port], cluster={"circuit_breaker": breaker})
    first, second = served(it.port), connect(it.port)
    eventually(lambda: it.proxy.status()["clusters"][0]["pending"] == 1, what="one that waits")
    it.reload(clusters=[it.cluster("test", [server.port], circuit_breaker={**breaker, "max_connections": 2})])
    second.sendall(b"y")
    assert second.recv(1) == b"y"
    for each in (first, second):
        each.close()


def test_a_cluster_that_goes_keeps_its_connections(standing, serve):
    server = serve(echo)
    it = standing([server.port])
    it.reload(clusters=[it.cluster("test", [server.port]), it.cluster("goes", [server.port])],
              listeners=[*it.config["listeners"], {"name": "goes", "address": f"127.0.0.1:{free_port()}", "cluster": "goes"}])
    port = int(it.config["listeners"][1]["address"].rsplit(":")[1])
    old = served(port)
    it.reload(clusters=it.config["clusters"][:1], listeners=it.config["listeners"][:1])
    assert [each["name"] for each in it.proxy.status()["clusters"]] == ["test", "inbound", "passthrough"]
    old.sendall(b"x")
    assert old.recv(1) == b"x"
    assert it.proxy.active() == 1
    it.reload(clusters=[it.cluster("test", [server.port]), it.cluster("goes", [server.port])])
    goes = it.proxy.status()["clusters"][1]
    assert goes["active"] == 1 and goes["traffic"][0]["opened"] == 1, "it is the same as before"
    old.close()
    eventually(lambda: it.proxy.active() == 0, what="the end")


def test_a_cluster_that_goes_takes_its_connections_with_it_where_that_is_asked_for(standing, serve):
    """Case C29 in short: many at once, one after the other and not by recursion."""
    server = serve(echo, backlog=1024)
    it = standing([server.port], cluster={"close_on_removal": True, "circuit_breaker": {"max_connections": 0}})
    clients = [served(it.port) for _ in range(1000)]
    other = it.cluster("other", [server.port])
    it.reload(clusters=[other], listeners=[{"name": "test", "address": f"127.0.0.1:{it.port}", "cluster": "other"}])
    assert {ending(client)[1] for client in clients} == {"reset"}
    assert it.proxy.active() == 0
    assert exchange(it.port, b"x") == b"x"


def test_old_configurations_do_not_pile_up(standing, serve):
    """Each of forty reloads removes a cluster that has a connection."""
    server = serve(echo)
    it = standing([server.port])
    ports = [free_port() for _ in range(40)]
    listeners, clients = it.config["listeners"], []
    for i, port in enumerate(ports):
        it.reload(clusters=[it.cluster("test", [server.port]), it.cluster(f"c{i}", [server.port])],
                  listeners=[*listeners, {"name": "x", "address": f"127.0.0.1:{port}", "cluster": f"c{i}"}])
        clients.append(served(port))
    assert "32 reloads ago" in it.proxy.log()
    assert [ending(client)[1] for client in clients[:5]] == ["reset"] * 5
    for client in clients[10:]:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    for client in clients:
        client.close()
    eventually(lambda: it.proxy.active() == 0, what="the end")


def test_removed_endpoints_end_their_connections_where_that_is_asked_for(standing, serve):
    one, other = serve(echo), serve(echo)
    it = standing([one.port, other.port], cluster={"close_on_removal": True})
    clients = [served(it.port) for _ in range(2)]
    it.reload(clusters=[it.cluster("test", [other.port], close_on_removal=True)])
    assert ending(clients[0])[1] == "reset"
    clients[1].sendall(b"x")
    assert clients[1].recv(1) == b"x"
    clients[1].close()
    eventually(lambda: it.proxy.ended("test") == {"endpoint_removed": 1, "completed": 1}, what="the account")


def test_the_file_is_watched(standing, serve):
    one, other = serve(greets(b"one")), serve(greets(b"other"))
    it = standing([one.port])
    it.proxy.write({**it.config, "clusters": [it.cluster("test", [other.port])]})
    eventually(lambda: exchange(it.port) == b"other", what="the new file in force", timeout=3)
    with open(it.proxy.config_path, "a", encoding="utf-8") as file:  # in place, in two steps
        file.write("workers")
        file.flush()
        time.sleep(0.05)
        file.write(": 2\n")
    time.sleep(0.4)
    assert "reload refused" in it.proxy.log(), "a key twice"
    assert exchange(it.port) == b"other"


def test_a_config_map_that_is_swapped_is_noticed(start, serve, tmp_path):
    """As the kubelet does it: the file is a link into ..data, which is a link that a rename replaces."""
    one, other = serve(greets(b"one")), serve(greets(b"other"))
    port, health_port = free_port(), free_port()
    mount = tmp_path / "proxy0" / "mount"
    mount.mkdir(parents=True)

    def publish(name, endpoint):
        (mount / name).mkdir()
        config = {"version": 1, "health": {"port": health_port}, "drain": {"timeout": "200ms"}, "log": {"format": "text"}, "admin": {"port": 0},
                  "control": {"path": str(tmp_path / "proxy0" / "control.sock")},
                  "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}],
                  "clusters": [Standing.cluster("test", [endpoint])]}
        (mount / name / "outrigger.yaml").write_text(yaml.safe_dump(config))
        os.symlink(name, mount / "..data_tmp")
        os.rename(mount / "..data_tmp", mount / "..data")

    publish("..2026_1", one.port)
    os.symlink("..data/outrigger.yaml", mount / "outrigger.yaml")
    proxy = start({}, config_path=str(mount / "outrigger.yaml"))
    assert exchange(port) == b"one"
    publish("..2026_2", other.port)
    shutil.rmtree(mount / "..2026_1")
    eventually(lambda: exchange(port) == b"other", what="the new file in force", timeout=3)
    publish("..2026_3", one.port)
    eventually(lambda: exchange(port) == b"one", what="the next one", timeout=3)
    assert proxy.status()["configuration"]["reloads"] == 2


def test_names_stay_resolved(start, serve, tmp_path):
    """Case F10: no gap while a name would be asked for again. Its server is gone after the first answer."""
    server, port = serve(echo), free_port()
    names = NameServer(tmp_path / "names", {"a.test": ["127.0.0.1"], "host.test": ["127.0.0.9"]}, ttl=60)
    cluster = {"name": "test", "discovery": "dns", "endpoints": [{"address": f"a.test:{server.port}"}],
               "match": [{"hosts": ["host.test"], "ports": [80]}]}
    config = {"workers": 1, "health": {"port": free_port()}, "drain": {"timeout": "200ms"},
              "intercept": {"outbound": {"port": free_port()}, "inbound": {"port": free_port()}},
              "dns": {"servers": [{"address": f"127.0.0.1:{names.port}"}], "timeout": "250ms", "attempts": 1},
              "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}]}
    proxy = start({**config, "clusters": [{**cluster, "required": True}]})
    names.stop()
    assert proxy.reload({**config, "clusters": [{**cluster, "timeouts": {"connect": "1s"}}]})[0] == 200
    assert [exchange(port, b"x") for _ in range(5)] == [b"x"] * 5
    cluster["endpoints"].append({"address": f"b.test:{server.port}"})
    assert proxy.reload({**config, "clusters": [cluster]})[0] == 200
    for _ in range(10):
        assert exchange(port, b"x") == b"x"
        time.sleep(0.1)


def test_a_reload_while_names_are_awaited(start, serve, tmp_path):
    """Regression: names that are known at once were asked of the configuration before."""
    port, server = free_port(), serve(echo)
    silent = NameServer(tmp_path / "names", {"x.test": ["127.0.0.1"]})
    silent.program.signal(signal.SIGSTOP)
    config = {"workers": 1, "health": {"port": free_port()}, "drain": {"timeout": "200ms"},
              "dns": {"servers": [{"address": f"127.0.0.1:{silent.port}"}], "timeout": "10s", "attempts": 1},
              "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}]}

    def cluster(host, **keys):
        return {"name": "test", "discovery": "dns", "required": True, "endpoints": [{"address": f"{host}:{server.port}"}], **keys}

    try:
        proxy = start({**config, "clusters": [cluster("slow.test")]}, wait=False)
        eventually(lambda: proxy.blockers() == ["endpoints"], what="the blocker")
        assert proxy.reload({**config, "clusters": [cluster("slow.test", timeouts={"connect": "1s"})]})[0] == 200
        assert proxy.status()["blockers"] == ["endpoints"]
        assert proxy.reload({**config, "clusters": [cluster("localhost")]})[0] == 200  # /etc/hosts
        eventually(proxy.is_ready, what="ready", timeout=3)
        assert exchange(port, b"x") == b"x"
    finally:
        silent.program.signal(signal.SIGCONT)
        silent.stop()


def test_nothing_is_awaited_any_more_where_nothing_is_required(start, serve, tmp_path):
    port, server = free_port(), serve(echo)
    silent = NameServer(tmp_path / "names", {"x.test": ["127.0.0.1"]})
    silent.program.signal(signal.SIGSTOP)
    config = {"workers": 1, "health": {"port": free_port()}, "drain": {"timeout": "200ms"},
              "dns": {"servers": [{"address": f"127.0.0.1:{silent.port}"}], "timeout": "10s", "attempts": 1},
              "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}]}
    cluster = {"name": "test", "discovery": "dns", "endpoints": [{"address": f"slow.test:{server.port}"}]}
    try:
        proxy = start({**config, "clusters": [{**cluster, "required": True}]}, wait=False)
        eventually(lambda: proxy.blockers() == ["endpoints"], what="the blocker")
        assert proxy.reload({**config, "clusters": [cluster]})[0] == 200
        assert proxy.is_ready()
    finally:
        silent.program.signal(signal.SIGCONT)
        silent.stop()


def test_health_checks_do_not_multiply(start, serve, tmp_path):
    """Regression: an answer at once, as from /etc/hosts, made checks beside those that were taken over."""
    probes = serve(lambda connection: connection.close())
    names = NameServer(tmp_path / "names", {"x.test": ["127.0.0.1"]})
    config = {"workers": 1, "health": {"port": free_port()}, "drain": {"timeout": "200ms"},
              "dns": {"servers": [{"address": f"127.0.0.1:{names.port}"}]},
              "listeners": [{"name": "test", "address": f"127.0.0.1:{free_port()}", "cluster": "test"}]}

    def cluster(i):
        return {"name": "test", "discovery": "dns", "timeouts": {"connect": f"{i + 1}s"}, "health_check": {"interval": "100ms"},
                "endpoints": [{"address": f"127.0.0.1:{probes.port}"}, {"address": f"localhost:{free_port()}"}]}

    proxy = start({**config, "clusters": [cluster(0)]})
    for i in range(1, 8):
        assert proxy.reload({**config, "clusters": [cluster(i)]})[0] == 200
    time.sleep(0.3)
    before = probes.accepted
    time.sleep(1)
    assert probes.accepted - before < 20
    names.stop()


def test_endpoints_stay_while_new_names_cannot_be_asked_for(start, serve, tmp_path):
    """Regression: a host that was renamed while its server was away took all endpoints with it."""
    server, port = serve(echo), free_port()
    names = NameServer(tmp_path / "names", {"a.test": ["127.0.0.1"]}, ttl=60)
    config = {"workers": 1, "health": {"port": free_port()}, "drain": {"timeout": "200ms"},
              "dns": {"servers": [{"address": f"127.0.0.1:{names.port}"}], "timeout": "100ms", "attempts": 1},
              "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}]}
    cluster = {"name": "test", "discovery": "dns", "endpoints": [{"address": f"a.test:{server.port}"}]}
    proxy = start({**config, "clusters": [{**cluster, "required": True}]})
    names.stop()
    cluster["endpoints"] = [{"address": f"b.test:{server.port}"}]
    assert proxy.reload({**config, "clusters": [cluster]})[0] == 200
    eventually(lambda: proxy.log().count("cannot be resolved") >= 2, what="both families' failures")
    time.sleep(0.2)
    assert exchange(port, b"x") == b"x"


def test_a_file_that_met_a_bad_moment_is_tried_again(standing, serve):
    """Regression: nobody looked at it again. An address is taken, and becomes free."""
    server, taken = serve(echo), serve(echo)
    it = standing([server.port])
    it.proxy.write({**it.config, "listeners": [*it.config["listeners"],
                                               {"name": "late", "address": f"127.0.0.1:{taken.port}", "cluster": "test"}]})
    eventually(lambda: "Address already in use" in it.proxy.log(), what="the refusal")
    taken.close()
    eventually(lambda: it.proxy.status()["configuration"]["problem"] is None, what="another try")
    assert exchange(taken.port, b"x") == b"x"


def test_a_directory_that_is_never_quiet_does_not_hold_it_up(standing, serve):
    one, other = serve(greets(b"one")), serve(greets(b"other"))
    it = standing([one.port])
    over = threading.Event()

    def scribble():
        while not over.wait(0.02):
            with open(os.path.join(it.proxy.directory, "state"), "w", encoding="ascii") as file:
                file.write("x")

    scribbler = threading.Thread(target=scribble, daemon=True)
    scribbler.start()
    try:
        it.proxy.write({**it.config, "clusters": [it.cluster("test", [other.port])]})
        eventually(lambda: exchange(it.port) == b"other", what="the new file in force", timeout=3)
    finally:
        over.set()
        scribbler.join()


def test_what_inotify_does_not_see_is_noticed_all_the_same(start, serve, tmp_path):
    """A link further up changes: there is a look every five seconds."""
    one, other = serve(greets(b"one")), serve(greets(b"other"))
    port, health_port, home = free_port(), free_port(), tmp_path / "proxy0"
    for name, endpoint in (("v1", one.port), ("v2", other.port)):
        (home / name).mkdir(parents=True)
        (home / name / "o.yaml").write_text(yaml.safe_dump({
            "version": 1, "health": {"port": health_port}, "admin": {"port": 0}, "log": {"format": "text"}, "drain": {"timeout": "200ms"},
            "control": {"path": str(home / "control.sock")},
            "listeners": [{"name": "test", "address": f"127.0.0.1:{port}", "cluster": "test"}], "clusters": [Standing.cluster("test", [endpoint])]}))
    os.symlink("v1", home / "current")
    start({}, config_path=str(home / "current" / "o.yaml"))
    assert exchange(port) == b"one"
    os.symlink("v2", home / "next")
    os.rename(home / "next", home / "current")
    eventually(lambda: exchange(port) == b"other", what="the other directory's file", timeout=8)


def test_a_refusal_is_told_once(standing, serve):
    it = standing([serve(echo).port])
    it.refuse(workers=7)
    time.sleep(0.4)
    assert it.proxy.status()["configuration"]["refused"] == 1
    assert it.proxy.log().count("reload refused") == 1


def test_an_address_may_become_wider_and_narrower(standing, serve):
    server = serve(echo)
    it = standing([server.port])
    for workers_address in ("0.0.0.0", "127.0.0.1", "0.0.0.0"):
        it.reload(listeners=[{"name": "test", "address": f"{workers_address}:{it.port}", "cluster": "test"}])
        assert [exchange(it.port, b"x") for _ in range(10)] == [b"x"] * 10
        assert (exchange_or_none("127.0.0.2", it.port) == b"x") == (workers_address == "0.0.0.0")


def exchange_or_none(host, port):
    try:
        return exchange(port, b"x", host=host)
    except OSError:
        return None


def test_totals_never_go_back(standing, serve):
    server = serve(echo)
    it = standing([server.port])
    assert [exchange(it.port, b"x") for _ in range(5)] == [b"x"] * 5
    it.reload(clusters=[it.cluster("other", [server.port])],
              listeners=[{"name": "test", "address": f"127.0.0.1:{it.port}", "cluster": "other"}])
    stats = json.loads(it.proxy.request("GET", "/stats")[1])
    assert stats["connections"]["opened"] == stats["connections"]["ended"] == 5 and stats["bytes"]["from_client"] == 5
    assert exchange(it.port, b"x") == b"x"
    it.proxy.stop()
    assert "connections: 6 opened; ended: completed 6" in it.proxy.log()


def test_a_thousand_reloads_under_load_lose_nothing_and_leak_nothing(standing, serve):
    one, other = serve(echo, backlog=1024), serve(echo, backlog=1024)
    count = int(os.environ.get("OUTRIGGER_RELOADS", "100"))
    it = standing([one.port])
    long_lived, load = served(it.port), Load(it.port, 4)
    listeners = it.config["listeners"]
    second = [*listeners, {"name": "second", "address": f"127.0.0.1:{free_port()}", "cluster": "more"}]
    before = None
    for i in range(count):
        endpoints = [one.port, other.port] if i % 2 else [other.port]
        it.reload(clusters=[it.cluster("test", endpoints), it.cluster("more" if i % 3 else "less", [one.port])],
                  listeners=second if i % 3 else listeners)
        if i == count // 5:
            before = resident(it.proxy.pid), descriptors(it.proxy.pid)
    load.stop()
    assert not load.problems and load.exchanged > count
    long_lived.sendall(b"x")
    assert long_lived.recv(1) == b"x"
    long_lived.close()
    eventually(lambda: it.proxy.active() == 0, what="the end of all")
    assert set(it.proxy.ended("test")) == {"completed"}
    assert it.proxy.status()["configuration"]["reloads"] == count
    assert descriptors(it.proxy.pid) <= before[1]
    if "san" not in built_programs():
        assert resident(it.proxy.pid) < before[0] * 1.1 + 512


def resident(pid):
    """KiB."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
