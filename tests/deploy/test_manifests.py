"""
deploy/kubernetes, the Helm chart and the examples: they fit Kubernetes' published schemas, kustomize and helm give the same objects, and
what the injector makes of the examples fits as well.
"""

import copy
import json
import os
import subprocess

import pytest
import yaml

from tests.support.outrigger import ROOT, built_programs
from tests.support.processes import run

CHART = f"{ROOT}/deploy/helm/outrigger"
OVERLAYS = ["base", "self-signed", "cert-manager"]
VERSIONS = ["1.29", "1.37"]


@pytest.fixture(scope="module")
def tools():
    done = subprocess.run([f"{ROOT}/tools/kubernetes-tools"], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        pytest.skip(f"the schemas, helm and kubectl cannot be had: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


def kustomize(tools, directory):
    return list(yaml.safe_load_all(run([f"{tools}/kubectl", "kustomize", directory]).stdout))


def chart(tools, *words, check=True, namespace="outrigger-system"):
    done = run([f"{tools}/helm", "template", "outrigger", CHART, "--namespace", namespace, "--kube-version", "1.29.0", *words], check=check)
    return [each for each in yaml.safe_load_all(done.stdout) if each] if check else done


def check(tools, documents, tmp_path):
    """Against the schemas, with nothing that is not in them; what is not Kubernetes' own is left out."""
    path = tmp_path / "objects.yaml"
    path.write_text(yaml.safe_dump_all([each for each in documents if "cert-manager.io" not in each["apiVersion"]]))
    for version in VERSIONS:
        done = run([f"{tools}/kubernetes-validate", "--strict", "-k", version, path], check=False)
        assert done.returncode == 0 and "WARN" not in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_gives_what_kubernetes_knows(tools, tmp_path, overlay):
    check(tools, kustomize(tools, f"{ROOT}/deploy/kubernetes/{overlay}"), tmp_path)


VALUES = [[], ["--set", "certificate.kind=cert-manager"], ["--set", "certificate.kind=secret,certificate.secretName=mine,certificate.caBundle=eA=="],
          ["--set", "sidecar.kind=ordinary,onlyAnnotated=true,excludeNamespaces={a,b},replicas=3,priorityClassName=high,podDisruptionBudget=false,networkPolicy=false,failurePolicy=Ignore,imagePullSecrets[0].name=pull,"
           "image.repository=registry.example/outrigger,image.tag=v2,sidecar.image=registry.example/outrigger:3"]]


@pytest.mark.parametrize("words", VALUES)
def test_the_chart_gives_what_kubernetes_knows(tools, tmp_path, words):
    run([f"{tools}/helm", "lint", "--strict", "--quiet", CHART, *words])
    check(tools, chart(tools, *words), tmp_path)


@pytest.mark.parametrize("words, problem", [
    (["--set", "certificate.kind=none"], "certificate.kind"), (["--set", "certificate.kind=secret"], "secretName"), (["--set", "replicas=none"], "replicas"), (["--set", "imagee.tag=1"], "imagee"),
    (["--set", "sidecar.kind=nativ"], "sidecar.kind"), (["--set", "failurePolicy=fail"], "failurePolicy"), (["--set", "excludeNamespaces={A}"], "excludeNamespaces"),
])
def test_the_chart_refuses_values_that_cannot_be(tools, words, problem):
    done = chart(tools, *words, check=False)
    assert done.returncode != 0 and problem in done.stderr


@pytest.mark.parametrize("kind", ["self-signed", "cert-manager"])
def test_kustomize_and_the_chart_give_the_same(tools, kind):
    def by_name(documents):
        objects = {}
        for each in copy.deepcopy(documents):
            each["metadata"].pop("labels", None)
            name = each["metadata"]["name"].removesuffix("-1") if each["kind"] == "Job" else each["metadata"]["name"]
            each["metadata"]["name"] = name
            text = json.dumps(each, sort_keys=True).replace('"imagePullPolicy": "IfNotPresent", ', "").replace(', "app.kubernetes.io/part-of": "outrigger"', "")
            objects[each["kind"], name] = json.loads(text.replace('"metadata": {"labels": {"app.kubernetes.io/part-of": "outrigger"}}, ', ""))
        return objects

    ours, theirs = by_name(kustomize(tools, f"{ROOT}/deploy/kubernetes/{kind}")), by_name(chart(tools, "--set", f"certificate.kind={kind}"))
    ours.pop(("Namespace", "outrigger-system"))  # helm makes it: --create-namespace
    assert set(ours) == set(theirs)
    for key, each in ours.items():
        assert each == theirs[key], key


def test_the_sidecar_s_kind_is_the_cluster_s(tools):
    def ordinary(version, *words):
        return "--sidecar=ordinary" in arguments_of(chart(tools, "--kube-version", version, *words))[0]

    assert [ordinary("1.28.9"), ordinary("1.29.0"), ordinary("1.32.3-gke.100")] == [True, False, False]
    assert ordinary("1.32.0", "--set", "sidecar.kind=ordinary") and not ordinary("1.28.0", "--set", "sidecar.kind=native")


def test_another_namespace_is_left_out_of_its_own_webhook(tools):
    documents = chart(tools, namespace="mesh")
    hooks = next(each for each in documents if each["kind"] == "MutatingWebhookConfiguration")["webhooks"]
    for hook in hooks:
        assert "mesh" in hook["namespaceSelector"]["matchExpressions"][1]["values"] and hook["clientConfig"]["service"]["namespace"] == "mesh"
    arguments = next(each for each in documents if each["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--exclude-namespaces=kube-system,kube-public,kube-node-lease,mesh" in arguments
    assert "--service=outrigger-injector.mesh.svc" in json.dumps(documents)


def test_the_chart_and_the_manifests_have_this_version(tools):
    version = run([f"{built_programs()}/outrigger-inject", "--version"]).stdout.split()[1]
    with open(f"{CHART}/Chart.yaml", encoding="utf-8") as file:
        about = yaml.safe_load(file)
    assert about["version"] == about["appVersion"] == version
    for each in (chart(tools), kustomize(tools, f"{ROOT}/deploy/kubernetes/self-signed")):
        assert set(images(each)) == {f"outrigger:{version}"}


def images(documents):
    text = json.dumps(documents)
    return [part.split('"')[1] for part in text.split('"image": ')[1:]]


def arguments_of(documents):
    """Every command of ours with its arguments."""
    found = []

    def visit(value):
        if isinstance(value, dict):
            if value.get("command", [""])[0] == "/bin/outrigger-inject":
                found.append(value["args"])
            for each in value.values():
                visit(each)
        if isinstance(value, list):
            for each in value:
                visit(each)

    visit(documents)
    return found


def test_the_program_knows_every_argument(tools):
    """With what a pod would have to have, it gets as far as looking for it."""
    for each in [kustomize(tools, f"{ROOT}/deploy/kubernetes/self-signed"), *(chart(tools, *words) for words in VALUES)]:
        assert arguments_of(each)
        for arguments in arguments_of(each):
            done = run([f"{built_programs()}/outrigger-inject", *arguments], check=False)
            assert done.returncode == 1 and ("/etc/outrigger-injector/tls.crt: No such file" in done.stderr or "KUBERNETES_SERVICE_HOST" in done.stderr), done.stderr


def examples():
    directory = f"{ROOT}/deploy/examples"
    return sorted(os.path.join(at, name) for at, _, files in os.walk(directory) for name in files if name.endswith(".yaml") and name != "kustomization.yaml")


@pytest.mark.parametrize("path", examples(), ids=lambda path: os.path.relpath(path, f"{ROOT}/deploy/examples"))
@pytest.mark.parametrize("form", ["native", "ordinary"])
def test_examples_fit_before_and_after_injection(tools, tmp_path, path, form):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    check(tools, list(yaml.safe_load_all(text)), tmp_path)
    done = subprocess.run([f"{built_programs()}/outrigger-inject", "--sidecar", form], input=text, capture_output=True, text=True, check=False)
    if "two containers are named" in done.stderr or "that outrigger-inject has not made" in done.stderr:
        assert "log-shipping" in path  # it has its sidecars already
        return
    assert done.returncode == 0, done.stderr
    check(tools, list(yaml.safe_load_all(done.stdout)), tmp_path)
    for config in configurations(done.stdout):
        (tmp_path / "outrigger.yaml").write_text(config)
        run([f"{built_programs()}/outrigger", "-c", tmp_path / "outrigger.yaml", "--check"])


def configurations(text):
    """Of annotations, and of ConfigMaps that sidecars read."""
    for line in yaml.safe_load_all(text):
        document = json.dumps(line)
        for key in ('"outrigger.dev/generated-config": ', '"outrigger.dev/config": '):
            for part in document.split(key)[1:]:
                yield json.JSONDecoder().raw_decode(part)[0]
        if line.get("kind") == "ConfigMap" and "outrigger.yaml" in line.get("data", {}):
            yield line["data"]["outrigger.yaml"]
