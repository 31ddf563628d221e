"""outrigger-inject on the command line: every kind of object, twice the same, out again without a trace; and clear refusals."""

import json
import os
import subprocess

import pytest
import yaml

from tests.support.outrigger import built_programs
from tests.support.processes import run

INJECT = os.path.join(built_programs(), "outrigger-inject")


def inject(text, *words, check=True):
    done = subprocess.run([INJECT, *words], input=text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False), capture_output=True, text=True, timeout=20, check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def injected(document, *words):
    return yaml.safe_load(inject(document, *words).stdout)


def pod(**spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "app", "image": "nginx"}], **spec}}


def annotated(annotations, **spec):
    made = pod(**spec)
    made["metadata"]["annotations"] = annotations
    return made


TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "nginx"}]}}
OBJECTS = {kind: {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": {"template": TEMPLATE}}
           for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job")}
OBJECTS["Pod"] = pod()
OBJECTS["CronJob"] = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "web"}, "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}}}}
OBJECTS["List"] = {"apiVersion": "v1", "kind": "List", "items": [OBJECTS["Deployment"], OBJECTS["Pod"], {"kind": "Service", "spec": {"clusterIP": "None"}}]}


def pods_in(document):
    """Where the pods' specs are."""
    kind, spec = document.get("kind", ""), document.get("spec", {})
    if kind == "List":
        return [each for item in document["items"] for each in pods_in(item)]
    if kind == "Pod":
        return [document]
    if kind == "CronJob":
        return [spec["jobTemplate"]["spec"]["template"]]
    return [spec["template"]] if "template" in spec else []


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_kind_gets_a_sidecar_once_and_loses_it_without_a_trace(kind):
    document = OBJECTS[kind]
    once = inject(document).stdout
    assert inject(once).stdout == once
    assert yaml.safe_load(inject(once, "--uninject").stdout) == document
    made = pods_in(yaml.safe_load(once))
    assert made
    for each in made:
        init, proxy = each["spec"]["initContainers"]
        assert init["name"] == "outrigger-init" and init["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
        assert proxy["name"] == "outrigger" and proxy["restartPolicy"] == "Always" and "startupProbe" in proxy
        assert [container["name"] for container in each["spec"]["containers"]] == ["app"]
        assert each["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "app"


def test_what_is_no_pod_passes_untouched_and_in_order():
    text = """apiVersion: v1
kind: ConfigMap
metadata:
  name: x
data:
  zeta: "1"
  alpha: 'yes'
  octal: "0123"
  text: |
    two
    lines
---
kind: Rollout
spec:
  template:
    spec:
      containers: []
      weight: 1e3
      null_one: ~
      no_one: no
"""
    out = inject(text).stdout
    assert list(yaml.safe_load_all(out)) == list(yaml.safe_load_all(text))
    assert list(next(yaml.safe_load_all(out))["data"]) == ["zeta", "alpha", "octal", "text"] and "'yes'" in out and "weight: 1e3" in out and "no_one: no\n" in out


def test_json_comes_in_and_goes_out_as_yaml_with_the_same_values():
    document = pod(containers=[{"name": "app", "image": "x", "env": [{"name": "N", "value": "1"}], "ports": [{"containerPort": 8080}]}])
    made = injected(json.dumps(document))
    assert made["spec"]["containers"] == document["spec"]["containers"]


def test_an_ordinary_sidecar_comes_first_and_holds_the_app():
    made = injected(pod(terminationGracePeriodSeconds=60), "--sidecar", "ordinary")["spec"]
    assert [each["name"] for each in made["containers"]] == ["outrigger", "app"] and [each["name"] for each in made["initContainers"]] == ["outrigger-init"]
    assert made["containers"][0]["lifecycle"]["postStart"]["exec"]["command"] == ["/bin/outriggerctl", "wait", "--timeout=60s"] and "restartPolicy" not in made["containers"][0]
    free = injected(annotated({"outrigger.dev/sidecar": "ordinary", "outrigger.dev/hold-application": "false"}))["spec"]
    assert "lifecycle" not in free["containers"][0]


@pytest.mark.parametrize("words,grace", [([], None), (["--sidecar", "ordinary"], None), (["--sidecar", "ordinary"], 60), (["--sidecar", "ordinary"], 3), (["--sidecar", "ordinary"], 0)])
def test_the_configuration_that_it_makes_is_valid_and_ends_in_time(tmp_path, words, grace):
    made = injected(pod(**({} if grace is None else {"terminationGracePeriodSeconds": grace})), *words)
    config = made["metadata"]["annotations"]["outrigger.dev/generated-config"]
    (tmp_path / "outrigger.yaml").write_text(config)
    assert run([f"{built_programs()}/outrigger", "-c", tmp_path / "outrigger.yaml", "--check"]).returncode == 0
    volume = next(each for each in made["spec"]["volumes"] if each["name"] == "outrigger-config")
    assert volume["downwardAPI"]["items"] == [{"path": "outrigger.yaml", "fieldRef": {"fieldPath": "metadata.annotations['outrigger.dev/generated-config']"}}]
    drain = yaml.safe_load(config).get("drain")
    if not words:
        assert drain is None
    elif grace is None or grace == 60:
        assert drain["delay"] == "5s" and drain["minimum"] == f"{(grace or 30) - 5}s"
    if drain:
        assert int(drain["timeout"][:-1]) <= (30 if grace is None else grace)


def test_the_sidecar_passes_the_restricted_profile_and_only_init_may_change_the_network():
    made = injected(pod())["spec"]["initContainers"]
    proxy = made[1]["securityContext"]
    assert proxy == {"allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True, "runAsUser": 1337, "runAsGroup": 1337,
                     "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
    assert [each["securityContext"]["capabilities"].get("add") for each in made] == [["NET_ADMIN"], None]


def test_annotations_become_what_outrigger_init_understands():
    annotations = {"outrigger.dev/exclude-outbound-ports": "9000,9100-9110", "outrigger.dev/include-outbound-cidrs": "10.0.0.0/8,fd00::/8",
                   "traffic.sidecar.istio.io/excludeInboundPorts": "22", "traffic.sidecar.istio.io/excludeOutboundPorts": "1"}
    made = injected(annotated(annotations))["spec"]["initContainers"][0]
    assert made["args"] == ["--include-outbound-cidrs=10.0.0.0/8,fd00::/8", "--exclude-outbound-ports=9000,9100-9110", "--exclude-inbound-ports=22"]
    assert run([f"{built_programs()}/outrigger-init", "--dry-run", *made["args"]]).returncode == 0


def test_annotations_change_image_resources_and_configuration():
    made = injected(annotated({"outrigger.dev/image": "mine:1", "outrigger.dev/cpu": "250m", "outrigger.dev/cpu-limit": "1", "outrigger.dev/memory": "64Mi",
                               "outrigger.dev/memory-limit": "1Gi", "outrigger.dev/config": "version: 1\nintercept: {}\n"}), "--image", "theirs:1")
    proxy = made["spec"]["initContainers"][1]
    assert proxy["image"] == "mine:1" and proxy["resources"] == {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    assert "outrigger.dev/generated-config" not in made["metadata"]["annotations"]
    volume = next(each for each in made["spec"]["volumes"] if each["name"] == "outrigger-config")
    assert volume["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == "metadata.annotations['outrigger.dev/config']"
    made = injected(annotated({"outrigger.dev/config-map": "web-outrigger"}))
    assert {"name": "outrigger-config", "configMap": {"name": "web-outrigger"}} in made["spec"]["volumes"]


def test_what_the_pod_has_stays_where_it_is():
    spec = {"initContainers": [{"name": "migrate", "image": "m"}], "volumes": [{"name": "data", "emptyDir": {}}], "serviceAccountName": "web",
            "containers": [{"name": "b", "image": "b"}, {"name": "a", "image": "a"}]}
    once = injected(pod(**spec))
    assert [each["name"] for each in once["spec"]["initContainers"]] == ["outrigger-init", "outrigger", "migrate"]  # it has a network
    assert [each["name"] for each in once["spec"]["volumes"]] == ["data", "outrigger-run", "outrigger-config"]
    assert once["spec"]["containers"] == spec["containers"] and list(once["spec"]) == ["containers", "initContainers", "volumes", "serviceAccountName"]
    assert yaml.safe_load(inject(once, "--uninject").stdout) == pod(**spec)


def test_a_pod_that_has_it_gets_it_anew_from_what_its_annotations_say_now():
    once = injected(pod())
    once["metadata"]["annotations"]["outrigger.dev/sidecar"] = "ordinary"
    again = injected(once)
    assert [each["name"] for each in again["spec"]["containers"]] == ["outrigger", "app"] and [each["name"] for each in again["spec"]["initContainers"]] == ["outrigger-init"]


@pytest.mark.parametrize("document,reason", [
    (annotated({"outrigger.dev/inject": "false"}), "annotation outrigger.dev/inject is false"),
    (pod(hostNetwork=True), "hostNetwork"),
    (pod(containers=[]), "it has no containers"),
])
def test_pods_that_stay_as_they_are_are_told_of(document, reason):
    done = inject(document)
    assert yaml.safe_load(done.stdout) == document and f"standard input: Pod web: skipped: {reason}" in done.stderr


def test_only_annotated_leaves_all_others():
    assert "initContainers" not in injected(pod(), "--only-annotated")["spec"]
    assert "initContainers" in injected(annotated({"outrigger.dev/inject": "true"}), "--only-annotated")["spec"]


@pytest.mark.parametrize("document,reason", [
    (pod(containers=[{"name": "app", "securityContext": {"runAsUser": 1337}}]), "container app runs as uid or gid 1337"),
    (pod(initContainers=[{"name": "i", "securityContext": {"runAsGroup": 1337}}]), "container i runs as uid or gid 1337"),
    (pod(securityContext={"fsGroup": 1337}), "the pod's securityContext has uid or gid 1337"),
    (pod(securityContext={"supplementalGroups": [5, 1337]}), "the pod's securityContext has uid or gid 1337"),
    (pod(containers=[{"name": "app", "ports": [{"containerPort": 80}, {"containerPort": 15006}]}]), "container app listens on port 15006, which the proxy needs"),
    (pod(containers=[{"name": "outrigger"}]), "there is a container outrigger that outrigger-inject has not made"),
    (annotated({"outrigger.dev/exclude-outbond-ports": "1"}), 'annotation "outrigger.dev/exclude-outbond-ports" is not known; did you mean "outrigger.dev/exclude-outbound-ports"?'),
    (annotated({"outrigger.dev/exclude-outbound-ports": "70000"}), 'annotation outrigger.dev/exclude-outbound-ports: "70000" is not allowed; allowed: ports and ranges'),
    (annotated({"traffic.sidecar.istio.io/includeOutboundIPRanges": "10/8"}), "is not allowed; allowed: blocks"),
    (annotated({"outrigger.dev/cpu": "much"}), "is not allowed; allowed: a number with m, k"),
    (pod(initContainers=5), "spec.initContainers is no list"),
    (pod(volumes="x"), "spec.volumes is no list"),
    (annotated({"outrigger.dev/config": "x", "outrigger.dev/config-map": "y"}), "exclude each other"),
])
def test_what_cannot_be_is_refused_and_nothing_is_printed(document, reason):
    done = inject(yaml.safe_dump_all([pod(), document]), check=False)
    assert done.returncode == 1 and done.stdout == "" and "Pod web: refused: " in done.stderr and reason in done.stderr


def test_jobs_and_init_containers_beside_an_ordinary_sidecar_are_warned_of():
    assert "outriggerctl run --quit" in inject(OBJECTS["CronJob"], "--sidecar", "ordinary").stderr
    assert "init containers run before an ordinary sidecar" in inject(pod(initContainers=[{"name": "i"}]), "--sidecar", "ordinary").stderr
    assert inject(OBJECTS["CronJob"]).stderr == "" and inject(pod(initContainers=[{"name": "i"}])).stderr == ""


def test_files_come_in_their_order_and_mistakes_name_their_place(tmp_path):
    for name, document in (("a.yaml", OBJECTS["Deployment"]), ("b.yaml", OBJECTS["Pod"])):
        (tmp_path / name).write_text(yaml.safe_dump(document))
    done = inject("", tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert [each["kind"] for each in yaml.safe_load_all(done.stdout)] == ["Deployment", "Pod"]
    (tmp_path / "bad.yaml").write_text("kind: Pod\nspec: [1\nx: 2\n")
    done = inject("", tmp_path / "a.yaml", tmp_path / "bad.yaml", check=False)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith(f"outrigger-inject: {tmp_path}/bad.yaml:3:2: ")
    done = inject("", tmp_path / "none.yaml", check=False)
    assert done.returncode == 2 and "No such file" in done.stderr
    assert inject("a: &x [*x]\n", check=False).stderr.startswith("outrigger-inject: standard input:1:4: nested too deeply")
    laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    assert "too large" in inject(laughs, check=False).stderr
    for words in (["--sidecar", "x"], ["--nonsense"]):
        assert inject("", *words, check=False).returncode == 2


def test_an_alias_is_written_out_so_that_changing_one_pod_changes_no_other():
    text = "kind: List\nitems:\n- kind: Pod\n  metadata: {name: a}\n  spec: &s {containers: [{name: app, image: x}]}\n- kind: Pod\n  metadata: {name: b}\n  spec: *s\n"
    once = inject(text).stdout
    assert inject(once).stdout == once and [len(each["spec"]["initContainers"]) for each in yaml.safe_load(once)["items"]] == [2, 2]


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "null\n", "[]\n", "just text\n", "kind: Pod\n", "kind: Pod\nspec: 7\n", "kind: Deployment\nspec: {template: []}\n", "kind: List\nitems: 5\n",
                                  "kind: [Pod]\n", "? [a, b]\n: c\n", "kind: Pod\nspec: {containers: [7, [], {name: [x]}]}\n", "kind: Pod\nmetadata: 5\nspec: {containers: [{name: a}]}\n",
                                  "kind: Pod\nspec: {containers: [{name: a}], securityContext: []}\n"])
def test_odd_documents_harm_nothing(text):
    done = inject(text, check=False)
    assert done.returncode == 0, done.stderr
    assert inject(done.stdout, check=False).stdout == done.stdout
