"""Where measurements happen: directories, cores, the origin, and for redirected traffic two namespaces."""

import contextlib
import copy
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools", "lib"))

from ca import CA  # noqa: E402
from bench.origin import BODY, BULK_BYTES, Origin
from bench.peers.peer import Failed
from bench.processes import cores, pin
from tests.support.namespaces import Namespace, join
from tests.support.processes import run
from tests.support.servers import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAMS = ("outrigger", "outrigger-init", "bench-floor", "bench-pace")
NET = 76
SERVER, SERVER_PORT = f"10.{NET}.0.2", 8000
MESH_ADDRESS = f"10.{NET}.1.1"


class Sink:
    """A running sink.py."""

    def __init__(self, port, core):
        self.port = port
        self.child = subprocess.Popen([sys.executable, "-B", os.path.join(ROOT, "bench", "sink.py"), str(port), str(BULK_BYTES)],
                                      text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pin(core))
        if self.child.stdout.readline() != "listening\n":
            raise RuntimeError("the sink does not listen")

    def stop(self):
        self.child.communicate(timeout=60)


class Bench:
    def __init__(self, programs):
        self.directory = tempfile.mkdtemp(prefix="outrigger-bench-")
        os.chmod(self.directory, 0o755)
        self.programs = os.path.join(self.directory, "bin")  # a copy: other uids may not reach the build directory
        os.mkdir(self.programs)
        for name in PROGRAMS:
            shutil.copy(os.path.join(programs, name), self.programs)
        self.proxy_core, self.load_core = cores()
        self.numbers = itertools.count()
        self.namespace, self.host = None, "127.0.0.1"
        self.namespaces = []  # of the twins
        self.twin = None
        self.mesh_twin = None
        try:
            self.origin = Origin(self._subdirectory("origin"), free_port(), self.load_core)
        except BaseException:
            shutil.rmtree(self.directory)
            raise

    def _subdirectory(self, name):
        path = os.path.join(self.directory, name)
        os.makedirs(path)
        return path

    def open_to_all(self, program):
        """A program's path that every uid can reach: itself, or a copy."""
        if not self.namespace:
            return program
        copied = os.path.join(self.programs, os.path.basename(program))
        if not os.path.exists(copied):
            shutil.copy(program, copied)
        return copied

    def inside(self, function):
        """Calls it where the load is."""
        return self.namespace.inside(function) if self.namespace else function()

    def reply_bytes(self, peer):
        """The length of a whole reply of the origin."""
        def ask():
            with socket.create_connection(peer.target(), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
                reply = b""
                while not reply.endswith(BODY.encode()):
                    part = connection.recv(4096)
                    if not part:
                        raise Failed(f"{peer.name}: the connection was closed before the reply was whole")
                    reply += part
                return len(reply)
        return self.inside(ask)

    @contextlib.contextmanager
    def hold(self, peer, count):
        """Holds `count` connections that each carried one request."""
        host, port = peer.target()
        argv = [sys.executable, "-B", "-m", "bench.hold", host, str(port), str(count)]
        child = subprocess.Popen(self.namespace.command(argv) if self.namespace else argv, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pin(self.load_core))
        try:
            if child.stdout.readline() != "held\n":
                raise Failed(f"{peer.name}: {count} connections could not be held")
            yield
        finally:
            child.communicate(timeout=60)

    @contextlib.contextmanager
    def sink(self):
        """The same bench with a sink in the origin's place: it takes bodies and acknowledges each."""
        twin = copy.copy(self)
        twin.origin = Sink(free_port(), self.load_core)
        try:
            yield twin
        finally:
            twin.origin.stop()

    def redirected(self, to_proxy):
        """The same bench with its load in a namespace whose connections are redirected (or, without a proxy, are not)."""
        if not self.twin:
            client, server = Namespace("bench-client"), Namespace("bench-server")
            self.namespaces += [client, server]
            join(client, server, NET)
            for namespace in (client, server):  # or thousands of ended connections a second would fill the kernel's table
                namespace.run(["sysctl", "-qw", *(f"net.netfilter.nf_conntrack_tcp_timeout_{state}=1" for state in
                                                  ("time_wait", "close", "last_ack", "fin_wait", "close_wait"))])
            self.twin = copy.copy(self)
            self.twin.namespace, self.twin.host = client, SERVER
            self.twin.origin = Origin(self._subdirectory("redirected"), SERVER_PORT, self.load_core, SERVER, server)
        init = os.path.join(self.programs, "outrigger-init")
        self.twin.namespace.run([init, "--no-verify"] if to_proxy else [init, "remove"])
        return self.twin

    def meshed(self):
        """
        The same bench inside one namespace with the rules of a pod, an address of its own that the origin listens on, and
        certificates for mutual TLS.
        """
        if not self.mesh_twin:
            namespace = Namespace("bench-mesh")
            self.namespaces.append(namespace)
            namespace.run(["ip", "address", "add", f"{MESH_ADDRESS}/32", "dev", "lo"])
            namespace.run(["sysctl", "-qw", "net.ipv4.ip_local_port_range=32768 65000", "net.ipv4.tcp_tw_reuse=1"])
            for state in ("time_wait", "close", "last_ack", "fin_wait", "close_wait"):
                namespace.run(["sysctl", "-qw", f"net.netfilter.nf_conntrack_tcp_timeout_{state}=1"])
            namespace.run([os.path.join(self.programs, "outrigger-init"), "--no-verify"])
            self.mesh_twin = copy.copy(self)
            self.mesh_twin.mesh_address, self.mesh_twin.mesh_files = MESH_ADDRESS, self._certificates()
            self.mesh_twin.namespace = namespace
            self.mesh_twin.origin = Origin(self._subdirectory("meshed"), SERVER_PORT, self.load_core, MESH_ADDRESS, namespace)
        return self.mesh_twin

    def _certificates(self):
        """One P-256 certificate for both sides, whose name and whose identity each proxy may ask for."""
        directory = self._subdirectory("certificates")
        CA(os.path.join(directory, "root")).issue(os.path.join(directory, "bench"), "ns/bench/sa/bench", name="bench")
        for path, directories, files in os.walk(directory):
            for name in [".", *directories, *files]:
                os.chmod(os.path.join(path, name), 0o755)
        return os.path.join(directory, "bench")

    def close(self):
        for twin in (self.twin, self.mesh_twin):
            if twin:
                twin.origin.stop()
        for namespace in self.namespaces:
            namespace.delete()
        self.origin.stop()
        shutil.rmtree(self.directory)


def build():
    """Builds what is measured; returns the directory of the programs."""
    run(["cmake", "--preset", "release"], cwd=ROOT, timeout=300)
    run(["cmake", "--build", "--preset", "release", "--target", *PROGRAMS], cwd=ROOT, timeout=600)
    return os.path.join(ROOT, "build", "release", "bin")
