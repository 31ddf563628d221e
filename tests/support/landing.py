"""A pod in a small world, to see where its connections land.

    server ── eth0 (10.78.0.1, fd4e::1) ── pod ── eth1 (10.79.0.1, fd4f::1) ── vm
                                            └──── eth2 (10.80.0.1, fd50::1) ── side

The server owns every address beyond eth0 and answers on every port. In the pod, one listener stands for each of the
proxy's ports, and one for the app's.
"""

import json
import os
import socket
import sys
import threading

from .namespaces import join
from .processes import eventually, run

IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
APP_PORTS = [22, 80, 443, 2222, 8080, 9090, 15000, 15008, 15020, 15021]
DIAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dial.py")


class Listener:
    """Says one word to everybody who connects, over both families, on several ports."""

    def __init__(self, word, ports):
        self.word = word.encode()
        self.sockets = [self._open(family, port) for port in ports for family in (socket.AF_INET, socket.AF_INET6)]
        for listener in self.sockets:
            threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    @staticmethod
    def _open(family, port):
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        else:
            listener.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)  # without TPROXY rules it makes no difference
        listener.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
        listener.listen(128)
        return listener

    def _serve(self, listener):
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection:
                try:
                    connection.sendall(self.word)
                except OSError:
                    pass  # the dialler is gone; what it saw is what counts

    def close(self):
        for listener in self.sockets:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            except OSError:
                pass  # the namespace's loopback is down, or accept() has seen it already
            listener.close()


class Probe:
    """One connection: `origin` is the namespace that makes it; `interface` by which it comes in, None when it goes out."""

    INTERFACES = {"server": "eth0", "vm": "eth1", "side": "eth2"}
    SOURCES = {"server": ("10.78.0.2", "fd4e::2"), "vm": ("10.79.0.2", "fd4f::2"), "side": ("10.80.0.2", "fd50::2")}

    def __init__(self, origin, to, port, uid=1000, gid=1000, source=None):
        self.origin, self.to, self.port, self.uid, self.gid, self.source = origin, to, port, uid, gid, source

    def request(self):
        return {"to": self.to, "port": self.port, "uid": self.uid, "gid": self.gid, "from": self.source}

    def trace(self):
        """The same as options of `outrigger-init trace`."""
        host = f"[{self.to}]" if ":" in self.to else self.to
        words = ["--to", f"{host}:{self.port}"]
        if self.origin == "pod":
            return words + ["--uid", str(self.uid), "--gid", str(self.gid)] + (["--from", self.source] if self.source else [])
        return words + ["--in-interface", self.INTERFACES[self.origin], "--from", self.SOURCES[self.origin][":" in self.to]]


class World:
    def __init__(self, namespace):
        self.pod, self.server, self.vm, self.side = (namespace(label) for label in ("pod", "server", "vm", "side"))
        join(self.pod, self.server, 78)
        self._add_leg(self.vm, 79, "eth1")
        self._add_leg(self.side, 80, "eth2")
        self.pod.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        for words in (["ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "9"],
                      ["ip", "-6", "route", "add", "local", "::/0", "dev", "lo", "table", "9"],
                      ["ip", "rule", "add", "iif", "eth0", "lookup", "9"], ["ip", "-6", "rule", "add", "iif", "eth0", "lookup", "9"]):
            self.server.run(words)
        self.server.run(["nft", "-f", "-"], stdin=None, input="""table inet world { chain every {
type nat hook prerouting priority dstnat;
meta l4proto tcp redirect to :7000
}
}
""")
        self.listeners = [self.server.inside(lambda: Listener("direct", [7000])),
                          self.side.inside(lambda: Listener("direct", APP_PORTS)),
                          self.pod.inside(lambda: Listener("outbound", [15001])),
                          self.pod.inside(lambda: Listener("inbound", [15006])),
                          self.pod.inside(lambda: Listener("direct", APP_PORTS))]
        ways = [Probe(origin, to, 8080) for origin, to in (("pod", "10.96.0.10"), ("pod", "fd96::10"), ("server", "fd4e::1"),
                                                           ("vm", "fd96::10"), ("side", "fd50::1"), ("pod", "fd50::2"))]
        # IPv6 neighbours take their time, and a lost first packet a second.
        eventually(lambda: set(self.landings(ways)) == {"direct"}, timeout=30, what="every way open")

    def _add_leg(self, other, net, interface):
        run(["ip", "link", "add", interface, "netns", self.pod.name, "type", "veth", "peer", "name", "eth0", "netns", other.name])
        for namespace, own, name in ((self.pod, 1, interface), (other, 2, "eth0")):
            namespace.run(["ip", "address", "add", f"10.{net}.0.{own}/24", "dev", name])
            namespace.run(["ip", "address", "add", f"fd{net:02x}::{own}/64", "dev", name, "nodad"])
            namespace.run(["ip", "link", "set", name, "up"])
        other.run(["ip", "route", "add", "default", "via", f"10.{net}.0.1"])
        other.run(["ip", "-6", "route", "add", "default", "via", f"fd{net:02x}::1"])

    def landings(self, probes):
        """Where each probe lands, in order."""
        landed = [None] * len(probes)
        for origin in ("pod", "server", "vm", "side"):
            chosen = [number for number, probe in enumerate(probes) if probe.origin == origin]
            if not chosen:
                continue
            done = getattr(self, origin).run([sys.executable, DIAL], stdin=None, timeout=300,
                                             input=json.dumps([probes[number].request() for number in chosen]))
            for number, word in zip(chosen, json.loads(done.stdout)):
                landed[number] = word
        return landed

    def close(self):
        for listener in self.listeners:
            listener.close()
