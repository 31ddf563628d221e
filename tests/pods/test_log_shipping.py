"""The example of deploy/examples/log-shipping as it is, in real pods: the collector is away for ten seconds, and no line is lost."""

import os
import shutil
import time

import pytest
import yaml

from tests.support.namespaces import join
from tests.support.pods import BARE, NEEDS_PODMAN, REFERENCE, Podman, libraries
from tests.support.processes import eventually, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = f"{ROOT}/deploy/examples/log-shipping"
RSYSLOG = "localhost/outrigger-test-rsyslog:1"
IMAGES = {"outrigger:0.1.0": REFERENCE, "rsyslog:8": RSYSLOG, "busybox:1": BARE}
COLLECTOR = "10.78.0.2"
LINES = 1500

pytestmark = NEEDS_PODMAN


@pytest.fixture(scope="module")
def podman(programs, tmp_path_factory):
    made = Podman(tmp_path_factory.mktemp("podman"), programs)
    root = os.path.join(made.directory, "bare")
    modules = next(path for path in ("/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/aarch64-linux-gnu/rsyslog", "/usr/lib/rsyslog") if os.path.isdir(path))
    os.makedirs(f"{root}/usr/sbin")
    shutil.copy("/usr/sbin/rsyslogd", f"{root}/usr/sbin")
    shutil.copytree(modules, root + modules)
    for name in ("var/log/app", "var/spool/shipper", "etc/shipper"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    for path in ["/usr/sbin/rsyslogd", *(f"{modules}/{name}" for name in ("imfile.so", "omrelp.so", "imrelp.so", "lmnet.so"))]:
        for library in libraries(path):
            os.makedirs(root + os.path.dirname(library), exist_ok=True)
            shutil.copy(library, root + library)
    made._image(RSYSLOG, root, [])  # pylint: disable=protected-access
    yield made
    made.delete()


def specification(name, directory, identity):
    """The example's pod, with its images, and volumes that are directories of the test's: what its ConfigMaps hold is in them."""
    with open(f"{EXAMPLE}/{name}.yaml", encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file.read().replace("10.96.0.20", COLLECTOR)))
    maps = {each["metadata"]["name"]: each["data"] for each in documents if each["kind"] == "ConfigMap"}
    spec = next(each["spec"] for each in documents if each["kind"] == "Pod")
    spec.pop("terminationGracePeriodSeconds", None)
    volumes = []
    for volume in spec["volumes"]:
        path = os.path.join(directory, volume["name"])
        if "secret" in volume:
            shutil.copytree(identity, path)
        else:
            os.makedirs(path)
        for file_name, text in maps.get(volume.get("configMap", {}).get("name"), {}).items():
            with open(os.path.join(path, file_name), "w", encoding="utf-8") as file:
                file.write(text)
        for each, _, files in os.walk(path):
            for one in [each, *(os.path.join(each, file) for file in files)]:
                os.chmod(one, 0o777 if os.path.isdir(one) else 0o644)
        volumes.append({"name": volume["name"], "hostPath": {"path": path}})
    spec["volumes"] = volumes
    for container in spec["initContainers"] + spec["containers"]:
        container["image"] = IMAGES[container["image"]]
        if container["name"] == "app":
            container["env"] = [{"name": "LINES", "value": str(LINES)}]
    return spec


@pytest.fixture
def pods(podman, tmp_path):
    """Both pods on one network; returns them and the file of what was collected."""
    run([f"{ROOT}/tools/dev-ca", "init", "--dir", tmp_path / "ca"])
    for name, identity in (("app", "ns/shop/sa/app"), ("collector", "ns/logs/sa/collector")):
        run([f"{ROOT}/tools/dev-ca", "issue", "--dir", tmp_path / "ca", name, identity])
    made, spaces = {}, []
    for name in ("collector", "app"):
        directory = tmp_path / f"pod-{name}"
        directory.mkdir()
        made[name] = podman.play(specification(name, str(directory), tmp_path / "ca" / name))
        spaces.append(made[name].namespace())
    join(spaces[1], spaces[0], 78)
    yield made["app"], made["collector"], tmp_path / "pod-collector" / "collected" / "all.log"
    for pod in made.values():
        pod.delete()
    for space in spaces:
        space.delete()


def collected(path):
    try:
        return [line.split("line ")[1].split(" of the app")[0] for line in path.read_text().splitlines() if " of the app" in line]
    except FileNotFoundError:
        return []


def test_no_line_is_lost_while_the_collector_is_away(pods, podman):
    app, collector, path = pods
    eventually(lambda: len(collected(path)) > 100, what="the first lines", timeout=30)
    status = app.exec("outrigger", "outriggerctl", "--json", "status").stdout
    logs = next(each for each in yaml.safe_load(status)["clusters"] if each["name"] == "logs")
    assert logs["endpoints"][0]["tls"] == "mutual"
    podman.podman("kill", "--signal", "KILL", f"{collector.name}-rsyslog")
    begun = len(collected(path))
    time.sleep(10)
    assert len(collected(path)) == begun
    podman.podman("start", f"{collector.name}-rsyslog")
    eventually(lambda: len(set(collected(path))) == LINES, what="every line", timeout=60, every=0.5)
    lines = collected(path)
    assert set(lines) == {str(i) for i in range(1, LINES + 1)}
    assert len(lines) < LINES * 1.2  # some twice, where only the acknowledgement was lost


def test_who_has_no_identity_cannot_ship(pods):
    """From the app's pod, but past its sidecar: strict lets nothing in, and the collector hears of nothing."""
    app, collector, path = pods
    eventually(lambda: len(collected(path)) > 10, what="the first lines", timeout=30)
    space = app.namespace()
    talk = f"import socket; c = socket.create_connection(('{COLLECTOR}', 2514), 5); c.sendall(b'1 open 0\\n'); print(c.recv(100))"
    try:
        done = space.run(["/usr/bin/python3", "-c", talk], uid=1337, check=False)
    finally:
        space.delete()
    assert "ConnectionResetError" in done.stderr and done.stdout == ""
    assert '"reason": "tls_required"' in collector.exec("outrigger", "outriggerctl", "--json", "endings").stdout
