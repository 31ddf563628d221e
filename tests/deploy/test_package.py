"""
The Debian package on a host with a real systemd: installed, started, taken over, captured, upgraded, removed; by the commands of
docs/host.md as they stand there.
"""

import json
import os
import re
import subprocess

import pytest

from tests.support.host import Host, can_boot
from tests.support.namespaces import Namespace, join
from tests.support.outrigger import ROOT
from tests.support.processes import eventually, run
from tests.support.servers import Server

pytestmark = pytest.mark.skipif(can_boot() is not None, reason=f"a host with systemd: {can_boot()}")
WEB = "10.79.0.2"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package of the release build."""
    directory = tmp_path_factory.mktemp("package")
    run(["cmake", "--preset", "release"], cwd=ROOT)
    run(["cmake", "--build", "--preset", "release"], cwd=ROOT, timeout=300)
    run(["cpack", "-G", "DEB", "-B", directory], cwd=f"{ROOT}/build/release", timeout=120)
    return next(str(path) for path in directory.iterdir() if path.suffix == ".deb")


@pytest.fixture
def host():
    made = Host()
    made.write("/usr/local/bin/sudo", '#!/bin/sh\nexec "$@"\n')
    os.chmod(made.path("/usr/local/bin/sudo"), 0o755)
    yield made
    made.delete()


def section(title):
    """The commands of a part of docs/host.md."""
    with open(f"{ROOT}/docs/host.md", encoding="utf-8") as file:
        text = file.read()
    return re.search(rf"^## {re.escape(title)}.*?```sh\n(.*?)```", text, re.S | re.M).group(1)


def shell(host, commands):
    return host.run(["/bin/bash", "-euc", f"PATH=/usr/local/bin:$PATH\n{commands}"], timeout=90)


def install(host, package):
    """The document's last command of it, with this package; what it needs is there."""
    assert section("Install").splitlines()[-1].startswith("sudo apt-get install ./")
    with open(package, "rb") as file:
        content = file.read()
    with open(host.path("/root/outrigger.deb"), "wb") as file:
        file.write(content)
    return host.run(["dpkg", "--install", "/root/outrigger.deb"])


def backends(host):
    """What there is to be in front of."""
    for port in (8081, 8082):
        host.write(f"/srv/{port}/index.html", f"{port}\n")
        host.run(["systemd-run", f"--unit=backend-{port}", "busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", f"/srv/{port}"])


def property_of(host, unit, name):
    return host.run(["systemctl", "show", "--value", "--property", name, unit]).stdout.strip()


def test_what_is_in_the_package(package):
    listed = run(["dpkg-deb", "--contents", package]).stdout
    files = {line.split()[5].removeprefix("."): line.split()[:2] for line in listed.splitlines()}
    for program in ("/usr/sbin/outrigger", "/usr/sbin/outrigger-init", "/usr/bin/outriggerctl", "/usr/bin/outrigger-inject"):
        assert files[program] == ["-rwxr-xr-x", "root/root"]
        page = next(name for name in files if re.fullmatch(rf"/usr/share/man/man[18]/{os.path.basename(program)}\.[18]\.gz", name))
        content = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
        text = subprocess.run(["tar", "-xO", f".{page}"], input=content, capture_output=True, check=True).stdout
        assert b".SH SYNOPSIS" in subprocess.run(["gzip", "-dc"], input=text, capture_output=True, check=True).stdout
    assert not any(name.startswith(("/usr/local", "/build")) for name in files)
    control = run(["dpkg-deb", "--field", package]).stdout
    assert "libssl3" in control and "Package: outrigger\n" in control
    assert run(["dpkg-deb", "--info", package, "conffiles"]).stdout.split() == ["/etc/outrigger/outrigger.yaml", "/etc/outrigger/capture.env"]


def test_a_new_user_follows_the_document(host, package):
    install(host, package)
    assert host.run(["id", "-un", "outrigger"]).stdout.strip() == "outrigger"
    for unit in ("outrigger", "outrigger-capture"):
        assert host.run(["systemctl", "is-enabled", unit], check=False).stdout.strip() == "disabled"
        verified = host.run(["systemd-analyze", "verify", f"/usr/lib/systemd/system/{unit}.service"], check=False)
        assert f"{unit}.service" not in verified.stderr, verified.stderr
    backends(host)

    # In front of a service.
    done = shell(host, section("In front of a service"))
    assert re.search(r"^808[12]$", done.stdout, re.M) and "outrigger " in done.stdout
    assert property_of(host, "outrigger", "ActiveState") == "active"
    first = int(property_of(host, "outrigger", "MainPID"))
    status = host.run(["cat", f"/proc/{first}/status"]).stdout
    assert "CapPrm:\t0000000000000400" in status and "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    assert host.run(["stat", "-c", "%U %a", "/run/outrigger"]).stdout.strip() == "outrigger 700"
    exposure = host.run(["systemd-analyze", "security", "--no-pager", "outrigger.service"]).stdout
    assert float(re.search(r"Overall exposure level for outrigger.service: ([0-9.]+)", exposure).group(1)) < 3.0, exposure

    # Taken over, while somebody asks all the time.
    host.write("/root/ask", "i=0; while [ ! -e /root/stop ]; do curl -fsS http://127.0.0.1:6432/ >/dev/null || echo failed; i=$((i+1)); done; echo asked $i\n")
    host.run(["systemd-run", "--unit=asking", "--property=StandardOutput=file:/root/asked", "bash", "/root/ask"])
    host.run(["systemctl", "reload", "outrigger"])
    second = int(property_of(host, "outrigger", "MainPID"))
    assert second != first and property_of(host, "outrigger", "ActiveState") == "active"
    install(host, package)  # an upgrade does the same
    third = int(property_of(host, "outrigger", "MainPID"))
    assert third not in (first, second)
    host.write("/root/stop", "")
    eventually(lambda: "asked" in host.run(["cat", "/root/asked"]).stdout, what="the count")
    asked = host.run(["cat", "/root/asked"]).stdout
    assert "failed" not in asked and int(asked.split()[-1]) > 20
    assert "10.79" not in host.run(["cat", "/etc/outrigger/outrigger.yaml"]).stdout and "6432" in host.run(["cat", "/etc/outrigger/outrigger.yaml"]).stdout  # the conffile stayed

    # A new version that is none: the old one goes on.
    host.run(["mv", "/usr/sbin/outrigger", "/usr/sbin/outrigger.good"])
    host.write("/usr/sbin/outrigger", "#!/bin/sh\nexit 1\n")
    host.run(["chmod", "755", "/usr/sbin/outrigger"])
    assert host.run(["systemctl", "reload", "outrigger"], check=False).returncode != 0
    assert shell(host, "curl -fsS http://127.0.0.1:6432/").stdout and int(property_of(host, "outrigger", "MainPID")) == third
    host.run(["mv", "/usr/sbin/outrigger.good", "/usr/sbin/outrigger"])

    # Under a service.
    host.run(["useradd", "--system", "app"])
    server = Namespace("web")
    here = Namespace("host", pid=host.outside)
    join(here, server, 79)
    web = server.inside(lambda: Server(lambda connection: (connection.recv(1000), connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nweb\n"), connection.close()), host=WEB, port=80))
    try:
        follow_capture(host)
    finally:
        web.close()
        here.delete()
        server.delete()

    # And back out again.
    commands = section("Remove").replace("sudo apt-get purge -y outrigger", "sudo dpkg --remove outrigger && test -e /etc/outrigger/outrigger.yaml && sudo dpkg --purge outrigger")
    shell(host, commands)
    assert property_of(host, "outrigger", "ActiveState") == "inactive"
    for path in ("/etc/outrigger", "/usr/sbin/outrigger", "/usr/lib/systemd/system/outrigger.service", "/run/outrigger"):
        assert not os.path.exists(host.path(path)), path
    assert "outrigger" not in host.run(["nft", "list", "tables"]).stdout


def follow_capture(host):
    def call(user):
        return host.run(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "curl", "-sS", "--max-time", "5", f"http://{WEB}/"], check=False)

    def captured():
        clusters = json.loads(host.run(["outriggerctl", "--json", "status"]).stdout)["clusters"]
        return sum(each["opened"] for cluster in clusters if cluster["name"] == "passthrough" for each in cluster["traffic"])

    done = shell(host, section("Under a service: its outgoing connections, captured"))
    assert "included" in done.stdout or "every other outbound connection" in done.stdout
    before = captured()
    assert call("app").stdout == "web\n" and captured() == before + 1
    assert call("root").stdout == "web\n" and captured() == before + 1  # nobody else's
    host.run(["systemctl", "stop", "outrigger"])
    assert call("app").returncode == 7 and call("root").stdout == "web\n"  # refused; never past the proxy
    host.run(["systemctl", "start", "outrigger"])
    assert call("app").stdout == "web\n"
    host.run(["systemctl", "stop", "outrigger-capture"])
    host.run(["systemctl", "stop", "outrigger"])
    assert call("app").stdout == "web\n"
    host.run(["systemctl", "start", "outrigger-capture"])  # which wants the proxy
    assert property_of(host, "outrigger", "ActiveState") == "active"


def test_capture_says_what_is_missing(host, package):
    install(host, package)
    assert host.run(["systemctl", "start", "outrigger-capture"], check=False).returncode != 0
    assert "CAPTURE_USER is not set in /etc/outrigger/capture.env" in host.run(["journalctl", "--no-pager", "-u", "outrigger-capture"]).stdout
    host.run(["sed", "-i", "s/^CAPTURE_USER=.*/CAPTURE_USER=nobody-here/", "/etc/outrigger/capture.env"])
    assert host.run(["systemctl", "start", "outrigger-capture"], check=False).returncode != 0  # it would capture nobody
    assert "no such user" in host.run(["journalctl", "--no-pager", "-u", "outrigger-capture"]).stdout
    assert "nothing to do: neither intercept nor listeners is given" in host.run(["journalctl", "--no-pager", "-u", "outrigger"]).stdout


def test_what_somebody_has_written_survives_installing_by_hand(tmp_path):
    target = tmp_path / "root"
    run(["cmake", "--install", f"{ROOT}/build/release", "--prefix", "/usr"], env={**os.environ, "DESTDIR": str(target)})
    config = target / "etc/outrigger/outrigger.yaml"
    config.write_text("mine")
    run(["cmake", "--install", f"{ROOT}/build/release", "--prefix", "/usr"], env={**os.environ, "DESTDIR": str(target)})
    assert config.read_text() == "mine" and (target / "usr/sbin/outrigger").exists()
