"""A person who watches: top on a terminal and without one, connections by what they are, trace step by step."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

from tests.support.clients import connect, connect_late, ending, exchange, served
from tests.support.processes import eventually
from tests.support.servers import echo, free_port


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv, rows=30, columns=130):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(argv[0], [str(word) for word in argv])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.output = ""

    def read(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.output += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    return

    def page(self):
        """What stands on the screen now."""
        return self.output.split("\033[H\033[J")[-1].replace("\r", "").split("\033[?25h")[0]

    def until(self, what, timeout=10):
        end = time.monotonic() + timeout
        while what not in self.page():
            assert time.monotonic() < end, f"{what!r} is not in\n{self.page()}"
            self.read(0.1)

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def end(self):
        self.read(0.5)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def busy(serve, start):
    """Two clusters with traffic: one good, one whose endpoints refuse in part."""
    orders, users = free_port(), free_port()
    proxy = start({"workers": 2, "access_log": {"filter": "none"},
                   "listeners": [{"name": "orders", "address": f"127.0.0.1:{orders}", "cluster": "orders"}, {"name": "users", "address": f"127.0.0.1:{users}", "cluster": "users"}],
                   "clusters": [{"name": "orders", "endpoints": [{"address": f"127.0.0.1:{serve(echo).port}"}]},
                                {"name": "users", "endpoints": [{"address": f"127.0.0.1:{free_port()}"}], "retry": {"attempts": 1}, "outlier_detection": {"consecutive_failures": 1, "base_ejection": "1m", "max_ejected": "100%"}}]})
    ends = threading.Event()

    def load():
        while not ends.is_set():
            exchange(orders, b"x" * 1000)
            with connect_late(users) as client:
                ending(client)
            time.sleep(0.02)
    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    yield proxy, orders, users
    ends.set()
    thread.join()


def top(proxy, *words):
    return Terminal([f"{proxy.programs}/outriggerctl", "--socket", proxy.socket_path, "top", "--interval", "200ms", *words])


def test_top_on_a_terminal_shows_rates_endpoints_and_reasons_and_answers_keys(busy):
    proxy, _, _ = busy
    screen = top(proxy)
    screen.until("ENDED FOR")
    page = screen.page()
    assert re.search(r"^outrigger: ready, .* resident", page)
    assert re.search(r"^listener +orders +\d+ +[1-9]\d* ", page, re.MULTILINE)
    assert re.search(r"users +ejected", page) and re.search(r"^(connect_refused|no_endpoint) +users +listener +[\d.]+ +\d+$", page, re.MULTILINE)
    assert page.index("ejected") < page.index("healthy")  # what is wrong comes first
    screen.press("n")
    screen.until("by name")
    assert screen.page().index("orders") < screen.page().index("users")
    screen.press("/use\n")
    screen.until("filter use;")
    eventually(lambda: screen.read(0.1) or "orders" not in screen.page(), what="the filter")
    screen.press("er")
    eventually(lambda: screen.read(0.1) or ("ENDPOINT" not in screen.page() and "ENDED FOR" not in screen.page()), what="less")
    screen.press("p")
    screen.until("PAUSED")
    screen.press("q")
    assert screen.end() == 0 and screen.output.endswith("\033[?25h\033[?1049l")  # the screen is as it was


def test_top_fits_the_terminal(busy):
    proxy, _, _ = busy
    screen = top(proxy)
    fcntl.ioctl(screen.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 40, 0, 0))
    screen.read(1.5)
    lines = screen.page().rstrip("\n").split("\n")
    assert len(lines) <= 8 and max(map(len, lines)) <= 40
    os.kill(screen.pid, signal.SIGINT)
    assert screen.end() == 0


def test_top_ends_with_its_proxy_and_gives_the_terminal_back(serve, start):
    proxy = start({"listeners": [{"name": "a", "address": f"127.0.0.1:{free_port()}", "cluster": "a"}], "clusters": [{"name": "a", "endpoints": [{"address": f"127.0.0.1:{serve(echo).port}"}]}]})
    screen = top(proxy)
    screen.until("no connection so far")
    assert proxy.stop() == 0
    assert screen.end() == 69 and "no proxy answers" in screen.output.split("\033[?1049l")[-1]


def test_top_without_a_terminal_is_plain(busy):
    proxy, _, _ = busy
    with subprocess.Popen([f"{proxy.programs}/outriggerctl", "--socket", proxy.socket_path, "top", "--interval", "100ms"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        lines = [process.stdout.readline() for _ in range(40)]
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(5) == 0
    assert not any("\033" in line for line in lines) and sum(line.startswith("outrigger: ready") for line in lines) >= 2


def listed(proxy, *words):
    return json.loads(proxy.ctl("--json", "connections", *words).stdout)


def test_connections_are_chosen_by_what_they_are(serve, start):
    ports, servers = [free_port(), free_port()], [serve(echo), serve(echo)]
    proxy = start({"workers": 2, "listeners": [{"name": f"l{i}", "address": f"127.0.0.1:{port}", "cluster": f"c{i}"} for i, port in enumerate(ports)],
                   "clusters": [{"name": f"c{i}", "endpoints": [{"address": f"127.0.0.1:{server.port}"}]} for i, server in enumerate(servers)]})
    first = served(ports[0])
    time.sleep(0.4)
    second, silent = served(ports[1]), connect(ports[1])
    eventually(lambda: listed(proxy)["total"] == 3, what="connections")
    assert {each["cluster"] for each in listed(proxy, "cluster=c1")["connections"]} == {"c1"} and len(listed(proxy, "cluster=c1")["connections"]) == 2
    assert [each["state"] for each in listed(proxy, "cluster=c1", "state=awaiting_reply")["connections"]] == ["awaiting_reply"]
    assert [each["cluster"] for each in listed(proxy, "age=400ms")["connections"]] == ["c0"]
    assert [each["cluster"] for each in listed(proxy, "idle=400ms", "direction=listener")["connections"]] == ["c0"]
    own = "%s:%d" % second.getsockname()
    assert [each["client"] for each in listed(proxy, f"client={own}")["connections"]] == [own]
    assert len(listed(proxy, f"endpoint=127.0.0.1:{servers[0].port}")["connections"]) == 1 and len(listed(proxy, "endpoint=127.")["connections"]) == 3
    chosen = listed(proxy, "cluster=c0")["connections"][0]
    assert listed(proxy, f"id={chosen['id']}")["connections"][0]["id"] == chosen["id"] and listed(proxy, "direction=inbound") == {"total": 3, "connections": []}
    assert "1 of 3 connections" in proxy.ctl("connections", "cluster=c0").stdout
    for words, problem in ((["name=x"], '"name" is not known; allowed: id, cluster'), (["age=soon"], "age: a duration is wanted")):
        done = proxy.ctl("connections", *words)
        assert done.returncode == 1 and problem in done.stderr
    assert proxy.ctl("connections", "c0").returncode == 2
    for client in (first, second, silent):
        client.close()


class Trace:
    def __init__(self, proxy, *words):
        self.process = subprocess.Popen([f"{proxy.programs}/outriggerctl", "--socket", proxy.socket_path, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)

    def end(self):
        time.sleep(0.4)
        self.process.send_signal(signal.SIGINT)
        output, errors = self.process.communicate(timeout=5)
        return self.process.returncode, output, errors


def test_trace_shows_each_step_of_a_clusters_connections(serve, plain):
    refusing = free_port()
    proxy, port = plain([refusing, serve(echo).port])
    trace = Trace(proxy, "trace", "test")
    with connect(port) as client:
        own = client.getsockname()[1]
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert ending(client) == (b"hello", "end")
    code, output, _ = trace.end()
    assert code == 0
    steps = [line.split(None, 3)[3] for line in output.splitlines()]
    assert steps[0] == f"new -> connecting: from 127.0.0.1:{own}"
    assert f"attempt 1 at 127.0.0.1:{refusing} failed: Connection refused" in steps
    assert any(step.startswith("connecting -> awaiting_reply: attempt 2, 127.0.0.1:") for step in steps)
    assert steps[-1].startswith("ending -> closed: completed, 5 bytes from client, 5 from upstream, ")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}Z [01]-\d+ +test .*", output.splitlines()[0])


def test_trace_of_one_connection_shows_no_other(serve, plain):
    proxy, port = plain([serve(echo).port])
    with served(port):
        chosen = listed(proxy)["connections"][0]["id"]
        trace = Trace(proxy, "--json", "trace", chosen)
        for _ in range(5):
            exchange(port, b"x")
    code, output, _ = trace.end()
    steps = [json.loads(line) for line in output.splitlines()]
    assert code == 0 and {step["id"] for step in steps} == {chosen}
    assert steps[-1]["to"] == "closed" and steps[-1]["detail"].startswith("completed")


def test_trace_is_one_at_a_time_bounded_and_off_when_nobody_asks(serve, plain):
    proxy, port = plain([serve(echo, backlog=512).port])
    trace = Trace(proxy, "trace", "test")
    second = proxy.ctl("trace", "--timeout", "0s", "test")
    assert second.returncode == 1 and "somebody else is watching" in second.stderr
    trace.process.send_signal(signal.SIGSTOP)
    for _ in range(1200):  # six steps each; 4096 are kept
        exchange(port, b"x")
    trace.process.send_signal(signal.SIGCONT)
    code, output, errors = trace.end()
    # It may have been stopped for longer than anybody waits: then its session is a new one, and what was is gone.
    assert code == 0, errors
    assert len(output.splitlines()) <= 4096 + 100
    assert proxy.ctl("trace", "--timeout", "0s", "test").returncode == 0  # free again at once
    for words, code in ((["trace", "nobody"], 1), (["trace", "0-x"], 1), (["trace", "a b"], 2), (["trace"], 2)):
        assert proxy.ctl(*words).returncode == code


def test_trace_is_only_for_who_may_change_things(serve, plain):
    proxy, _ = plain([serve(echo).port], admin={"port": (admin := free_port())}, control={"allow": {"read": "any", "all": [4242], "quit": [4242]}})
    assert proxy.request("POST", "/trace", body="session=1 test")[0] == 403
    with socket.create_connection(("127.0.0.1", admin), 5) as client:
        client.sendall(b"POST /trace HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\nConnection: close\r\n\r\nsession=1 test")
        assert client.recv(100).startswith(b"HTTP/1.1 403")
