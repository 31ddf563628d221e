"""
Real pods, with init container, sidecar and app: the app starts when the proxy is ready, a Job's pod completes by each road, and
a sidecar that is told to end serves its app's own shutdown.
"""

import time

import pytest

from tests.support.namespaces import Namespace, join
from tests.support.pods import BARE, NEEDS_PODMAN, REFERENCE, Podman
from tests.support.processes import eventually
from tests.support.servers import Server, receive_all

pytestmark = NEEDS_PODMAN

SERVER = "10.78.0.2"


@pytest.fixture(scope="module")
def podman(programs, tmp_path_factory):
    made = Podman(tmp_path_factory.mktemp("podman"), programs)
    yield made
    made.delete()


@pytest.fixture
def pod(podman, tmp_path):
    """Plays pods; each reaches a server that greets whoever has finished, at SERVER:8080, once `connect()` was called."""
    made, spaces, servers = [], [], []

    class Playing:
        def __init__(self, app, config="", app_uid=1000, image=REFERENCE):
            self.etc, self.shared = tmp_path / "etc", tmp_path / "run"
            for directory in (self.etc, self.shared):
                directory.mkdir()
                directory.chmod(0o777)
            (self.etc / "outrigger.yaml").write_text(f"version: 1\nlog: {{format: text}}\nintercept: {{require: true}}\n{config}")
            mounts = [{"name": "run", "mountPath": "/run/outrigger"}]
            self.pod = podman.play({
                "volumes": [{"name": "run", "hostPath": {"path": str(self.shared)}}, {"name": "etc", "hostPath": {"path": str(self.etc)}}],
                "initContainers": [{"name": "init", "image": REFERENCE, "command": ["/bin/outrigger-init"],
                                    "securityContext": {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}},
                                   {"name": "copy", "image": REFERENCE, "command": ["/bin/outriggerctl", "copy", "/run/outrigger"],
                                    "volumeMounts": mounts}],
                "containers": [
                    {"name": "proxy", "image": REFERENCE, "command": ["/bin/outrigger"],
                     "volumeMounts": [*mounts, {"name": "etc", "mountPath": "/etc/outrigger"}],
                     "securityContext": {"runAsUser": 1337, "runAsGroup": 1337, "capabilities": {"drop": ["ALL"]},
                                         "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}},
                    {"name": "app", "image": image, "command": app, "volumeMounts": mounts,
                     "securityContext": {"runAsUser": app_uid, "runAsGroup": app_uid}}]})
            made.append(self.pod)

        def connect(self):
            """The network comes; returns the server."""
            here, there = self.pod.namespace(), Namespace("server")
            spaces.extend([here, there])
            join(here, there, 78)

            def greet(connection):
                data = receive_all(connection)
                connection.sendall(b"hello " + data)
                connection.close()

            servers.append(there.inside(lambda: Server(greet, host=SERVER, port=8080)))
            return servers[-1]

    yield Playing
    for server in servers:
        server.close()
    for each in made:
        each.delete()
    for space in spaces:
        space.delete()


# The app's one call, as soon as there is a network.
CALL = f"until echo job | nc -w 2 {SERVER} 8080 2>/dev/null; do sleep 0.2; done"
QUIT_BY_APP = "control: {allow: {quit: [own, 0, 1000]}}\ndrain: {timeout: 5s}\n"


def test_a_job_completes_by_its_wrapper(pod):
    it = pod(["/bin/outriggerctl", "run", "--quit", "--", "/bin/sh", "-c", f"{CALL}; exit 3"], QUIT_BY_APP)
    server = it.connect()
    assert it.pod.wait_for_end() == {"proxy": 0, "app": 3}
    assert it.pod.log("app") == "hello job\n" and server.accepted == 1
    assert "interception is proven" in it.pod.log("proxy")


def test_a_job_whose_image_knows_nothing_of_us(pod):
    """outriggerctl comes through a volume."""
    it = pod(["/run/outrigger/outriggerctl", "run", "--quit", "--", "/bin/sh", "-c", CALL], QUIT_BY_APP, image=BARE)
    it.connect()
    assert it.pod.wait_for_end() == {"proxy": 0, "app": 0}
    assert it.pod.log("app") == "hello job\n"


def test_a_job_completes_by_quit(pod):
    it = pod(["/bin/sh", "-c", f"outriggerctl wait && {CALL} && outriggerctl quit"], QUIT_BY_APP)
    it.connect()
    assert it.pod.wait_for_end() == {"proxy": 0, "app": 0}
    assert it.pod.log("app") == "hello job\ndraining, then ending\n"


def test_a_job_completes_as_with_a_native_sidecar(pod):
    """The kubelet ends sidecars once the app has ended."""
    it = pod(["/bin/outriggerctl", "run", "--", "/bin/sh", "-c", CALL])
    it.connect()
    eventually(lambda: it.pod.exit_code("app") == 0, what="the app's end", timeout=20, every=0.2)
    assert it.pod.is_running("proxy")
    begun = time.monotonic()
    it.pod.stop("proxy")
    assert it.pod.wait_for_end() == {"proxy": 0, "app": 0}
    assert time.monotonic() - begun < 5


def test_the_app_waits_for_the_proxy(pod):
    """The proxy's configuration is wrong, so it never comes: the app never runs, and the log says why."""
    it = pod(["/bin/outriggerctl", "run", "--timeout", "2s", "--", "/bin/touch", "/run/outrigger/ran"], "nonsense: true\n")
    assert it.pod.wait_for_end() == {"proxy": 2, "app": 69}
    assert not (it.shared / "ran").exists()
    assert "not ready after 2000 ms: no proxy answers" in it.pod.log("app") and "nonsense" in it.pod.log("proxy")


def test_apps_may_ask_and_only_some_may_command(pod):
    """By the uid of whoever connects, from another container."""
    it = pod(["/bin/sleep", "1000"], "control: {allow: {quit: [own, 0, 1000]}}\n")
    eventually(lambda: it.pod.exec("app", "outriggerctl", "ready", uid=4242, check=False).returncode == 0, what="ready")
    for words in (["drain"], ["reload"], ["quit"], ["log-level", "debug"], ["eject", "inbound", "x"]):
        done = it.pod.exec("app", "outriggerctl", *words, uid=4242, check=False)
        assert done.returncode == 1 and "this uid may not do that" in done.stderr, words
    assert it.pod.exec("app", "outriggerctl", "drain", uid=1000, check=False).returncode == 1
    assert it.pod.exec("app", "outriggerctl", "status", uid=65534).stdout.startswith("outrigger ")
    assert it.pod.exec("app", "outriggerctl", "quit", uid=65534, check=False).returncode == 1
    it.pod.exec("app", "outriggerctl", "quit", uid=1000)
    eventually(lambda: it.pod.exit_code("proxy") == 0, what="the proxy's end", every=0.2)


def test_a_sidecar_that_is_told_to_end_serves_its_apps_shutdown(pod):
    """Case G11: the app goes on calling for twenty seconds after the pod's deletion began; every call succeeds."""
    calls = ("i=0; while ! test -e /run/outrigger/stop; do "
             f"echo call | nc -w 5 {SERVER} 8080 > /tmp/answer; test \"$(cat /tmp/answer)\" = 'hello call' || echo failed $i; "
             "i=$((i+1)); sleep 0.1; done; echo made $i calls")
    it = pod(["/bin/outriggerctl", "run", "--", "/bin/sh", "-c", f"{CALL}; {calls}"], "drain: {minimum: 21s, timeout: 25s}\n")
    server = it.connect()
    eventually(lambda: server.accepted >= 3, what="the first calls", timeout=20)
    before, begun = server.accepted, time.monotonic()
    it.pod.podman.podman("kill", "--signal", "TERM", f"{it.pod.name}-proxy")
    time.sleep(20)
    (it.shared / "stop").touch()
    eventually(lambda: it.pod.exit_code("app") == 0, what="the app's end", every=0.2)
    assert "failed" not in it.pod.log("app") and server.accepted > before + 100, it.pod.log("app")
    eventually(lambda: it.pod.exit_code("proxy") == 0, what="the proxy's end", every=0.2)
    assert 20 < time.monotonic() - begun < 26
