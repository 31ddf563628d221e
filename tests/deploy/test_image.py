"""
The image: the four programs and what they load, nothing else; small, the same each time, from buildah and from the Dockerfile; and a
bill of materials that names every file.
"""

import hashlib
import json
import os
import shutil
import stat

import pytest

from tests.support.outrigger import ROOT
from tests.support.pods import NEEDS_PODMAN, Podman
from tests.support.processes import run

PROGRAMS = {"outrigger", "outrigger-init", "outriggerctl", "outrigger-inject"}
MOST_BYTES = 15_000_000

pytestmark = NEEDS_PODMAN


@pytest.fixture(scope="module")
def podman(programs, tmp_path_factory):
    made = Podman(tmp_path_factory.mktemp("podman"), programs)
    made.build_image("localhost/outrigger:built")
    yield made
    made.delete()


@pytest.fixture(scope="module")
def tree(podman):
    """Where the image's files can be looked at."""
    with podman.mounted("localhost/outrigger:built") as path:
        yield path


def entries(path):
    """Every file and directory: mode, owner, and what is in it."""
    found = {}
    for directory, _, files in os.walk(path):
        for name in [".", *files]:
            at = os.path.join(directory, name)
            about = os.lstat(at)
            content = b""
            if stat.S_ISREG(about.st_mode):
                with open(at, "rb") as file:
                    content = file.read()
            found[os.path.normpath(os.path.relpath(at, path))] = (oct(about.st_mode), about.st_uid, about.st_gid, hashlib.sha256(content).hexdigest())
    return found


def test_it_has_the_programs_their_libraries_and_no_shell(tree):
    assert set(os.listdir(f"{tree}/bin")) == PROGRAMS
    found = entries(tree)
    files = {name: about for name, about in found.items() if not about[0].startswith("0o4")}
    assert all(name.startswith(("bin/", "lib/", "lib64/", "usr/lib/", "usr/share/doc/", "usr/share/sbom/")) for name in files), sorted(files)
    assert all(about[1:3] == (0, 0) for name, about in found.items() if name != "run/outrigger")
    assert found["run/outrigger"][1:3] == (1337, 1337)
    assert all(int(about[0], 8) & 0o6022 == 0 for about in found.values())  # no setuid, nothing that others may write
    assert sum(os.path.getsize(os.path.join(tree, name)) for name in files) < MOST_BYTES


def test_it_runs_read_only_without_capabilities_as_the_proxy_s_uid(podman):
    for program in sorted(PROGRAMS):
        done = podman.podman("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--entrypoint", f"/bin/{program}",
                             "localhost/outrigger:built", "--version")
        assert done.stdout.startswith(f"{program} ")
    about = json.loads(podman.podman("image", "inspect", "localhost/outrigger:built").stdout)[0]
    assert about["Config"]["User"] == "1337:1337" and about["Config"]["Entrypoint"] == ["/bin/outrigger"]
    labels = about["Config"]["Labels"]
    version = done.stdout.split()[1]
    assert labels["org.opencontainers.image.title"] == "outrigger" and labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] == version and labels["org.opencontainers.image.revision"]
    assert about["Size"] < MOST_BYTES


def test_it_is_the_same_each_time(podman):
    podman.build_image("localhost/outrigger:again")
    one, other = (json.loads(podman.podman("image", "inspect", f"localhost/outrigger:{tag}").stdout)[0]["Id"] for tag in ("built", "again"))
    assert one == other


def test_the_bill_names_every_file_and_where_it_is_from(tree):
    with open(f"{tree}/usr/share/sbom/outrigger.spdx.json", encoding="utf-8") as file:
        bill = json.load(file)
    assert bill["spdxVersion"] == "SPDX-2.3" and bill["SPDXID"] == "SPDXRef-DOCUMENT" and bill["dataLicense"] == "CC0-1.0"
    listed = {each["fileName"].removeprefix("./"): {sum_["algorithm"]: sum_["checksumValue"] for sum_ in each["checksums"]} for each in bill["files"]}
    for name, about in entries(tree).items():
        if not about[0].startswith("0o4") and not name.startswith("usr/share/"):
            assert listed.pop(name)["SHA256"] == about[3], name
    assert not listed
    identifiers = [each["SPDXID"] for each in bill["packages"] + bill["files"]]
    assert len(identifiers) == len(set(identifiers))
    for relation in bill["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= {"SPDXRef-DOCUMENT", *identifiers}
    contained = {relation["relatedSpdxElement"] for relation in bill["relationships"] if relation["relationshipType"] == "CONTAINS"}
    assert contained == {each["SPDXID"] for each in bill["files"]}
    names = {each["name"] for each in bill["packages"]}
    assert {"outrigger", "libc6", "libssl3", "musl", "libevent-core-2.1-7"} <= names
    for name in names:
        assert os.path.getsize(f"{tree}/usr/share/doc/{name}/copyright") > 100, name


def test_the_dockerfile_gives_the_same_tree(podman, tree, tmp_path):
    """Its base image is one that has this machine's packages: there may be no registry here."""
    base = tmp_path / "base"
    for name in ("usr", "etc", "var/lib/dpkg", "tmp", "root", "proc", "sys", "dev"):
        (base / name).mkdir(parents=True)
    os.chmod(base / "tmp", 0o1777)
    for name in ("bin", "sbin", "lib", "lib64"):
        os.symlink(f"usr/{name}", base / name)
    podman._image("localhost/base:1", str(base), [], path="/usr/sbin:/usr/bin:/sbin:/bin")  # pylint: disable=protected-access
    context = tmp_path / "context"
    listed = run(["git", "-C", ROOT, "-c", f"safe.directory={ROOT}", "ls-files", "-z"]).stdout.split("\0")
    for name in filter(None, listed):
        os.makedirs(context / os.path.dirname(name), exist_ok=True)
        if os.path.exists(f"{ROOT}/{name}"):
            shutil.copy(f"{ROOT}/{name}", context / name)
    volumes = [word for path in ("/usr", "/etc", "/var/lib/dpkg") for word in ("--volume", f"{path}:{path}:ro")]
    podman.buildah("bud", "--isolation", "chroot", *volumes, "--build-arg", "BASE=localhost/base:1", "--build-arg", "SOURCE_DATE_EPOCH=1",
                   "-f", "deploy/image/Dockerfile", "-t", "localhost/outrigger:docker", str(context), timeout=300)
    with podman.mounted("localhost/outrigger:docker") as path:
        found, wanted = entries(path), entries(tree)
    assert {name: about for name, about in found.items() if wanted.get(name) != about} == {}
    assert set(found) == set(wanted)
    one, other = (json.loads(podman.podman("image", "inspect", f"localhost/outrigger:{tag}").stdout)[0]["Config"] for tag in ("built", "docker"))
    for key in ("User", "Entrypoint", "ExposedPorts"):
        assert one[key] == other[key]
    assert set(one["Labels"]) == set(other["Labels"]) and one["Labels"]["org.opencontainers.image.version"] == other["Labels"]["org.opencontainers.image.version"]
