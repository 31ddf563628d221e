"""outrigger-inject on the command line: every kind of object, twice the same, out again without a trace; and clear refusals."""

import json
import os
import random
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
    (annotated({"outrigger.dev/inject": "false"}), "label or annotation outrigger.dev/inject is false"),
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


def test_an_init_container_before_an_ordinary_sidecar_may_run_as_the_proxy_does():
    """It is the remedy that the warning names: there is no proxy yet that it would go past."""
    as_proxy = {"name": "migrate", "securityContext": {"runAsUser": 1337}}
    done = inject(pod(initContainers=[as_proxy]), "--sidecar", "ordinary")
    assert done.stderr == "" and yaml.safe_load(done.stdout)["spec"]["initContainers"][1] == as_proxy
    assert "or run them as uid 1337" in inject(pod(initContainers=[as_proxy, {"name": "other"}]), "--sidecar", "ordinary").stderr
    stays = {**as_proxy, "restartPolicy": "Always"}
    assert "container migrate runs as uid or gid 1337" in inject(pod(initContainers=[stays]), "--sidecar", "ordinary", check=False).stderr


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
    assert done.returncode == 0 or (done.returncode == 1 and "refused" in done.stderr and done.stdout == ""), done.stderr
    assert inject(done.stdout, check=False).stdout == done.stdout


def app(**probes):
    return {"name": "app", "image": "nginx", "ports": [{"name": "web", "containerPort": 8080}, {"name": "rpc", "containerPort": 9000}], **probes}


def handed_over(document, *words):
    """What the proxy is to ask, by name, as the real proxy understands it; and the app's probes as they are now."""
    made = injected(document, *words)
    text = made["metadata"].get("annotations", {}).get("outrigger.dev/generated-probes")
    return {each.pop("name"): each for each in yaml.safe_load(text)["probes"]} if text else {}, made["spec"]


def test_probes_go_to_the_proxy_which_is_told_what_to_ask(tmp_path):
    document = pod(containers=[app(
        readinessProbe={"httpGet": {"port": "web", "path": "/ready?a=1", "httpHeaders": [{"name": "Host", "value": "shop"}, {"name": "X-A", "value": "1"}]}, "periodSeconds": 3, "timeoutSeconds": 2},
        livenessProbe={"tcpSocket": {"port": "rpc"}, "failureThreshold": 5}, startupProbe={"grpc": {"port": 9000, "service": "shop.Cart"}}),
        {"name": "other", "image": "x", "livenessProbe": {"exec": {"command": ["true"]}}, "readinessProbe": {"httpGet": {"port": 81, "scheme": "HTTPS", "path": "a b"}}}])
    probes, spec = handed_over(document)
    assert probes == {
        "app/readiness": {"type": "http", "port": 8080, "timeout": "2s", "path": "/ready?a=1", "host": "shop", "headers": [{"name": "X-A", "value": "1"}]},
        "app/liveness": {"type": "tcp", "port": 9000, "timeout": "1s"},
        "app/startup": {"type": "grpc", "port": 9000, "timeout": "1s", "service": "shop.Cart"},
        "other/readiness": {"type": "http", "port": 81, "timeout": "1s", "scheme": "https", "path": "/a%20b"}}
    containers = spec["containers"]
    assert containers[0]["readinessProbe"] == {"httpGet": {"path": "/probe/app/readiness", "port": 15021}, "periodSeconds": 3, "timeoutSeconds": 2}
    assert containers[0]["livenessProbe"] == {"httpGet": {"path": "/probe/app/liveness", "port": 15021}, "failureThreshold": 5}
    assert containers[0]["startupProbe"] == {"httpGet": {"path": "/probe/app/startup", "port": 15021}}
    assert containers[1]["livenessProbe"] == {"exec": {"command": ["true"]}}
    proxy = spec["initContainers"][1]
    assert proxy["args"] == ["--probes", "/etc/outrigger/probes.yaml"]
    assert {"path": "probes.yaml", "fieldRef": {"fieldPath": "metadata.annotations['outrigger.dev/generated-probes']"}} in spec["volumes"][-1]["downwardAPI"]["items"]
    path = tmp_path / "probes.yaml"
    path.write_text(injected(document)["metadata"]["annotations"]["outrigger.dev/generated-probes"])
    config = tmp_path / "outrigger.yaml"
    config.write_text("version: 1\nintercept: {}\n")
    run([os.path.join(built_programs(), "outrigger"), "-c", config, "--probes", path, "--check"])
    once = inject(document).stdout
    assert inject(once).stdout == once
    back = inject(once, "--uninject").stdout
    assert yaml.safe_load(back) == document and "httpGet:" in back


def test_probes_that_are_not_the_pod_s_or_not_understood_stay():
    for probe in ({"httpGet": {"port": 80, "host": "10.0.0.9"}}, {"tcpSocket": {"port": 80, "host": "db"}}, {"httpGet": {"port": "unknown"}}, {"tcpSocket": {"port": 0}},
                  {"tcpSocket": {"port": 70000}}, {"tcpSocket": None}, {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}}, {"httpGet": {"port": 80, "httpHeaders": [{"name": "a", "value": "x\r\ny"}]}},
                  {"httpGet": {"port": 80, "httpHeaders": [{"name": "Host", "value": "a b"}]}}, {"httpGet": {"port": 80, "path": "x" * 3000}}, {"grpc": {"port": 80, "service": "x" * 300}}, {"httpGet": {"port": 15021, "path": "/probe/app/readiness"}}, {"tcpSocket": {"port": 15006}}, {"httpGet": []}, {}):
        probes, spec = handed_over(pod(containers=[app(readinessProbe=probe)]))
        assert probes == {} and spec["containers"][0]["readinessProbe"] == probe and "args" not in spec["initContainers"][1]


def test_probes_stay_where_the_pod_says_so():
    document = annotated({"outrigger.dev/rewrite-probes": "false"}, containers=[app(readinessProbe={"tcpSocket": {"port": 80}})])
    assert handed_over(document)[1]["containers"] == document["spec"]["containers"]


def test_probes_that_changed_after_injection_are_taken_anew():
    made = injected(pod(containers=[app(readinessProbe={"httpGet": {"port": 80}}, livenessProbe={"httpGet": {"port": 80}})]))
    made["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 5432}}
    made["spec"]["containers"][0]["livenessProbe"]["periodSeconds"] = 7
    probes, spec = handed_over(made)
    assert probes["app/readiness"]["port"] == 5432 and spec["containers"][0]["livenessProbe"] == {"httpGet": {"path": "/probe/app/liveness", "port": 15021}, "periodSeconds": 7}
    assert yaml.safe_load(inject(made, "--uninject").stdout)["spec"]["containers"][0]["livenessProbe"] == {"httpGet": {"port": 80}, "periodSeconds": 7}


@pytest.mark.parametrize("notes", ["", "[1]", "{", '{"app/readiness": 1}', '{"app/readiness": {}}', '{"x": {"a": {}}}', '{"app/unknown": {"tcpSocket": {}}}', '{"app/": {"a": {}}}'])
def test_notes_that_somebody_has_spoilt_do_no_harm(notes):
    made = injected(pod(containers=[app(readinessProbe={"httpGet": {"port": 80}})]))
    made["metadata"]["annotations"]["outrigger.dev/original-probes"] = notes
    back = yaml.safe_load(inject(made, "--uninject").stdout)
    assert [each["name"] for each in back["spec"]["containers"]] == ["app"] and "initContainers" not in back["spec"]


def test_a_native_sidecar_of_the_app_has_its_probes_too_and_a_config_map_gets_them_beside():
    document = annotated({"outrigger.dev/config-map": "mine"}, initContainers=[{"name": "cache", "image": "redis", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 6379}}}])
    probes, spec = handed_over(document)
    assert probes == {"cache/startup": {"type": "tcp", "port": 6379, "timeout": "1s"}}
    assert spec["volumes"][-1]["projected"]["sources"] == [{"configMap": {"name": "mine"}}, {"downwardAPI": {"items": [
        {"path": "probes.yaml", "fieldRef": {"fieldPath": "metadata.annotations['outrigger.dev/generated-probes']"}}]}}]


def test_mode_tproxy_keeps_what_it_needs_and_says_so_everywhere():
    made = injected(annotated({"outrigger.dev/mode": "tproxy"}))
    init, proxy = made["spec"]["initContainers"]
    assert init["args"] == ["--mode=tproxy"]
    security = proxy["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["runAsNonRoot"], security["capabilities"]) == (0, 1337, False, {"drop": ["ALL"], "add": ["NET_ADMIN"]})
    assert yaml.safe_load(made["metadata"]["annotations"]["outrigger.dev/generated-config"])["intercept"]["inbound"] == {"mode": "tproxy"}


def test_draining_is_as_the_pod_says(tmp_path):
    made = injected(annotated({"outrigger.dev/drain-delay": "2s", "outrigger.dev/drain-timeout": "2500ms"}))
    config = made["metadata"]["annotations"]["outrigger.dev/generated-config"]
    assert yaml.safe_load(config)["drain"] == {"delay": "2s", "minimum": "0s", "timeout": "2500ms"}
    made = injected(annotated({"outrigger.dev/drain-minimum": "1s"}), "--sidecar", "ordinary")
    config = made["metadata"]["annotations"]["outrigger.dev/generated-config"]
    assert yaml.safe_load(config)["drain"] == {"delay": "5s", "minimum": "1s", "timeout": "28s"}
    (tmp_path / "c.yaml").write_text(config)
    run([os.path.join(built_programs(), "outrigger"), "-c", tmp_path / "c.yaml", "--check"])


@pytest.mark.parametrize("annotation, volume", [
    ({"identity-secret": "web-tls"}, {"secret": {"secretName": "web-tls"}}),
    ({"identity-csi-driver": "spiffe.csi.cert-manager.io"}, {"csi": {"driver": "spiffe.csi.cert-manager.io", "readOnly": True, "volumeAttributes": {"spiffe.csi.cert-manager.io/fs-group": "1337"}}}),
])
def test_an_identity_is_where_the_proxy_looks_for_it(tmp_path, annotation, volume):
    document = annotated({f"outrigger.dev/{key}": value for key, value in {**annotation, "tls-mode": "strict"}.items()})
    once = inject(document).stdout
    made = yaml.safe_load(once)
    assert made["spec"]["volumes"][-1] == {"name": "outrigger-identity", **volume}
    assert {"name": "outrigger-identity", "mountPath": "/var/run/secrets/spiffe.io", "readOnly": True} in made["spec"]["initContainers"][1]["volumeMounts"]
    config = made["metadata"]["annotations"]["outrigger.dev/generated-config"]
    assert yaml.safe_load(config) == {"version": 1, "log": {"level": "info"}, "intercept": {"require": True, "inbound": {"tls": {"mode": "strict"}}}, "identity": {}}
    (tmp_path / "c.yaml").write_text(config)
    run([os.path.join(built_programs(), "outrigger"), "-c", tmp_path / "c.yaml", "--check"])
    assert inject(once).stdout == once and yaml.safe_load(inject(once, "--uninject").stdout) == document


@pytest.mark.parametrize("spec, words", [
    ({"containers": [{"name": "app"}, {"name": "app"}]}, "two containers are named app"),
    ({"initContainers": [{"name": "app"}]}, "two containers are named app"),
    ({"containers": [{"image": "nginx"}]}, "a container has no name"),
    ({"volumes": [{"name": "outrigger-run"}]}, "there is a volume outrigger-run that outrigger-inject has not made"),
    ({"containers": [{"name": "app", "ports": [{"containerPort": 15006}]}]}, "container app listens on port 15006, which the proxy needs"),
])
def test_pods_that_cannot_be_are_refused(spec, words):
    done = inject(pod(**spec), check=False)
    assert done.returncode == 1 and words in done.stderr and done.stdout == ""


@pytest.mark.parametrize("annotations, words", [
    ({"tls-mode": "strict"}, 'outrigger.dev/tls-mode: "strict" needs outrigger.dev/identity-secret or -csi-driver'),
    ({"identity-secret": "a", "identity-csi-driver": "b"}, "exclude each other"),
    ({"mode": "TPROXY"}, 'outrigger.dev/mode: "TPROXY" is not allowed; allowed: redirect, tproxy'),
    ({"drain-delay": "5"}, "allowed: a duration up to 1h, such as 5s or 500ms"),
    ({"config-map": "mine", "drain-delay": "5s"}, "drain-delay has no effect beside a configuration of the pod's own; set it there"),
    ({"config": "version: 1", "log-level": "debug"}, "log-level has no effect beside a configuration of the pod's own; set it there"),
    ({"rewrite-probe": "true"}, 'did you mean "outrigger.dev/rewrite-probes"?'),
])
def test_annotations_that_cannot_be_are_refused(annotations, words):
    done = inject(annotated({f"outrigger.dev/{key}": value for key, value in annotations.items()}), check=False)
    assert done.returncode == 1 and words in done.stderr and done.stdout == ""


WORDS = {
    "cidrs": ["", "*", "10.0.0.0/8", "10.0.0.0/8,fd00::/8", "10.0.0.0/8,", ",10.0.0.0/8", "10.0.0.0/8, 192.168.0.0/16", "*,10.0.0.0/8", "10.0.0.0", "::ffff:10.0.0.0/104", "x", "10.0.0.0/33"],
    "ports": ["", "*", "80", "80,8000-8010", "80,", ",80", "80,,443", "80,*", "*,80", "0", "65536", "8010-8000", "80, 443", "all"],
    "interfaces": ["", "eth1", "tun*", "tun+", "eth1,eth2", "eth1,", ".", "..", "a\tb", "ä", "*", "averyverylongname1", "eth 1"],
    "durations": ["0s", "5s", "40s", "500ms", "1h", "2h", "5", "-1s", ""],
    "quantities": ["10m", "1", "0.5", "512Mi", "1Gi", ".", "1.2.3", "1.", "64MB", "Mi", ""],
}
KINDS = {**{f"{side}-outbound-cidrs": "cidrs" for side in ("include", "exclude")}, **{f"{side}-{way}-ports": "ports" for side in ("include", "exclude") for way in ("outbound", "inbound")},
         "exclude-interfaces": "interfaces", "virtual-interfaces": "interfaces", **{f"drain-{key}": "durations" for key in ("delay", "minimum", "timeout")},
         **{key: "quantities" for key in ("cpu", "cpu-limit", "memory", "memory-limit")}}


def in_milli(quantity):
    for suffix, factor in (("Gi", 2 ** 30 * 1000), ("Mi", 2 ** 20 * 1000), ("m", 1), ("", 1000)):
        if quantity.endswith(suffix) and quantity.removesuffix(suffix).replace(".", "").isdigit():
            return float(quantity.removesuffix(suffix)) * factor
    raise AssertionError(quantity)


def check_what_it_makes(made, directory):
    """As the real programs, and the API server, would."""
    config = directory / "outrigger.yaml"
    config.write_text(made["metadata"]["annotations"]["outrigger.dev/generated-config"])
    run([os.path.join(built_programs(), "outrigger"), "-c", config, "--check"])
    containers = made["spec"]["initContainers"] + made["spec"]["containers"]
    init = next(each for each in containers if each["name"] == "outrigger-init")
    run([os.path.join(built_programs(), "outrigger-init"), "--dry-run", *init.get("args", [])])
    for each in containers:
        for resource, limit in each.get("resources", {}).get("limits", {}).items():
            assert in_milli(each["resources"]["requests"][resource]) <= in_milli(limit), each["resources"]
        assert all(len(port.get("name", "")) <= 15 for port in each.get("ports", []))


@pytest.mark.parametrize("key", KINDS)
@pytest.mark.parametrize("form", ["native", "ordinary"])
def test_what_is_accepted_is_good_for_the_real_programs(tmp_path, key, form):
    """Regression: commas at the end, a delay beyond the timeout, a request above its limit and others were let in, and no pod of them started."""
    accepted = 0
    for word in WORDS[KINDS[key]]:
        done = inject(annotated({f"outrigger.dev/{key}": word}), "--sidecar", form, check=False)
        assert (done.returncode == 0) == (done.stdout != ""), done.stderr
        if done.returncode == 0:
            accepted += 1
            check_what_it_makes(yaml.safe_load(done.stdout), tmp_path)
    assert accepted >= 2


@pytest.mark.parametrize("seed", range(3))
def test_annotations_together_are_good_or_refused(tmp_path, seed):
    generator = random.Random(seed)
    accepted = 0
    for _ in range(15):
        chosen = {f"outrigger.dev/{key}": generator.choice(WORDS[KINDS[key]][1:6]) for key in generator.sample(sorted(KINDS), 4)}
        document = annotated(chosen, terminationGracePeriodSeconds=generator.choice([0, 1, 30, 3600, 86400, None]))
        done = inject(document, "--sidecar", generator.choice(["native", "ordinary"]), check=False)
        if done.returncode == 0:
            accepted += 1
            check_what_it_makes(yaml.safe_load(done.stdout), tmp_path)
    assert accepted >= 2


def test_null_is_not_there_and_merge_keys_are_refused():
    made = yaml.safe_load(inject("kind: Pod\nspec:\n  initContainers:\n  volumes: ~\n  terminationGracePeriodSeconds: null\n  containers: [{name: app}]\n", "--sidecar", "ordinary").stdout)
    assert [each["name"] for each in made["spec"]["containers"]] == ["outrigger", "app"] and len(made["spec"]["volumes"]) == 2
    assert yaml.safe_load(made["metadata"]["annotations"]["outrigger.dev/generated-config"])["drain"]["timeout"] == "28s"
    done = inject("a: &c {containers: [{name: app}]}\nkind: Pod\nspec: {<<: *c}\n", check=False)
    assert done.returncode == 1 and "YAML merge key" in done.stderr
