"""With intercept.require the proxy is ready exactly when the redirect rules are in force, which it proves by a connection of its own."""

import os
import time

import pytest

from tests.support.namespaces import ROOT_AS_PROXY
from tests.support.processes import eventually

MODES = {"redirect": 1337, "tproxy": ROOT_AS_PROXY}


def blockers(proxy):
    return proxy.status()["blockers"]


def start_requiring(start, space, mode="redirect", **intercept):
    return start({"intercept": {"require": True, "inbound": {"mode": mode}, **intercept}, "health": {"port": 15021},
                  "drain": {"timeout": "200ms"}}, namespace=space, uid=MODES[mode], wait=False)


@pytest.mark.parametrize("mode", MODES)
def test_not_ready_before_the_rules_are_there(namespace, start, programs, mode):
    space, init = namespace("pod"), os.path.join(programs, "outrigger-init")
    proxy = start_requiring(start, space, mode)
    eventually(lambda: os.path.exists(proxy.socket_path) and blockers(proxy) == ["interception"], what="the blocker alone")
    time.sleep(0.5)
    assert not proxy.is_ready() and blockers(proxy) == ["interception"]
    space.run([init, "-m", mode])
    eventually(proxy.is_ready, what="ready", timeout=3)
    assert "interception is proven" in proxy.log()
    assert set(proxy.traffic("inbound", "inbound")["ended"]) == {"probe"}


def test_ready_at_once_where_the_rules_are_there(namespace, start, programs):
    space = namespace("pod")
    space.run([os.path.join(programs, "outrigger-init")])
    proxy = start_requiring(start, space)
    eventually(proxy.is_ready, what="ready", timeout=1)


def test_somebody_else_at_the_address_proves_nothing(namespace, start, programs):
    """No rules, and an app that listens everywhere and says what the proxy would not."""
    space = namespace("pod")
    app = space.start(["/usr/bin/python3", "-c",
                       "import socket\nl = socket.create_server(('0.0.0.0', 15002))\n"
                       "while True:\n c, _ = l.accept()\n c.sendall(b'outrigger 127.0.0.1:15002 redirect mark 0\\n')\n c.close()"], os.devnull)
    try:
        proxy = start_requiring(start, space)
        eventually(lambda: "was answered by something else" in proxy.log(), what="the warning", timeout=15)
        assert blockers(proxy) == ["interception"]
    finally:
        app.stop()


def test_without_the_key_nothing_waits(namespace, start):
    proxy = start({"intercept": {}, "health": {"port": 15021}, "drain": {"timeout": "200ms"}}, namespace=namespace("pod"), uid=1337)
    assert proxy.is_ready() and blockers(proxy) == []
