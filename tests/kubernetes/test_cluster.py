"""
The webhook under a real API server (without nodes): installed from deploy/kubernetes, its certificate made by its own job with no more
rights than that job has; labels decide; nobody waits for it who should not; and its certificate changes while pods are made.
"""

import base64
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest
import yaml

from tests.support.kubernetes import BIN, Cluster, is_there
from tests.support.outrigger import ROOT, built_programs
from tests.support.processes import Program, eventually, run
from tests.support.servers import free_port

pytestmark = pytest.mark.skipif(not is_there(), reason="there is no API server; tools/kubernetes-tools --cluster builds one")
INJECT = os.path.join(built_programs(), "outrigger-inject")
SYSTEM = "outrigger-system"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("kubernetes") / "cluster")
    yield made
    made.delete()


def rendered(overlay):
    return list(yaml.safe_load_all(run([f"{BIN}/kubectl", "kustomize", f"{ROOT}/deploy/kubernetes/{overlay}"]).stdout))


class Installed:
    """
    deploy/kubernetes/self-signed as it is, but that the Service leads to loopback, where the webhook and the job run as processes:
    there are no nodes.
    """

    def __init__(self, cluster, directory):
        self.cluster, self.directory, self.port, self.program = cluster, directory, free_port(), None
        documents = rendered("self-signed")
        for each in documents:
            if each["kind"] == "Service":
                each["spec"] = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": self.port}]}
            if each["kind"] == "MutatingWebhookConfiguration":
                for hook in each["webhooks"]:
                    hook["clientConfig"]["service"]["port"] = self.port
        namespace = [each for each in documents if each["kind"] == "Namespace"]
        cluster.kubectl("apply", text=namespace)
        cluster.kubectl("apply", text=[each for each in documents if each not in namespace])
        self.documents = documents
        self.job = next(each for each in documents if each["kind"] == "Job")

    def make_certificate(self, check=True, environment=None):
        """The job's container, with its service account's token."""
        account = self.directory / "account"
        account.mkdir(exist_ok=True)
        (account / "token").write_text(self.cluster.kubectl("-n", SYSTEM, "create", "token", "outrigger-certificate").stdout)
        (account / "ca.crt").write_text((self.directory / "cluster-ca").read_text() if (self.directory / "cluster-ca").exists() else open(f"{self.cluster.pki}/ca.crt", encoding="utf-8").read())
        arguments = self.job["spec"]["template"]["spec"]["containers"][0]["args"]
        return run([INJECT, *arguments], check=check, env={**os.environ, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.cluster.port),
                                                          "OUTRIGGER_SERVICE_ACCOUNT": str(account), **(environment or {})})

    def mount(self):
        """The Secret, as the kubelet writes it."""
        secret = self.cluster.get("-n", SYSTEM, "secret", "outrigger-injector-tls")["data"]
        for name in ("tls.crt", "tls.key"):
            (self.directory / f"{name}.new").write_bytes(base64.b64decode(secret[name]))
            os.replace(self.directory / f"{name}.new", self.directory / name)

    def start(self):
        self.program = Program([INJECT, "--webhook", "--listen", f"127.0.0.1:{self.port}", "--cert", self.directory / "tls.crt", "--key", self.directory / "tls.key", "--image", "outrigger:test",
                                "--shutdown-delay", "100ms", "--exclude-namespaces", f"kube-system,kube-public,kube-node-lease,{SYSTEM}"], self.directory / "webhook.log")
        eventually(lambda: "answers on" in self.program.log(), what="the webhook")

    def bundles(self):
        hooks = self.cluster.get("mutatingwebhookconfiguration", "outrigger-injector")["webhooks"]
        return [base64.b64decode(each["clientConfig"].get("caBundle", "")).decode() for each in hooks]


@pytest.fixture(scope="module")
def installed(cluster, tmp_path_factory):
    made = Installed(cluster, tmp_path_factory.mktemp("installed"))
    made.make_certificate()
    made.mount()
    made.start()
    cluster.make_namespace("shop", **{"outrigger.dev__injection": "enabled"})
    cluster.make_namespace("other")
    cluster.make_namespace("out", **{"outrigger.dev__injection": "disabled"})
    try:
        eventually(lambda: "outrigger" in names(dry(cluster, "shop")), what="the webhook's first answer", timeout=30, every=0.3)
    except AssertionError:
        made.program.stop()
        raise AssertionError(create(cluster, "shop", pod("dry"), "--dry-run=server", check=False).stderr + made.program.log())
    yield made
    made.program.stop()


def pod(name, labels=None, annotations=None, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}}, "spec": {"containers": [{"name": "app", "image": "nginx"}], **spec}}


def create(cluster, namespace, document, *words, check=True):
    return cluster.kubectl("-n", namespace, "create", *words, text=document, check=check)


def dry(cluster, namespace, **changes):
    """A pod as the API server would make it; None where it would not."""
    done = create(cluster, namespace, pod("dry", **changes), "--dry-run=server", "-o", "json", check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def names(made):
    return [each["name"] for each in (made or {}).get("spec", {}).get("initContainers", [])]


def test_labels_decide(cluster, installed):
    assert names(dry(cluster, "shop")) == ["outrigger-init", "outrigger"]
    assert names(dry(cluster, "shop", labels={"outrigger.dev/inject": "false"})) == []
    assert names(dry(cluster, "other")) == []
    assert names(dry(cluster, "other", labels={"outrigger.dev/inject": "true"})) == ["outrigger-init", "outrigger"]
    assert names(dry(cluster, "out", labels={"outrigger.dev/inject": "true"})) == []
    assert names(dry(cluster, "kube-system", labels={"outrigger.dev/inject": "true"})) == []
    made = dry(cluster, "shop")
    assert made["spec"]["initContainers"][1]["restartPolicy"] == "Always" and made["spec"]["initContainers"][1]["image"] == "outrigger:test"
    assert made["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "app"


def test_the_api_server_hands_on_warnings_and_refusals(cluster, installed):
    done = create(cluster, "shop", pod("host", hostNetwork=True), "--dry-run=server")
    assert "Warning: outrigger: no sidecar: hostNetwork" in done.stderr
    done = create(cluster, "shop", pod("bad", annotations={"outrigger.dev/log-levle": "x"}), "--dry-run=server", check=False)
    assert done.returncode != 0 and 'did you mean "outrigger.dev/log-level"?' in done.stderr


def test_what_owns_pods_gets_sidecars_too(cluster, installed):
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "nginx", "ports": [{"name": "http", "containerPort": 80}],
                                                                                 "readinessProbe": {"httpGet": {"path": "/", "port": "http"}}}]}}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "busybox"}]}}}}
    cluster.kubectl("-n", "shop", "apply", text=[deployment, job])
    pods = eventually(lambda: len(cluster.get("-n", "shop", "pods")["items"]) == 3 and cluster.get("-n", "shop", "pods")["items"], what="the pods", timeout=30, every=0.3)
    assert all(names(each) == ["outrigger-init", "outrigger"] for each in pods)
    web = next(each for each in pods if each["metadata"].get("labels", {}).get("app") == "web")
    assert web["spec"]["containers"][0]["readinessProbe"]["httpGet"] == {"path": "/probe/app/readiness", "port": 15021, "scheme": "HTTP"}
    assert json.loads(web["metadata"]["annotations"]["outrigger.dev/generated-probes"])["probes"][0]["port"] == 80
    log = installed.program.log()
    assert "pod shop/web-" in log and "pod shop/once-" in log


def test_by_hand_and_by_webhook_is_the_same(cluster, installed):
    document = pod("both", terminationGracePeriodSeconds=60)
    by_hand = yaml.safe_load(subprocess.run([INJECT, "--image", "outrigger:test"], input=yaml.safe_dump(document), capture_output=True, text=True, check=True).stdout)
    one = json.loads(create(cluster, "shop", document, "--dry-run=server", "-o", "json").stdout)
    other = json.loads(create(cluster, "shop", by_hand, "--dry-run=server", "-o", "json").stdout)
    ours = json.loads(create(cluster, "other", by_hand, "--dry-run=server", "-o", "json").stdout)  # the API server takes it as it is

    def comparable(made):
        made["metadata"] = {"annotations": made["metadata"]["annotations"]}
        made["spec"]["volumes"] = [each for each in made["spec"]["volumes"] if not each["name"].startswith("kube-api-access")]
        for each in made["spec"]["containers"] + made["spec"]["initContainers"]:
            each["volumeMounts"] = [mount for mount in each.get("volumeMounts", []) if not mount["name"].startswith("kube-api-access")]
        return made

    assert comparable(one) == comparable(other)
    assert names(ours) == ["outrigger-init", "outrigger"]


def test_the_webhook_s_own_pods_are_restricted(cluster, installed):
    """The namespace enforces it: what the Deployment, the Job and the CronJob ask for is let in."""
    for kind, path in (("Deployment", ("spec", "template")), ("Job", ("spec", "template")), ("CronJob", ("spec", "jobTemplate", "spec", "template"))):
        made = next(each for each in rendered("self-signed") if each["kind"] == kind)
        for key in path:
            made = made[key]
        done = create(cluster, SYSTEM, {"apiVersion": "v1", "kind": "Pod", **made, "metadata": {**made["metadata"], "name": f"try-{kind.lower()}"}}, "--dry-run=server", check=False)
        assert done.returncode == 0, done.stderr


def test_the_job_may_do_no_more_than_it_must(cluster, installed):
    account = f"--as=system:serviceaccount:{SYSTEM}:outrigger-certificate"
    for words, answer in (((f"--namespace={SYSTEM}", "get", "secrets/outrigger-injector-tls"), "yes"), ((f"--namespace={SYSTEM}", "get", "secrets/another"), "no"),
                          (("--namespace=shop", "get", "secrets/outrigger-injector-tls"), "no"), ((f"--namespace={SYSTEM}", "list", "secrets"), "no"),
                          (("patch", "mutatingwebhookconfigurations/outrigger-injector"), "yes"), (("patch", "mutatingwebhookconfigurations/another"), "no"), (("create", "pods"), "no")):
        flags = [word for word in words if word.startswith("--")]
        rest = [word for word in words if not word.startswith("--")]
        assert cluster.kubectl("auth", "can-i", *rest, *flags, account, check=False).stdout.strip() == answer, words
    injector = f"--as=system:serviceaccount:{SYSTEM}:outrigger-injector"
    assert cluster.kubectl("auth", "can-i", "get", "pods", injector, check=False).stdout.strip() == "no"


def test_run_again_it_changes_nothing_while_there_is_time(cluster, installed):
    before = cluster.get("-n", SYSTEM, "secret", "outrigger-injector-tls")["metadata"]["resourceVersion"]
    done = installed.make_certificate()
    assert "its certificate is good for another 8" in done.stdout and "believes" not in done.stdout
    assert cluster.get("-n", SYSTEM, "secret", "outrigger-injector-tls")["metadata"]["resourceVersion"] == before


def test_its_certificate_changes_while_pods_are_made(cluster, installed):
    """Case J7: the next one is believed before it is used, and no admission fails."""
    old = installed.bundles()[0]
    failed, made, stop = [], [], threading.Event()

    def load():
        while not stop.is_set():
            done = create(cluster, "shop", pod("load"), "--dry-run=server", "-o", "name", check=False)
            (made if done.returncode == 0 else failed).append(done.stderr)

    threads = [threading.Thread(target=load, daemon=True) for _ in range(1)]
    for thread in threads:
        thread.start()
    secret = cluster.get("-n", SYSTEM, "secret", "outrigger-injector-tls")
    expiring = yaml.safe_dump({"data": {"tls.crt": base64.b64encode(b"-----BEGIN CERTIFICATE-----\nnonsense\n").decode(), "tls.key": secret["data"]["tls.key"]}})
    cluster.kubectl("-n", SYSTEM, "patch", "secret", "outrigger-injector-tls", "--type=merge", "-p", json.dumps(yaml.safe_load(expiring)))
    done = installed.make_certificate()
    assert "the API server believes the certificate, and what was there" in done.stdout
    new = installed.bundles()
    assert all(each.endswith(old) and each != old and each.count("BEGIN CERTIFICATE") == 2 for each in new)
    time.sleep(2)  # the kubelet takes longer
    installed.mount()
    try:
        socket.create_connection(("127.0.0.1", installed.port)).close()  # the API server keeps the connection that it has
        eventually(lambda: installed.program.log().count("in force for new connections") >= 2, what="the new certificate")
        time.sleep(2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == [] and len(made) > 10
    installed.program.stop()
    installed.start()  # now it must connect anew
    assert names(dry(cluster, "shop")) == ["outrigger-init", "outrigger"]


def test_while_it_is_away_only_its_own_pods_wait(cluster, installed):
    """Case J8: what should be in the mesh does not start bare; the system, and the webhook itself, come back by themselves."""
    installed.program.stop()
    try:
        done = create(cluster, "shop", pod("waits"), "--dry-run=server", check=False)
        assert done.returncode != 0 and "failed calling webhook" in done.stderr
        for namespace in ("other", "out", "kube-system", "default"):
            assert dry(cluster, namespace) is not None
        assert dry(cluster, "shop", labels={"outrigger.dev/inject": "false"}) is not None
        deployment = next(each for each in rendered("self-signed") if each["kind"] == "Deployment")["spec"]["template"]
        assert create(cluster, SYSTEM, {"apiVersion": "v1", "kind": "Pod", **deployment, "metadata": {**deployment["metadata"], "name": "back"}}, "--dry-run=server", check=False).returncode == 0
    finally:
        installed.start()
    eventually(lambda: dry(cluster, "shop") is not None, what="pods again", timeout=20, every=0.3)


def test_what_stops_the_job_is_said(cluster, installed):
    done = installed.make_certificate(check=False, environment={"KUBERNETES_SERVICE_PORT": "1"})
    assert done.returncode == 1 and "127.0.0.1:1: " in done.stderr
    (installed.directory / "cluster-ca").write_text((installed.directory / "tls.crt").read_text())
    done = installed.make_certificate(check=False)
    (installed.directory / "cluster-ca").unlink()
    assert done.returncode == 1 and "certificate" in done.stderr
    cluster.kubectl("delete", "clusterrolebinding", "outrigger-certificate")
    done = installed.make_certificate(check=False)
    assert done.returncode == 1 and "403: mutatingwebhookconfigurations.admissionregistration.k8s.io" in done.stderr
    cluster.kubectl("apply", text=[each for each in rendered("self-signed") if each["kind"] == "ClusterRoleBinding"])
    for words, problem in ((["--service=x", "--secret=x", "--webhook-configuration=x"], "expected NAMESPACE/NAME"), (["--service=x", "--secret=a/b"], "needs \"--webhook-configuration\"")):
        done = run([INJECT, "--make-certificate", *words], check=False)
        assert done.returncode != 0 and problem in done.stderr


def test_the_example_shop_comes_up_with_sidecars(cluster, installed):
    """As far as it can without nodes: its objects are taken, and every pod that is made of them is in the mesh."""
    cluster.kubectl("delete", "namespace", "shop")
    eventually(lambda: cluster.kubectl("get", "namespace", "shop", check=False).returncode != 0, what="the end of the namespace", timeout=60, every=0.5)
    cluster.kubectl("apply", "-k", f"{ROOT}/deploy/examples/shop")

    def pods():
        found = cluster.get("-n", "shop", "pods")["items"]
        return found if len(found) >= 7 else None

    found = eventually(pods, what="the pods", timeout=60, every=0.5)
    assert all(names(each) == ["outrigger-init", "outrigger"] for each in found)
    visits = next(each for each in found if each["metadata"]["labels"].get("app") == "visits")
    assert {"name": "outrigger-config", "configMap": {"name": "visits-outrigger", "defaultMode": 420}} in visits["spec"]["volumes"]


def test_the_chart_is_taken_as_well(cluster, installed):
    text = run([f"{BIN}/helm", "template", "outrigger", f"{ROOT}/deploy/helm/outrigger", "-n", SYSTEM, "--kube-version", "1.32.0"]).stdout
    done = cluster.kubectl("apply", "--dry-run=server", text=text)
    assert "deployment.apps/outrigger-injector" in done.stdout


def section(title):
    """The commands of a part of docs/kubernetes.md that are for this cluster."""
    with open(f"{ROOT}/docs/kubernetes.md", encoding="utf-8") as file:
        commands = re.search(rf"^## {re.escape(title)}.*?```sh\n(.*?)```", file.read(), re.S | re.M).group(1)
    return re.sub(r"\bshop\b", "demo", commands)  # a namespace of its own


def follow(cluster, commands):
    return run(["/bin/bash", "-euc", commands], cwd=ROOT, env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "KUBECONFIG": cluster.kubeconfig}, timeout=90)


def test_a_new_user_follows_the_document(cluster, installed):
    """In, and back out again. The Service that the installation makes is turned to loopback afterwards: there are no nodes."""
    cluster.kubectl("-n", SYSTEM, "delete", "service", "outrigger-injector")
    follow(cluster, section("Install the webhook"))
    cluster.kubectl("-n", SYSTEM, "delete", "service", "outrigger-injector")
    cluster.kubectl("apply", text=[each for each in installed.documents if each["kind"] in ("Service", "MutatingWebhookConfiguration")])
    installed.make_certificate()
    time.sleep(2)
    follow(cluster, section("Put a namespace into the mesh"))
    pods = eventually(lambda: cluster.get("-n", "demo", "pods")["items"], what="the pod", timeout=30, every=0.3)
    assert names(pods[0]) == ["outrigger-init", "outrigger"]
    follow(cluster, section("Back out"))
    eventually(lambda: any(names(each) == [] for each in cluster.get("-n", "demo", "pods")["items"]), what="a pod without", timeout=30, every=0.3)
    assert cluster.kubectl("get", "mutatingwebhookconfiguration", "outrigger-injector", check=False).returncode != 0
