"""
outrigger-inject --webhook as the API server asks it: the patch gives what the command line gives, who is not injected hears why, nonsense
gets a typed error, the certificate may change under it, and it ends without losing a question.
"""

import base64
import copy
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import jsonpatch
import pytest
import yaml

from tests.support.outrigger import ROOT, built_programs
from tests.support.processes import Program, eventually, run
from tests.support.servers import free_port

INJECT = os.path.join(built_programs(), "outrigger-inject")


def make_certificate(directory, name, authority=True):
    """A certificate for localhost by an authority of the test's own."""
    os.makedirs(directory, exist_ok=True)
    if authority and not os.path.exists(directory / "ca.crt"):
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", directory / "ca.key", "-out", directory / "ca.crt", "-subj", "/CN=ca", "-days", "2"])
    run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.csr", "-subj", f"/CN={name}"])
    (directory / "extensions").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
    run(["openssl", "x509", "-req", "-in", directory / f"{name}.csr", "-CA", directory / "ca.crt", "-CAkey", directory / "ca.key", "-CAcreateserial", "-days", "2",
         "-extfile", directory / "extensions", "-out", directory / f"{name}.crt"])


class Webhook:
    def __init__(self, directory, *words):
        self.directory, self.port = directory, free_port()
        make_certificate(directory, "one")
        for kind in ("crt", "key"):
            os.symlink(f"one.{kind}", directory / f"tls.{kind}")
        self.context = ssl.create_default_context(cafile=directory / "ca.crt")
        self.program = Program([INJECT, "--webhook", "--listen", f"127.0.0.1:{self.port}", "--cert", directory / "tls.crt", "--key", directory / "tls.key",
                                "--shutdown-delay", "300ms", *words], directory / "log")
        eventually(lambda: "answers on" in self.program.log() or not self.program.is_running(), what="the webhook")
        assert self.program.is_running(), self.program.log()

    def connect(self):
        return http.client.HTTPSConnection("localhost", self.port, timeout=10, context=self.context)

    def request(self, method, path, body=None, headers=None, connection=None):
        own = connection or self.connect()
        own.request(method, path, body, headers or {})
        response = own.getresponse()
        text = response.read().decode()
        if not connection:
            own.close()
        return response.status, text

    def ask(self, pod, namespace="shop", **request):
        """The response to a review of that pod."""
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "namespace": namespace, "object": pod, **request}}
        status, text = self.request("POST", "/inject", json.dumps(review), {"Content-Type": "application/json; charset=utf-8"})
        assert status == 200, text
        answer = json.loads(text)
        assert answer["apiVersion"] == "admission.k8s.io/v1" and answer["kind"] == "AdmissionReview" and answer["response"]["uid"] == review["request"]["uid"]
        return answer["response"]

    def metrics(self):
        status, text = self.request("GET", "/metrics")
        assert status == 200
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=20, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")}


@pytest.fixture
def webhook(tmp_path):
    made = []

    def start(*words):
        made.append(Webhook(tmp_path / f"webhook{len(made)}", *words))
        return made[-1]

    yield start
    for each in made:
        each.program.stop()


def patched(pod, response):
    assert response["allowed"] and response["patchType"] == "JSONPatch"
    return jsonpatch.apply_patch(copy.deepcopy(pod), json.loads(base64.b64decode(response["patch"])))


def by_command_line(pod, *words):
    done = subprocess.run([INJECT, *words], input=json.dumps(pod), capture_output=True, text=True, timeout=20, check=True)
    return yaml.safe_load(done.stdout)


def pod(**spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "nginx", "env": [{"name": "A", "value": "1"}, {"name": "B/~", "value": "é\n\"\\"}],
                                     "ports": [{"containerPort": 8080}]}], **spec}}


PODS = {
    "plain": pod(),
    "annotated": {**pod(), "metadata": {"name": "web", "annotations": {"outrigger.dev/sidecar": "ordinary", "a/b~c": "x"}}},
    "no metadata": {"spec": {"containers": [{"name": "app"}]}},
    "volumes": pod(volumes=[{"name": "v", "emptyDir": {}}], initContainers=[{"name": "first", "image": "x"}], terminationGracePeriodSeconds=60, restartPolicy="Always"),
    "probes": pod(containers=[{"name": "app", "image": "x", "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 2}, "livenessProbe": {"exec": {"command": ["x"]}}},
                              {"name": "other", "image": "y", "startupProbe": {"httpGet": {"path": "/", "port": 81}}}]),
    "numbers": pod(activeDeadlineSeconds=12345678901234, priority=-5, tolerations=[{"key": "a", "tolerationSeconds": 1.5}]),
}


@pytest.mark.parametrize("name", PODS)
def test_the_patch_gives_what_the_command_line_gives(webhook, name):
    given = PODS[name]
    hook = webhook("--image", "registry.example/outrigger:1")
    made = patched(given, hook.ask(given))
    wanted = by_command_line({**given, "kind": "Pod"}, "--image", "registry.example/outrigger:1")
    assert {"kind": "Pod", **made} == wanted
    assert patched(made, hook.ask(made)) == made  # injected twice, or by hand before


def test_a_patch_is_small(webhook):
    """What is there stays untouched; other webhooks' changes are safe."""
    given = PODS["volumes"]
    operations = json.loads(base64.b64decode(webhook().ask(given)["patch"]))
    assert [(each["op"], each["path"]) for each in operations] == [
        ("add", "/metadata/annotations"), ("add", "/spec/volumes/1"), ("add", "/spec/volumes/2"), ("add", "/spec/initContainers/0"), ("add", "/spec/initContainers/1")]


JOB = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "app"}]}}
DECISIONS = [  # pod's changes, namespace, words of the command line, and the reason; None: injected
    ({}, "shop", [], None),
    ({}, "kube-system", [], "its namespace is left alone"),
    ({}, "kube-node-lease", [], "its namespace is left alone"),
    ({}, "kube-systems", [], None),
    ({}, "mesh", ["--exclude-namespaces", "kube-system,mesh"], "its namespace is left alone"),
    ({"spec": {"hostNetwork": True}}, "shop", [], "hostNetwork: redirect rules in the node's network namespace would be for the whole node"),
    ({"spec": {"os": {"name": "windows"}}}, "shop", [], "it is for Windows"),
    ({"spec": {"nodeSelector": {"kubernetes.io/os": "windows"}}}, "shop", [], "it is for Windows"),
    ({"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}}, "shop", [], None),
    ({"spec": {"containers": []}}, "shop", [], "it has no containers"),
    ({"labels": {"outrigger.dev/inject": "false"}}, "shop", [], "label or annotation outrigger.dev/inject is false"),
    ({"annotations": {"outrigger.dev/inject": "false"}}, "shop", [], "label or annotation outrigger.dev/inject is false"),
    ({"labels": {"outrigger.dev/inject": "true"}, "annotations": {"outrigger.dev/inject": "false"}}, "shop", [], None),
    ({"labels": {"outrigger.dev/inject": "false"}, "annotations": {"outrigger.dev/inject": "true"}}, "shop", [], "label or annotation outrigger.dev/inject is false"),
    ({"spec": {"containers": [{"name": "app"}, {"name": "istio-proxy"}]}}, "shop", [], "it has another mesh's sidecar"),
    ({}, "shop", ["--only-annotated"], "label or annotation outrigger.dev/inject is not there"),
    ({"labels": {"outrigger.dev/inject": "true"}}, "shop", ["--only-annotated"], None),
    ({"annotations": {"outrigger.dev/inject": "true"}}, "shop", ["--only-annotated"], None),
    ({"annotations": {"outrigger.dev/inject": "true"}, "spec": {"hostNetwork": True}}, "shop", ["--only-annotated"], "hostNetwork: redirect rules in the node's network namespace would be for the whole node"),
    ({"annotations": {"outrigger.dev/nonsense": "true"}}, "kube-system", [], "its namespace is left alone"),
]


@pytest.mark.parametrize("changes, namespace, words, reason", DECISIONS)
def test_who_is_injected(webhook, changes, namespace, words, reason):
    given = copy.deepcopy(JOB)
    given["spec"].update(changes.get("spec", {}))
    given["metadata"].update({key: changes[key] for key in ("labels", "annotations") if key in changes})
    response = webhook(*words).ask(given, namespace)
    assert response["allowed"]
    if reason:
        assert response["warnings"] == [f"outrigger: no sidecar: {reason}"] and "patch" not in response
    else:
        assert "warnings" not in response and "outrigger" in [each["name"] for each in patched(given, response)["spec"]["initContainers"]]


def test_a_pod_that_cannot_be_is_refused_with_its_reason(webhook):
    hook = webhook()
    response = hook.ask(pod(securityContext={"runAsUser": 1337}))
    assert not response["allowed"] and "patch" not in response
    assert response["status"]["code"] == 422 and response["status"]["reason"] == "Invalid" and "uid or gid 1337" in response["status"]["message"]
    annotated = {**pod(), "metadata": {"name": "web", "annotations": {"outrigger.dev/log-levle": "x"}}}
    assert 'did you mean "outrigger.dev/log-level"' in hook.ask(annotated)["status"]["message"]
    umlauts = {**pod(), "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": "x" + "ä" * 60}}}
    assert hook.ask(umlauts)["status"]["message"].startswith('outrigger: annotation outrigger.dev/inject: "xä')
    assert "pod shop/web-: refused: " in hook.program.log()
    assert "more than 1000 items" in hook.ask(pod(containers=[{"name": f"c{i}"} for i in range(1001)]))["status"]["message"]


def test_a_warning_reaches_who_creates_the_pod(webhook):
    response = webhook("--sidecar", "ordinary").ask(pod(restartPolicy="Never"))
    assert "a Job does not complete by itself" in response["warnings"][0] and response["patch"]


@pytest.mark.parametrize("request_", [{"operation": "UPDATE"}, {"operation": "DELETE", "object": None}, {"kind": {"kind": "Deployment"}}])
def test_what_is_no_new_pod_passes(webhook, request_):
    response = webhook().ask(pod(), **request_)
    assert response["allowed"] and "patch" not in response


REVIEW = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1", "kind": {"kind": "Pod"}, "operation": "CREATE", "object": pod()}}


@pytest.mark.parametrize("body, words", [
    (b"", "not JSON: line 1, column 0"),
    (b"{", "not JSON: line 1, column 1"),
    (b'{"a": 1, "a": 2}', "not JSON: line 1"),
    (b"[" * 5000, "not JSON: "),
    (b"[1]", "expected an AdmissionReview of admission.k8s.io/v1"),
    ({**REVIEW, "apiVersion": "admission.k8s.io/v1beta1"}, "expected an AdmissionReview of admission.k8s.io/v1"),
    ({**REVIEW, "kind": "Pod"}, "expected an AdmissionReview of admission.k8s.io/v1"),
    ({**REVIEW, "request": None}, "request is missing"),
    ({**REVIEW, "request": {"object": {}}}, "request.uid is missing"),
    ({**REVIEW, "request": {**REVIEW["request"], "object": None}}, "request.object is no pod"),
    ({**REVIEW, "request": {**REVIEW["request"], "object": {"spec": 7}}}, "request.object is no pod"),
    (json.dumps(REVIEW).encode().replace(b'"nginx"', b"[" * 400 + b"]" * 400), "request.object is no pod"),
    (json.dumps(REVIEW).encode().replace(b"nginx", b"\\u0000"), "not JSON: line 1"),
])
def test_nonsense_gets_a_typed_error(webhook, body, words):
    hook = webhook()
    text = json.dumps(body).encode() if isinstance(body, dict) else body
    status, answer = hook.request("POST", "/inject", text, {"Content-Type": "application/json"})
    assert status == 400 and answer.startswith(words) and answer.endswith("\n")
    assert hook.ask(pod())["patch"] and hook.metrics()['outrigger_inject_reviews_total{result="error"}'] == 1


def test_what_else_http_can_get_wrong(webhook):
    hook = webhook()
    body = json.dumps(REVIEW)
    assert hook.request("POST", "/inject", body, {"Content-Type": "text/plain"})[0] == 415
    assert hook.request("POST", "/inject", body)[0] == 415
    assert hook.request("GET", "/inject")[0] == 405 and hook.request("POST", "/metrics", "")[0] == 405 and hook.request("GET", "/")[0] == 404
    assert hook.request("POST", "/inject", b"x" * (3 * 1024 * 1024 + 1), {"Content-Type": "application/json"})[0] == 413
    large = copy.deepcopy(REVIEW)
    large["request"]["object"]["metadata"]["annotations"] = {"big": "x" * 2900000}
    status, text = hook.request("POST", "/inject", json.dumps(large), {"Content-Type": "application/json"})
    assert status == 200 and json.loads(text)["response"]["patch"]


def test_health_and_metrics(webhook):
    hook = webhook()
    assert hook.request("GET", "/healthz/live") == (200, "live\n") and hook.request("GET", "/healthz/ready") == (200, "ready\n")
    hook.ask(pod())
    hook.ask(pod(hostNetwork=True))
    values = hook.metrics()
    assert values['outrigger_inject_reviews_total{result="injected"}'] == 1 and values['outrigger_inject_reviews_total{result="skipped"}'] == 1
    assert values['outrigger_inject_certificate_loads_total{result="ok"}'] == 1
    assert 86400 < values["outrigger_inject_certificate_expiry_timestamp_seconds"] - time.time() <= 2 * 86400
    with open(f"{ROOT}/deploy/prometheus/injector_rules.yaml", encoding="utf-8") as file:
        rules = file.read()
    asked, results = set(re.findall(r"\boutrigger_\w+", rules)), set("|".join(re.findall(r'result=~?"([^"]+)"', rules)).split("|"))
    assert asked and asked <= {name.split("{")[0] for name in values}
    assert results == {"failed", "refused", "error"} and results <= set(re.findall(r'result="(\w+)"', "\n".join(values)))


def test_connections_are_kept_and_stay_with_their_certificate(webhook):
    """Rotation: as a Secret's volume changes, by one rename; new connections have the new one, none fails."""
    hook = webhook()

    def serial(connection):
        connection.connect()
        return connection.sock.getpeercert()["subject"][0][0][1]

    old = hook.connect()
    assert serial(old) == "one"
    make_certificate(hook.directory, "two", authority=False)
    failed, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            try:
                hook.request("GET", "/healthz/live")
            except OSError as error:
                failed.append(error)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    for kind in ("crt", "key"):
        os.symlink(f"two.{kind}", hook.directory / f"new.{kind}")
        os.rename(hook.directory / f"new.{kind}", hook.directory / f"tls.{kind}")
    eventually(lambda: serial(hook.connect()) == "two", what="the new certificate", every=0.1)
    assert hook.request("GET", "/healthz/live", connection=old)[0] == 200
    (hook.directory / "bad.crt").write_text("nonsense")
    os.rename(hook.directory / "bad.crt", hook.directory / "tls.crt")
    eventually(lambda: hook.metrics()['outrigger_inject_certificate_loads_total{result="failed"}'] >= 1, what="the refusal", every=0.2)
    assert serial(hook.connect()) == "two" and "the certificate in force stays" in hook.program.log()
    stop.set()
    thread.join()
    assert failed == []


def test_it_ends_without_losing_a_question(webhook):
    hook = webhook()
    kept = hook.connect()
    assert hook.request("GET", "/healthz/ready", connection=kept) == (200, "ready\n")
    slow = hook.connect()
    slow.putrequest("POST", "/inject")
    body = json.dumps(REVIEW).encode()
    for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
        slow.putheader(name, value)
    slow.endheaders()
    slow.send(body[:50])
    hook.program.signal(signal.SIGTERM)
    eventually(lambda: hook.request("GET", "/healthz/ready", connection=kept) == (503, "ending\n"), what="not ready")
    assert hook.ask(pod())["patch"]  # the API server has not heard of it yet
    time.sleep(0.6)
    with pytest.raises(OSError):
        hook.ask(pod())
    assert hook.program.is_running()
    slow.send(body[50:])
    response = slow.getresponse()
    assert response.status == 200 and json.loads(response.read())["response"]["patch"] and response.headers["Connection"] == "close"
    assert hook.program.wait(5) == 0


def test_a_second_signal_ends_it_at_once(webhook):
    hook = webhook("--shutdown-delay", "1m")
    hook.program.signal(signal.SIGTERM)
    eventually(lambda: "told to end" in hook.program.log(), what="the first")
    hook.program.signal(signal.SIGTERM)
    assert hook.program.wait(5) == 0


def test_who_keeps_connections_open_keeps_nobody_out(webhook):
    """Handshakes that never come, requests that never end, and plaintext."""
    hook = webhook()
    held = [socket.create_connection(("127.0.0.1", hook.port)) for _ in range(150)]
    held[0].sendall(b"GET /healthz/live HTTP/1.1\r\n\r\n")
    assert hook.ask(pod())["patch"]
    for each in held:
        each.close()
    assert hook.ask(pod())["patch"] and hook.metrics()["outrigger_inject_clients"] <= 64


def test_a_rollout_asks_all_at_once(webhook):
    """Regression: only 64 connections had a place, and with failurePolicy Fail a pod whose question was cut is not made."""
    hook = webhook()
    failed = []

    def load():
        try:
            connection = hook.connect()
            for _ in range(5):
                status, _ = hook.request("POST", "/inject", json.dumps(REVIEW), {"Content-Type": "application/json"}, connection=connection)
                assert status == 200
            connection.close()
        except (OSError, http.client.HTTPException, AssertionError) as error:
            failed.append(error)

    threads = [threading.Thread(target=load, daemon=True) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def peak(hook):
    with open(f"/proc/{hook.program.pid}/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1])


@pytest.mark.skipif("asan" in built_programs() or "tsan" in built_programs(), reason="the sanitizer has a memory of its own")
@pytest.mark.parametrize("name", ["lists", "aliases", "keys", "containers"])
def test_one_pod_cannot_exhaust_it(webhook, name):
    """Within the memory that its container has, and the time that the API server waits."""
    given = pod()
    if name == "lists":
        given["spec"]["tolerations"] = [{}] * 700000
    if name == "aliases":
        given["metadata"]["annotations"] = {"outrigger.dev/status": "injected", "outrigger.dev/original-probes": "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 7))}
    if name == "keys":
        given["metadata"]["annotations"] = {f"k{i}": "" for i in range(40000)}
    if name == "containers":
        given["spec"]["initContainers"] = [{"name": f"c{i}"} for i in range(1000)]
    hook = webhook()
    begun = time.monotonic()
    hook.request("POST", "/inject", json.dumps({**REVIEW, "request": {**REVIEW["request"], "object": given}}, separators=(",", ":")), {"Content-Type": "application/json"})
    assert time.monotonic() - begun < 2 and peak(hook) < 128 * 1024
    assert hook.ask(pod())["patch"]


@pytest.mark.parametrize("words, problem", [
    (["--cert", "x"], 'needs "--key"'),
    (["--key", "x"], 'needs "--cert"'),
    (["--cert", "/none", "--key", "/none"], "/none: No such file"),
    (["--cert", "{crt}", "--key", "{key}", "--listen", "localhost"], "--listen localhost: expected an address and port"),
    (["--cert", "{crt}", "--key", "{key}", "--listen", "192.0.2.1:1"], "--listen 192.0.2.1:1: Cannot assign requested address"),
    (["--cert", "{crt}", "--key", "{other}"], "ca.key: "),
    (["--cert", "{crt}", "--key", "{key}", "file.yaml"], '--webhook takes no files, such as "file.yaml"'),
    (["--cert", "{crt}", "--key", "{key}", "--shutdown-delay", "5"], "--shutdown-delay takes a duration"),
])
def test_what_cannot_start_says_why(tmp_path, words, problem):
    make_certificate(tmp_path, "one")
    words = [word.format(crt=tmp_path / "one.crt", key=tmp_path / "one.key", other=tmp_path / "ca.key") for word in words]
    done = run([INJECT, "--webhook", *words], check=False)
    assert done.returncode in (1, 2) and problem in done.stderr, done.stderr


