"""Real pods: podman plays a Kubernetes Pod, with storage and settings of the test's own, which go with it."""

import contextlib
import itertools
import json
import os
import re
import shutil
import stat

import pytest
import yaml

from .namespaces import Namespace
from .outrigger import ROOT
from .processes import eventually, run

_numbers = itertools.count()

# For the pytestmark of whatever plays pods.
NEEDS_PODMAN = [
    pytest.mark.skipif(os.getuid() != 0, reason="pods need root"),
    pytest.mark.skipif(not all(shutil.which(name) for name in ("podman", "buildah", "runc")), reason="there is no podman"),
]

# Machines where a container's limits cannot be raised (no CAP_SYS_RESOURCE) still run containers without them.
RUNTIME = """#!/usr/bin/python3
import json, os, sys

def relax(path, find):
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    find(spec).pop("rlimits", None)
    find(spec).pop("oomScoreAdj", None)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(spec, file)

words = sys.argv[1:]
for word, value in zip(words, words[1:]):
    if word in ("--bundle", "-b"):
        relax(os.path.join(value, "config.json"), lambda spec: spec["process"])
    if word in ("--process", "-p"):
        relax(value, lambda spec: spec)
os.execvp("runc", ["runc", *words])
"""

REFERENCE = "localhost/outrigger-test:1"
BARE = "localhost/outrigger-test-bare:1"
PAUSE = "localhost/outrigger-test-pause:1"


def libraries(program):
    """The files that a program needs to be loaded."""
    found = run(["ldd", program], check=False).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", found)))


class Podman:
    """Its own storage, with an image of the programs and busybox, and one of busybox alone."""

    def __init__(self, directory, programs):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        runtime = self._write("runtime", RUNTIME)
        os.chmod(runtime, stat.S_IRWXU)
        self._write("containers.conf", "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n"
                    f"infra_image = \"{PAUSE}\"\nruntime = \"wrapped\"\n[engine.runtimes]\nwrapped = [\"{runtime}\"]\n")
        self._write("storage.conf", f"[storage]\ndriver = \"vfs\"\ngraphroot = \"{self.directory}/storage\"\n"
                    f"runroot = \"{self.directory}/run\"\n")
        self._write("policy.json", '{"default": [{"type": "insecureAcceptAnything"}]}')
        self.environment = {**os.environ, "CONTAINERS_CONF": f"{self.directory}/containers.conf",
                            "CONTAINERS_STORAGE_CONF": f"{self.directory}/storage.conf", "TMPDIR": self.directory}
        self._build(programs)

    def _write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _run(self, argv, **options):
        return run(argv, env=self.environment, **options)

    def podman(self, *words, check=True, timeout=60):
        return self._run(["podman", *words], check=check, timeout=timeout)

    def _build(self, programs):
        bare, root = os.path.join(self.directory, "bare"), os.path.join(self.directory, "root")
        for name in ("bin", "tmp", "etc", "run/outrigger"):
            os.makedirs(os.path.join(bare, name))
        os.chmod(os.path.join(bare, "tmp"), 0o1777)
        shutil.copy("/bin/busybox", os.path.join(bare, "bin"))
        for name in ("sh", "sleep", "cat", "nc", "id", "ps", "touch", "test", "echo"):
            os.symlink("busybox", os.path.join(bare, "bin", name))
        shutil.copytree(bare, root, symlinks=True)
        for name in ("outrigger", "outrigger-init", "outriggerctl"):
            path = os.path.join(programs, name)
            shutil.copy(path, os.path.join(root, "bin"))
            for library in libraries(path):
                os.makedirs(root + os.path.dirname(library), exist_ok=True)
                shutil.copy(library, root + library)
        self._image(REFERENCE, root, [])
        self._image(BARE, bare, [])
        # It ends at once when it is told to, as the first process of a namespace otherwise does not.
        self._image(PAUSE, bare, ["/bin/sh", "-c", "trap exit TERM; while :; do sleep 1000 & wait; done"])

    def buildah(self, command, *words, timeout=60):
        policy = ["--signature-policy", f"{self.directory}/policy.json"]
        return self._run(["buildah", command, *(policy if command in ("from", "commit", "bud") else []), *words], timeout=timeout)

    def build_image(self, reference):
        """The image as users build it, from the release build."""
        self.environment["SOURCE_DATE_EPOCH"] = "1"
        self._run([f"{ROOT}/deploy/image/build", reference], timeout=300)

    @contextlib.contextmanager
    def mounted(self, reference):
        """Where an image's files can be read."""
        container = self.buildah("from", reference).stdout.strip()
        try:
            yield self.buildah("mount", container).stdout.strip()
        finally:
            self.buildah("rm", container)

    def _image(self, reference, root, entry, path="/bin"):
        policy = ["--signature-policy", f"{self.directory}/policy.json"]
        container = self._run(["buildah", "from", *policy, "scratch"]).stdout.strip()
        self._run(["buildah", "copy", container, root, "/"])
        self._run(["buildah", "config", "--env", f"PATH={path}", "--entrypoint", json.dumps(entry), container])
        self._run(["buildah", "commit", *policy, container, reference])
        self._run(["buildah", "rm", container])

    def play(self, spec):
        return Pod(self, spec)

    def delete(self):
        self.podman("pod", "rm", "--all", "--force", "--time", "0", check=False)
        self.podman("rmi", "--all", "--force", check=False)
        run(["umount", "-R", f"{self.directory}/storage"], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)


class Pod:
    """One pod. Its network has loopback only; namespace() joins it to others."""

    def __init__(self, podman, spec, start=True):
        self.podman, self.name = podman, f"outrigger-{os.getpid()}-{next(_numbers)}"
        path = podman._write(f"{self.name}.yaml", yaml.safe_dump({  # pylint: disable=protected-access
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": {"restartPolicy": "Never", **spec}}))
        podman.podman("play", "kube", "--network", "none", f"--start={str(start).lower()}", path)
        self.names = [each["name"] for each in spec["containers"]]

    def start_infra(self):
        """What holds the pod's network; returns its pid."""
        infra = json.loads(self.podman.podman("pod", "inspect", self.name).stdout)["InfraContainerID"]
        self.podman.podman("start", infra)
        return json.loads(self.podman.podman("inspect", infra).stdout)[0]["State"]["Pid"]

    def start(self, container):
        self.podman.podman("start", f"{self.name}-{container}")

    def kill(self, container, signal):
        self.podman.podman("kill", "--signal", signal, f"{self.name}-{container}", check=False)

    def inspect(self, container):
        return json.loads(self.podman.podman("inspect", f"{self.name}-{container}").stdout)[0]["State"]

    def is_running(self, container):
        return self.inspect(container)["Running"]

    def exit_code(self, container):
        """None while it runs."""
        state = self.inspect(container)
        return None if state["Running"] else state["ExitCode"]

    def log(self, container):
        done = self.podman.podman("logs", f"{self.name}-{container}", check=False)
        return done.stdout + done.stderr

    def exec(self, container, *words, uid=None, check=True):
        user = ["--user", str(uid)] if uid is not None else []
        return self.podman.podman("exec", *user, f"{self.name}-{container}", *words, check=check)

    def stop(self, container, timeout=30):
        """As the kubelet does: SIGTERM, and SIGKILL when its time is over."""
        self.podman.podman("stop", "--time", str(timeout), f"{self.name}-{container}", timeout=timeout + 30)

    def namespace(self):
        """Its network namespace; the caller deletes it (the name, not the pod's)."""
        infra = json.loads(self.podman.podman("pod", "inspect", self.name).stdout)["InfraContainerID"]
        pid = json.loads(self.podman.podman("inspect", infra).stdout)[0]["State"]["Pid"]
        return Namespace("pod", pid=pid)

    def wait_for_end(self, timeout=20):
        """Until every container of the specification has ended."""
        eventually(lambda: all(not self.is_running(name) for name in self.names), what="the pod's end", timeout=timeout, every=0.2)
        return {name: self.exit_code(name) for name in self.names}

    def delete(self):
        """Podman waits some seconds for who ignores SIGTERM, whatever it is told."""
        for each in json.loads(self.podman.podman("pod", "inspect", self.name).stdout)["Containers"]:
            if each["State"] == "running":
                self.podman.podman("kill", "--signal", "KILL", each["Id"], check=False)
        self.podman.podman("pod", "rm", "--force", "--time", "0", self.name, check=False)
