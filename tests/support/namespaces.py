"""Network namespaces as pods: made and taken away by the test, with addresses and routes of their own."""

import ctypes
import itertools
import os
import threading

from .processes import Program, run

_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
ROOT_AS_PROXY = "root, with the proxy's gid and NET_ADMIN alone"  # for Namespace.command()


class Namespace:
    """A network namespace with loopback up: a new one, or that of a process."""

    def __init__(self, label, pid=None):
        self.name = f"outrigger-{os.getpid()}-{next(_numbers)}-{label}"
        run(["ip", "netns", "attach", self.name, str(pid)] if pid else ["ip", "netns", "add", self.name])
        self.run(["ip", "link", "set", "lo", "up"])

    def command(self, argv, uid=None):
        """The words that run `argv` in here: as another user without capabilities, or as ROOT_AS_PROXY."""
        words = ["ip", "netns", "exec", self.name]
        if uid == ROOT_AS_PROXY:
            return words + ["setpriv", "--regid=1337", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all,+net_admin"] + \
                [str(word) for word in argv]
        if uid is not None:
            words += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--inh-caps=-all"]
        return words + [str(word) for word in argv]

    def run(self, argv, uid=None, **options):
        return run(self.command(argv, uid), **options)

    def start(self, argv, log_path, uid=None, **options):
        return Program(self.command(argv, uid), log_path, **options)

    def inside(self, function):
        """Calls a function with this thread in the namespace; sockets that it opens stay there."""
        result = {}

        def enter():
            with open(f"/run/netns/{self.name}", "rb") as handle:
                if _libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            result["value"] = function()

        def guarded():
            try:
                enter()
            except BaseException as error:  # handed to the caller below
                result["error"] = error

        thread = threading.Thread(target=guarded)
        thread.start()
        thread.join()
        if "error" in result:
            raise result["error"]
        return result["value"]

    def delete(self):
        run(["ip", "netns", "delete", self.name], check=False)


def join(left, right, net):
    """Joins two namespaces by a veth pair: 10.net.0.1 and .2, fdXX::1 and ::2, each the other's default route."""
    run(["ip", "link", "add", "eth0", "netns", left.name, "type", "veth", "peer", "name", "eth0", "netns", right.name])
    for namespace, own in ((left, 1), (right, 2)):
        peer = 3 - own
        namespace.run(["ip", "address", "add", f"10.{net}.0.{own}/24", "dev", "eth0"])
        namespace.run(["ip", "address", "add", f"fd{net:02x}::{own}/64", "dev", "eth0", "nodad"])
        namespace.run(["ip", "link", "set", "eth0", "up"])
        namespace.run(["ip", "route", "add", "default", "via", f"10.{net}.0.{peer}"])
        namespace.run(["ip", "-6", "route", "add", "default", "via", f"fd{net:02x}::{peer}"])
