"""A host of its own: this machine's files, copied on write, with systemd as its first process and a network of its own."""

import os
import shutil
import signal
import subprocess
import tempfile

from .processes import eventually, run

CGROUPS = "/sys/fs/cgroup/systemd"

BEGIN = r"""
set -e
mount --make-rprivate /
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --rbind /sys sys
mount -t tmpfs tmpfs sys/fs/cgroup
mkdir sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd systemd sys/fs/cgroup/systemd
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mkdir dev/pts dev/shm
ln -s pts/ptmx dev/ptmx
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
rm -f etc/machine-id etc/systemd/system/*.wants/*
rm -rf var/lib/systemd var/log/journal
for unit in systemd-sysctl systemd-modules-load systemd-remount-fs systemd-udevd systemd-networkd systemd-timesyncd; do
    ln -sf /dev/null etc/systemd/system/$unit.service # what would touch more than this host
done
echo 0123456789abcdef0123456789abcdef > etc/machine-id
ip link set lo up
exec chroot . /usr/bin/env -i container=outrigger-test PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal
"""


def can_boot():
    """Why not; None: it can."""
    if os.getuid() != 0:
        return "it needs root"
    if not os.path.exists("/lib/systemd/systemd") or not shutil.which("systemctl"):
        return "there is no systemd"
    if not os.path.isdir(CGROUPS):
        return "there is no cgroup hierarchy for systemd (version 1) to be its own"
    return None


class Host:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="outrigger-host-")
        self.cgroup = f"{CGROUPS}/outrigger-test-{os.getpid()}"
        os.makedirs(self.cgroup, exist_ok=True)
        self.log = open(os.path.join(self.directory, "console"), "wb")
        self.outside = None
        begin = ["unshare", "--cgroup", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "bash", "-c", BEGIN, "begin", os.path.join(self.directory)]
        self.parent = subprocess.Popen(["bash", "-c", f'echo $$ > {self.cgroup}/cgroup.procs && exec "$@"', "enter", *begin],
                                       stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        try:
            self.outside = eventually(self._first_process, what="the first process", timeout=10)
            eventually(lambda: self.run(["systemctl", "is-system-running"], check=False).stdout.strip() in ("running", "degraded"), what="systemd", timeout=40, every=0.2)
        except BaseException:
            self.delete()
            raise

    def _first_process(self):
        assert self.parent.poll() is None, "the host could not be made"
        with open(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        for child in children:
            with open(f"/proc/{child}/comm", encoding="utf-8") as file:
                if file.read().strip() == "systemd":
                    return int(child)
        return None

    def run(self, argv, check=True, timeout=60, **options):
        """Runs a command as root of the host."""
        enter = ["nsenter", "--target", str(self.outside), "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd=/", "/usr/bin/env", "-i",
                 "PATH=/usr/sbin:/usr/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"]
        return run([*enter, *argv], check=check, timeout=timeout, **options)

    def path(self, name):
        """Where a file of the host's is, seen from here."""
        return f"/proc/{self.outside}/root{name}"

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def delete(self):
        """Its first process ends, and with it every other, and what was mounted."""
        if self.outside:
            os.kill(self.outside, signal.SIGKILL)
        self.parent.kill()
        self.parent.wait(20)
        self.log.close()

        def is_gone():
            for path, _, _ in sorted(os.walk(self.cgroup), reverse=True):
                try:
                    os.rmdir(path)
                except OSError:
                    return False
            return True

        eventually(is_gone, what="the end of the host's processes", timeout=20, every=0.1)
        shutil.rmtree(self.directory, ignore_errors=True)
