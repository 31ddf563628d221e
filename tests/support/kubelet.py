"""
What the engine here lacks of a kubelet, so that pods run as they were injected: containers one after the other, native sidecars,
startup probes and hooks, readiness, volumes of annotations and secrets, and who ends when. Podman does the containers.
"""

import copy
import http.client
import os
import shutil
import time

from .namespaces import Namespace
from .pods import Pod
from .processes import eventually, run

NODE = "10.80.0.254"


class Node:
    """A network namespace with a bridge: whence the kubelet probes, and where pods reach each other."""

    def __init__(self):
        self.space = Namespace("node")
        self.space.run(["ip", "link", "add", "br0", "type", "bridge"])
        self.space.run(["ip", "address", "add", f"{NODE}/24", "dev", "br0"])
        self.space.run(["ip", "link", "set", "br0", "up"])

    def attach(self, space, number):
        """Returns the pod's address."""
        run(["ip", "link", "add", "eth0", "netns", space.name, "type", "veth", "peer", "name", f"pod{number}", "netns", self.space.name])
        self.space.run(["ip", "link", "set", f"pod{number}", "master", "br0", "up"])
        space.run(["ip", "address", "add", f"10.80.0.{number}/24", "dev", "eth0"])
        space.run(["ip", "link", "set", "eth0", "up"])
        space.run(["ip", "route", "add", "default", "via", NODE])
        return f"10.80.0.{number}"

    def get(self, address, port, path, timeout):
        """An HTTP request from the node: its status, or None."""
        def ask():
            connection = http.client.HTTPConnection(address, port, timeout=timeout)
            try:
                connection.request("GET", path, headers={"User-Agent": "kube-probe/1.29"})
                return connection.getresponse().status
            except OSError:
                return None
            finally:
                connection.close()

        return self.space.inside(ask)

    def delete(self):
        self.space.delete()


def annotation_of(field, document):
    assert field.startswith("metadata.annotations['"), field
    return document["metadata"]["annotations"][field.split("'")[1]]


def write_volume(volume, document, secrets, path):
    """Fills a directory with what the kubelet would have put there."""
    os.makedirs(path)
    for source in volume.get("projected", {}).get("sources", [volume]):
        if "downwardAPI" in source:
            for item in source["downwardAPI"]["items"]:
                with open(os.path.join(path, item["path"]), "w", encoding="utf-8") as file:
                    file.write(annotation_of(item["fieldRef"]["fieldPath"], document))
        elif "secret" in source:
            shutil.copytree(secrets[source["secret"]["secretName"]], path, dirs_exist_ok=True)
        else:
            assert set(source) - {"name"} == {"emptyDir"}, source
    for directory, _, files in os.walk(path):
        os.chmod(directory, 0o777)
        for name in files:
            os.chmod(os.path.join(directory, name), 0o644)


class Kubelet:
    """One pod, from start to end. `secrets`: name to directory. It raises where the kubelet would not go on."""

    def __init__(self, podman, node, number, document, directory, secrets=None):
        self.document, self.node, self.directory = document, node, str(directory)
        self.spec = copy.deepcopy(document["spec"])
        self.probes, self.hooks = {}, {}
        volumes = []
        for volume in self.spec.get("volumes", []):
            path = os.path.join(self.directory, volume["name"])
            write_volume(volume, document, secrets or {}, path)
            volumes.append({"name": volume["name"], "hostPath": {"path": path}})
        self.sidecars = [each["name"] for each in self.spec.get("initContainers", []) if each.pop("restartPolicy", None) == "Always"]
        self.inits = [each["name"] for each in self.spec.get("initContainers", []) if each["name"] not in self.sidecars]
        self.main = [each["name"] for each in self.spec["containers"]]
        containers = [*self.spec.pop("initContainers", []), *self.spec["containers"]]
        self.order = [each["name"] for each in containers]
        for each in containers:
            self.probes[each["name"]] = {kind: each.pop(kind) for kind in ("startupProbe", "readinessProbe", "livenessProbe") if kind in each}
            self.hooks[each["name"]] = each.pop("lifecycle", {})
            each.pop("ports", None)  # podman would publish them on the host
            each.pop("resources", None)  # there may be no cgroup to limit here
        self.pod = Pod(podman, {**self.spec, "volumes": volumes, "containers": containers}, start=False)
        infra = self.pod.start_infra()
        self.space = Namespace("pod", pid=infra)
        self.address = node.attach(self.space, number)

    def start(self):
        for name in self.order:
            self.pod.start(name)
            if name in self.inits:
                eventually(lambda name=name: not self.pod.is_running(name), what=f"the end of {name}", timeout=30)
                assert self.pod.exit_code(name) == 0, self.pod.log(name)
            elif name in self.sidecars and "startupProbe" in self.probes[name]:
                eventually(lambda name=name: self.probe(name, "startupProbe"), what=f"the start of {name}", timeout=30, every=0.1)
            hook = self.hooks[name].get("postStart")
            if hook:
                self.pod.exec(name, *hook["exec"]["command"])
        return self

    def probe(self, name, kind):
        """As the kubelet asks, from the node; True without such a probe."""
        probe = self.probes[name].get(kind)
        if not probe:
            return True
        request = probe["httpGet"]
        status = self.node.get(self.address, request["port"], request["path"], probe.get("timeoutSeconds", 1))
        return status is not None and 200 <= status < 400

    def is_ready(self):
        return all(self.probe(name, "readinessProbe") for name in [*self.sidecars, *self.main])

    def wait_for_main(self, timeout=30):
        """A Job's pod: until its own containers have ended; then its native sidecars are told to. Returns their codes."""
        own = [name for name in self.main if name != "outrigger"]
        eventually(lambda: not any(self.pod.is_running(name) for name in own), what="the job's end", timeout=timeout, every=0.1)
        self._end(reversed(self.sidecars), 10)
        return {name: self.pod.exit_code(name) for name in [*self.sidecars, *self.main]}

    def stop(self):
        """The pod is deleted: everything but native sidecars is told to end at once, those when the rest has ended."""
        grace = self.spec.get("terminationGracePeriodSeconds", 30)
        begun = time.monotonic()
        self._end(self.main, grace)
        self._end(reversed(self.sidecars), max(1, grace - (time.monotonic() - begun)))
        return time.monotonic() - begun

    def _end(self, names, grace):
        names = [name for name in names if self.pod.is_running(name)]
        end = time.monotonic() + grace
        for name in names:
            self.pod.kill(name, "TERM")
        while any(self.pod.is_running(name) for name in names):
            if time.monotonic() > end:
                for name in names:
                    self.pod.kill(name, "KILL")
                end += 10
            time.sleep(0.1)

    def delete(self):
        self.pod.delete()
        self.space.delete()
