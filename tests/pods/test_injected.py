"""
What outrigger-inject wrote, run as it is, with the image as users build it: capture in both directions, mutual TLS, probes that tell the
truth, the app after the proxy, a killed endpoint, Jobs, and pods that end under load. Podman has neither native sidecars nor hooks nor
startup probes; tests/support/kubelet.py does what a kubelet does for both forms, and podman alone plays the ordinary one.
"""

import concurrent.futures
import json
import os
import socket
import subprocess

import pytest
import yaml

from tests.support.kubelet import Kubelet, Node
from tests.support.outrigger import ROOT, built_programs
from tests.support.pods import BARE, NEEDS_PODMAN, Podman
from tests.support.processes import eventually, run

IMAGE = "localhost/outrigger:built"
HTTPD = "mkdir -p /tmp/www && echo {name} > /tmp/www/index.html && trap 'sleep {linger}; exit 0' TERM; busybox httpd -f -p 8080 -h /tmp/www & wait; wait"
FORMS = ["native", "ordinary"]

pytestmark = NEEDS_PODMAN


@pytest.fixture(scope="module")
def podman(programs, tmp_path_factory):
    made = Podman(tmp_path_factory.mktemp("podman"), programs)
    made.build_image(IMAGE)
    yield made
    made.delete()


def inject(document, *words):
    done = subprocess.run([os.path.join(built_programs(), "outrigger-inject"), "--image", IMAGE, *words], input=yaml.safe_dump(document), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.fixture
def play(podman, tmp_path):
    """play(number, command, form, annotations) runs an injected pod at 10.80.0.NUMBER; .node is where the kubelet is."""
    node, made = Node(), []
    run([f"{ROOT}/tools/dev-ca", "init", "--dir", tmp_path / "ca"])

    def start(number, command, form="native", annotations=None, identity=None, begin=True, **container):
        if identity:
            run([f"{ROOT}/tools/dev-ca", "issue", "--dir", tmp_path / "ca", f"pod{number}", identity])
        spec = container.pop("spec", {})
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod{number}", "annotations": {f"outrigger.dev/{key}": value for key, value in (annotations or {}).items()}},
                    "spec": {**spec, "containers": [{"name": "app", "image": BARE, "command": ["/bin/sh", "-c", command],
                                                     "securityContext": {"runAsUser": 1000, "runAsGroup": 1000}, **container}]}}
        if identity:
            document["metadata"]["annotations"]["outrigger.dev/identity-secret"] = "identity"
        pod = Kubelet(podman, node, number, inject(document, "--sidecar", form), tmp_path / f"pod{number}", {"identity": tmp_path / "ca" / f"pod{number}"})
        made.append(pod)
        return pod.start() if begin else pod

    start.node = node
    yield start
    with concurrent.futures.ThreadPoolExecutor() as pool:  # each takes podman some seconds: its cgroup is busy at first
        list(pool.map(Kubelet.delete, made))
    node.delete()


def serve(name, linger=0):
    return HTTPD.format(name=name, linger=linger)


def caller(*addresses, **cluster):
    """The configuration of a pod that calls port 8080 of those as one cluster."""
    return yaml.safe_dump({"version": 1, "intercept": {"require": True}, "identity": {},
                           "clusters": [{"name": "shop", "match": [{"addresses": [f"{address}/32" for address in addresses], "ports": [8080]}], "tls": {"mode": "mutual"},
                                         "endpoints": [{"address": f"{address}:8080"} for address in addresses], "retry": {"replay": "1KiB"}, **cluster}]})


READY = {"readinessProbe": {"tcpSocket": {"port": 8080}}, "livenessProbe": {"httpGet": {"port": 8080, "path": "/"}}}


def status_of(pod):
    return json.loads(pod.pod.exec("outrigger", "outriggerctl", "--json", "status").stdout)


def opened(pod, cluster):
    """Connections that the pod's proxy has had for a cluster so far."""
    found = next(each for each in status_of(pod)["clusters"] if each["name"] == cluster)
    return sum(each["opened"] for each in found["traffic"])


@pytest.mark.parametrize("form", FORMS)
def test_two_pods_speak_mutual_tls_and_only_that(play, form):
    server = play(2, serve("two"), form, {"tls-mode": "strict"}, "ns/shop/sa/web", **READY)
    eventually(server.is_ready, what="ready")
    client = play(1, "busybox wget -qO- http://10.80.0.2:8080/ && sleep 1000", form, {"config": caller("10.80.0.2")}, "ns/shop/sa/caller")
    eventually(lambda: client.pod.log("app") == "two\n", what="the page")
    shop = next(each for each in status_of(client)["clusters"] if each["name"] == "shop")
    assert shop["endpoints"][0]["tls"] == "mutual"
    assert opened(server, "inbound") >= 1
    assert play.node.get(server.address, 8080, "/", 2) is None  # plaintext, from who has no identity
    assert server.probe("app", "livenessProbe")  # but the kubelet's probe reaches the app
    identity = json.loads(server.pod.exec("outrigger", "outriggerctl", "--json", "identity").stdout)
    assert identity["spiffe_id"] == "spiffe://cluster.local/ns/shop/sa/web"


@pytest.mark.parametrize("form", FORMS)
def test_probes_tell_the_truth_about_the_app(play, form):
    """A connection to a captured port is accepted whether there is an app or not."""
    pod = play(2, "while ! test -e /tmp/go; do sleep 0.1; done; " + serve("two"), form, **READY)
    play.node.space.inside(lambda: socket.create_connection((pod.address, 8080), timeout=2).close())
    assert not pod.probe("app", "readinessProbe") and not pod.probe("app", "livenessProbe")
    assert all(pod.probe("outrigger", kind) for kind in ("readinessProbe", "livenessProbe"))
    pod.pod.exec("app", "touch", "/tmp/go")
    eventually(pod.is_ready, what="ready")
    assert pod.probe("app", "livenessProbe") and play.node.get(pod.address, 8080, "/", 2) == 200
    log = pod.pod.log("outrigger")
    assert "probe app/readiness: Connection refused" in log and "probe app/readiness: the app is well" in log


@pytest.mark.parametrize("form", FORMS)
def test_the_app_s_first_connection_succeeds(play, form):
    """It starts when the proxy is ready and capture is proven."""
    play(2, serve("two"))
    command = "busybox wget -qO- http://10.80.0.2:8080/ || echo failed; sleep 1000"
    pods = [play(number, command, form) for number in (11, 12)]
    for pod in pods:
        eventually(lambda pod=pod: pod.pod.log("app"), what="the first line")
        assert pod.pod.log("app") == "two\n"
        assert "interception is proven" in pod.pod.log("outrigger") and status_of(pod)["state"] == "ready"


@pytest.mark.parametrize("form", FORMS)
def test_what_each_container_may(play, form):
    pod = play(2, serve("two"), form)

    def about(name):
        state = pod.pod.inspect(name)
        with open(f"/proc/{state['Pid']}/status", encoding="utf-8") as file:
            return state["Pid"], dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)

    pid, proxy = about("outrigger")
    assert proxy["Uid"].split() == ["1337"] * 4 and proxy["Gid"].split() == ["1337"] * 4
    assert int(proxy["CapEff"], 16) == int(proxy["CapPrm"], 16) == int(proxy["CapBnd"], 16) == 0 and proxy["NoNewPrivs"] == "1"
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
        root = next(line.split() for line in file if line.split()[4] == "/")
    assert root[5].split(",")[0] == "ro"
    socket = os.stat(f"/proc/{pid}/root/run/outrigger/control.sock")
    assert (socket.st_uid, socket.st_gid, socket.st_mode & 0o777) == (1337, 1337, 0o666)
    assert sorted(os.listdir(f"/proc/{pid}/root/bin")) == ["outrigger", "outrigger-init", "outrigger-inject", "outriggerctl"]
    init = json.loads(pod.pod.podman.podman("inspect", f"{pod.pod.name}-outrigger-init").stdout)[0]
    assert init["EffectiveCaps"] == ["CAP_NET_ADMIN"] and init["HostConfig"]["ReadonlyRootfs"]
    _, app = about("app")
    assert app["Uid"].split() == ["1000"] * 4
    rules = pod.space.run(["nft", "list", "ruleset"]).stdout
    assert "1337" in rules and "127.0.0.6" in rules


LOOP = "i=0; f=0; while ! test -e /tmp/stop; do test \"$(busybox wget -qO- http://10.80.0.2:8080/)\" || f=$((f+1)); i=$((i+1)); done; echo made $i failed $f"


def check_calls(pod, least, lost=0):
    """Ends the loop, and looks at how many calls it made and lost."""
    pod.pod.exec("app", "touch", "/tmp/stop", check=False)  # its container may end before it does
    eventually(lambda: "made" in pod.pod.log("app"), what="the count")
    words = next(line for line in pod.pod.log("app").splitlines() if line.startswith("made")).split()
    assert int(words[3]) <= lost and int(words[1]) >= least, pod.pod.log("app")


def requests_of(pod):
    return opened(pod, "shop")


@pytest.mark.parametrize("form", FORMS)
def test_a_killed_app_is_not_noticed(play, form):
    """
    Its sidecar says that it is gone, and the caller's takes the other one. The one call that it was answering may be lost: where it had
    read the request, its kernel ends the connection with a FIN, as after an answer.
    """
    servers = [play(number, serve(str(number)), form, {"tls-mode": "strict"}, f"ns/shop/sa/web{number}") for number in (2, 3)]
    client = play(1, LOOP, form, {"config": caller("10.80.0.2", "10.80.0.3")}, "ns/shop/sa/caller")
    eventually(lambda: requests_of(client) > 30, what="the first calls", timeout=20)
    servers[0].pod.kill("app", "KILL")
    before = requests_of(client)
    eventually(lambda: requests_of(client) > before + 100, what="calls after the kill", timeout=30)
    check_calls(client, 130, lost=1)
    endpoints = next(each for each in status_of(client)["clusters"] if each["name"] == "shop")["endpoints"]
    assert {each["address"]: each["health"] for each in endpoints}["10.80.0.2:8080"] != "healthy"


@pytest.mark.parametrize("form", FORMS)
def test_a_pod_that_is_deleted_under_load_loses_nothing(play, form):
    """Its callers hear of it some time after it was told to end."""
    servers = [play(number, serve(str(number), linger=6), form, {"tls-mode": "strict"}, f"ns/shop/sa/web{number}", spec={"terminationGracePeriodSeconds": 20}) for number in (2, 3)]
    client = play(1, LOOP, form, {"config": caller("10.80.0.2", "10.80.0.3")}, "ns/shop/sa/caller")
    eventually(lambda: requests_of(client) > 30, what="the first calls", timeout=20)
    took = servers[0].stop()
    assert 5 < took < 19
    before = requests_of(client)
    eventually(lambda: requests_of(client) > before + 50, what="calls afterwards", timeout=30)
    check_calls(client, 80)
    assert servers[0].pod.exit_code("outrigger") == 0, servers[0].pod.log("outrigger")


def test_a_job_ends_with_its_native_sidecar(play):
    play(2, serve("two"))
    job = play(1, "busybox wget -qO- http://10.80.0.2:8080/; exit 3", spec={"restartPolicy": "Never"})
    assert job.wait_for_main() == {"outrigger": 0, "app": 3}
    assert job.pod.log("app") == "two\n"


def test_an_app_without_a_proxy_does_not_start(play):
    """A configuration that is wrong: the startup probe, and the hook, never succeed, and the log says why."""
    pod = play(1, "echo started", annotations={"config": "version: 1\nnonsense: true\n"}, begin=False)
    for name in pod.inits:
        pod.pod.start(name)
    pod.pod.start("outrigger")
    eventually(lambda: pod.pod.exit_code("outrigger") == 2, what="the proxy's end")
    assert not pod.probe("outrigger", "startupProbe") and 'unknown key "nonsense"' in pod.pod.log("outrigger")


def test_podman_alone_plays_the_ordinary_form(podman, play):
    """No hook holds the app: it is there before its proxy, is refused, never gets past it, and tries again."""
    play(2, serve("two"))
    pod = play(1, "until busybox wget -qO- http://10.80.0.2:8080/; do sleep 0.2; done; sleep 1000", "ordinary", begin=False)
    for name in pod.inits:
        pod.pod.start(name)
        eventually(lambda name=name: pod.pod.exit_code(name) == 0, what="the redirect rules")
    podman.podman("start", f"{pod.pod.name}-app", f"{pod.pod.name}-outrigger")
    eventually(lambda: "two\n" in pod.pod.log("app"), what="the page", timeout=20)  # complaints of earlier tries stand behind it
    eventually(lambda: status_of(pod)["state"] == "ready", what="ready")
    assert opened(pod, "passthrough") >= 1
