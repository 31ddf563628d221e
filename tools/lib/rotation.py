"""
Certificates as they come and go: two pods whose sidecars speak mutual TLS, wrk through them with and without keep-alive, and meanwhile
the certificates of both are renewed again and again, and the root is changed twice (old, both, new). Nothing may fail.
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.support.mesh import PROXY_UID, SERVER, Mesh  # noqa: E402
from tests.support.namespaces import Namespace, join  # noqa: E402
from tests.support.outrigger import Outrigger, copy_programs  # noqa: E402
from tests.support.processes import end_on_sigterm, eventually, positive  # noqa: E402
from tests.support.servers import Nginx  # noqa: E402
from tools.lib.rollout import EXPLAINED, Failed, Load  # noqa: E402

from ca import CA  # noqa: E402


class Rotation:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="outrigger-rotation-")
        os.chmod(self.directory, 0o755)
        self.namespaces, self.proxies, self.nginx = [], [], None
        self.began = time.monotonic()

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def _start(self, config, namespace, uid):
        proxy = Outrigger(self.programs, os.path.join(self.directory, f"proxy{len(self.proxies)}"),
                          {**config, "log": {"level": "info"}}, namespace, uid)
        self.proxies.append(proxy)
        return proxy

    def prepare(self):
        self.programs = copy_programs(os.path.join(self.directory, "bin"))
        self.namespaces = [Namespace("client"), Namespace("server")]
        join(*self.namespaces, 78)
        self.mesh = Mesh(self.namespaces, self._start, self.programs, pathlib.Path(self.directory))
        self.nginx = Nginx(os.path.join(self.directory, "nginx"), [f"{SERVER}:8080"], "hello", self.namespaces[1])
        limits = {"circuit_breaker": {"max_connections": 0}}
        self.mesh.start_b(self.mesh.config_b())
        self.mesh.start_a(self.mesh.config_a(cluster=limits))
        self.say(f"two sidecars, uid {PROXY_UID}, strict and mutual")

    def renew(self, **options):
        """Both, and waits until they are in force."""
        for workload, proxy in ((self.mesh.app, self.mesh.b), (self.mesh.web, self.mesh.a)):
            before = proxy.identity()["loaded"]
            workload.issue(**options)
            eventually(lambda: proxy.identity()["loaded"] > before, what="the renewal")  # noqa: B023

    def rotate(self, times):
        for turn in range(times):
            self.renew()
            if (turn + 1) % 25 == 0:
                self.say(f"{turn + 1} renewals of both")

    def change_roots(self):
        old = self.mesh.ca
        for name in ("second", "third"):
            new = CA(os.path.join(self.directory, name))
            self.renew(ca=old, roots=[old, new])
            self.renew(ca=new, roots=[old, new])
            self.renew(ca=new, roots=[new])
            old = new
            self.say(f"the {name} root, after both were trusted")

    def clean_up(self):
        for proxy in self.proxies:
            proxy.program.stop()
        if self.nginx:
            self.nginx.stop()
        for namespace in self.namespaces:
            namespace.delete()
        shutil.rmtree(self.directory)


def drill(rotation, times):
    rotation.prepare()
    loads = [Load("http://127.0.0.1:7000/", keep_alive, rotation.namespaces[0]) for keep_alive in (True, False)]
    try:
        rotation.rotate(times)
        rotation.change_roots()
    finally:
        for load in loads:
            load.stop()
    mesh = rotation.mesh
    for proxy in (mesh.a, mesh.b):
        eventually(lambda: proxy.status()["connections"]["active"] == 0, what="no connection left")  # noqa: B023
    endings = {**mesh.a.ended("app"), **{f"{name} (server)": count for name, count in mesh.b.ended("inbound", "inbound").items()}}
    handshakes = {**mesh.a.identity()["handshakes"]["dialled"], **mesh.b.identity()["handshakes"]["accepted"]}
    failures = sum(load.failures for load in loads)
    print(f"\n{loads[0].requests} requests with keep-alive, {loads[1].requests} without: {failures} failed\n"
          f"handshakes by problem: {handshakes}\nconnections by how they ended: {endings}")
    unexplained = {name: count for name, count in endings.items() if name.split()[0] not in EXPLAINED}
    if failures or unexplained or set(handshakes) != {"none"}:
        raise Failed(f"{failures} failed requests; unexplained endings: {unexplained or 'none'}; handshakes: {handshakes}\n" +
                     "".join(load.output for load in loads))


def main():
    parser = argparse.ArgumentParser(prog="tools/campaign rotation", description=__doc__)
    parser.add_argument("--rotations", type=positive, default=100, help="how many (100)")
    arguments = parser.parse_args()
    end_on_sigterm()
    rotation = Rotation()
    try:
        drill(rotation, arguments.rotations)
    except (Failed, AssertionError) as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        rotation.clean_up()
    print("\n0 failed requests, 0 failed handshakes.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
