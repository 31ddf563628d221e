"""Drops, refusals and quiet times in turn, under load: the service always returns, one endpoint's trouble is nobody's, nothing leaks."""

import os
import threading
import time

from tests.support.clients import connect
from tests.support.processes import eventually
from tests.support.servers import Server, echo

SERVER = "10.78.0.2"
PORTS = [9301, 9302, 9303]


class Storm:
    """New connections to some ports are dropped or refused; those that there are go on, for what they have sent cannot be tried again."""

    def __init__(self, space):
        self.space = space
        space.run(["nft", "add table inet storm; add chain inet storm in { type filter hook input priority 0; }"])

    def begin(self, ports, verdict):
        self.space.run(["nft", f"add rule inet storm in tcp dport {{ {','.join(map(str, ports))} }} "
                        f"tcp flags & (syn | ack) == syn {verdict}"])

    def end(self):
        self.space.run(["nft", "flush chain inet storm in"])


class Load:
    """Clients that ask without a pause; each answer or failure with its time."""

    def __init__(self, space, port, clients=8):
        self.space, self.port = space, port
        self.results, self.ended = [], threading.Event()
        self.threads = [threading.Thread(target=lambda: space.inside(self.ask_on)) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask_on(self):
        while not self.ended.is_set():
            begun = time.monotonic()
            try:
                with connect(self.port, timeout=10) as client:
                    client.sendall(b"x")
                    good = client.recv(1) == b"x"
            except OSError:
                good = False
            self.results.append((begun, time.monotonic(), good))
            time.sleep(0.005)

    def begun_between(self, first, last):
        return [good for begun, _, good in self.results if first <= begun < last]

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def test_storms_pass_and_leave_nothing(pods, start):
    near, far = pods
    servers = [far.inside(lambda port=port: Server(echo, host=SERVER, port=port, backlog=1024)) for port in PORTS]
    proxy = start({"listeners": [{"name": "test", "address": "127.0.0.1:9000", "cluster": "test"}],
                   "clusters": [{"name": "test", "endpoints": [{"address": f"{SERVER}:{port}"} for port in PORTS],
                                 "timeouts": {"connect": "200ms"},
                                 "outlier_detection": {"base_ejection": "300ms", "max_ejection": "500ms"}}],
                   "drain": {"timeout": "500ms"}}, namespace=near)
    storm = Storm(far)
    descriptors = len(os.listdir(f"/proc/{proxy.pid}/fd"))
    load = Load(near, 9000)
    time.sleep(0.5)

    for verdict in ("drop", "reject with tcp reset", "reject"):  # one endpoint: nobody notices
        begun = time.monotonic()
        storm.begin(PORTS[:1], verdict)
        time.sleep(0.8)
        storm.end()
        time.sleep(0.3)
        during = load.begun_between(begun, time.monotonic() - 0.2)
        assert during and all(during), f"{verdict}: {during.count(False)} of {len(during)} failed"

    for verdict in ("drop", "reject with tcp reset") * 2:  # all of them: the service is back within a second
        storm.begin(PORTS, verdict)
        time.sleep(0.8)
        storm.end()
        returned = time.monotonic()
        time.sleep(2)
        after = load.begun_between(returned + 1, returned + 1.9)
        assert len(after) > 20 and all(after), f"{verdict}: {after.count(False)} of {len(after)} failed a second later"

    load.stop()
    eventually(lambda: proxy.active() == 0, what="no connection left", timeout=5)
    eventually(lambda: len(os.listdir(f"/proc/{proxy.pid}/fd")) <= descriptors, what="no descriptor left")
    endpoints = proxy.status()["clusters"][0]["endpoints"]
    assert [each["active"] for each in endpoints] == [0, 0, 0]
    ended = proxy.ended("test")
    assert sum(ended.values()) == len(load.results)
    assert ended["completed"] >= sum(good for _, _, good in load.results) * 0.99
    for server in servers:
        server.close()
