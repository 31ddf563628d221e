"""Two pods with a sidecar each, and certificates for them: what mutual TLS between sidecars is tested with."""

import os
import socket
import ssl
import sys

from .clients import connect
from .outrigger import ROOT
from .servers import Server, echo

sys.path.insert(0, os.path.join(ROOT, "tools", "lib"))

from ca import CA  # noqa: E402

CLIENT, SERVER = "10.78.0.1", "10.78.0.2"
WEB, APP = "spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/app"
PROXY_UID = 1337


def open_to_proxy(directory):
    """A sidecar is not root, and a key is for nobody else."""
    for path, directories, files in os.walk(directory):
        for name in [".", *directories, *files]:
            os.lchown(os.path.join(path, name), PROXY_UID, PROXY_UID)
    return str(directory)


class Workload:
    """What is mounted for one workload, and renewed."""

    def __init__(self, ca, directory, identity):
        self.ca, self.directory, self.identity = ca, str(directory), identity
        self.issue()

    def issue(self, **options):
        ca = options.pop("ca", self.ca)
        ca.issue(self.directory, options.pop("identity", self.identity), **options)
        return open_to_proxy(self.directory)

    def config(self, **more):
        at = self.directory
        return {"certificate": f"{at}/tls.crt", "private_key": f"{at}/tls.key", "trust_bundle": f"{at}/ca.crt", **more}


def tls_context(directory, server=False, alpn="outrigger/1", version=ssl.TLSVersion.TLSv1_3):
    """OpenSSL as a peer of the mesh that is not ours: with what is mounted in `directory`, None for no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols([alpn])
    if directory:
        context.load_cert_chain(f"{directory}/tls.crt", f"{directory}/tls.key")
    if server:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(f"{directory}/ca.crt")
    return context


class Mesh:
    """
    The client's pod: a sidecar `a` whose plain listener 7000 leads to the app's port in the other pod through TLS. The
    server's pod: interception, a sidecar `b`, and an app at 8080.
    """

    def __init__(self, pods, start, programs, directory):
        self.client, self.server = pods
        self.start, self.programs = start, programs
        directory.chmod(0o755)
        self.ca = CA(directory / "root")
        self.web = Workload(self.ca, directory / "web", WEB)
        self.app = Workload(self.ca, directory / "app", APP)
        self.apps = []
        self.server.run([os.path.join(programs, "outrigger-init")])

    def config_a(self, tls=None, port=8080, **more):
        cluster = {"name": "app", "endpoints": [{"address": f"{SERVER}:{port}"}], "tls": {"mode": "mutual", **(tls or {})},
                   "retry": {"attempts": 1}, "outlier_detection": {"consecutive_failures": 0}, **more.pop("cluster", {})}
        return {"listeners": [{"name": "out", "address": "127.0.0.1:7000", "cluster": "app"}], "clusters": [cluster],
                "health": {"port": 15021}, "drain": {"timeout": "200ms"}, "identity": self.web.config(), **more}

    def config_b(self, mode="strict", **more):
        inbound = {"tls": {"mode": mode, **more.pop("tls", {})}, "ports": more.pop("ports", [])}
        return {"intercept": {"inbound": inbound}, "health": {"port": 15021}, "drain": {"timeout": "200ms"},
                "identity": self.app.config(), **more}

    def start_a(self, config=None, **options):
        self.a = self.start(config or self.config_a(), namespace=self.client, uid=PROXY_UID, **options)
        return self.a

    def start_b(self, config=None, **options):
        self.b = self.start(config or self.config_b(), namespace=self.server, uid=PROXY_UID, **options)
        return self.b

    def bare(self):
        """No interception in the server's pod: whatever listens there is reached directly."""
        self.server.run([os.path.join(self.programs, "outrigger-init"), "remove"])

    def serve(self, function=echo, port=8080, **options):
        self.apps.append(self.server.inside(lambda: Server(function, host="0.0.0.0", port=port, **options)))
        return self.apps[-1]

    def connect(self, port=7000, host="127.0.0.1", **options):
        """As the client's app does."""
        return self.client.inside(lambda: connect(port, host, timeout=10, **options))

    def raw(self, port=8080):
        """Past the client's sidecar."""
        return self.connect(port, SERVER)

    def speak(self, directory=None, port=8080, **options):
        """A peer that is not ours, past the client's sidecar: the connection after the handshake, before the status."""
        plain = self.raw(port)
        try:
            return tls_context(directory or self.web.directory, **options).wrap_socket(plain)
        except BaseException:
            plain.close()
            raise

    def status(self, directory=None, **options):
        """What such a peer is told: the status byte, or how the connection ends."""
        try:
            with self.speak(directory, **options) as peer:
                return peer.recv(1) or "end"
        except ssl.SSLError as error:
            return error.reason
        except ConnectionResetError:
            return "reset"

    def ask(self, data=b"x", **options):
        """What the app answers, or how the connection ends."""
        try:
            with self.connect(**options) as client:
                if data:
                    client.sendall(data)
                return client.recv(65536) or "end"
        except ConnectionResetError:
            return "reset"
        except socket.timeout:
            return "silence"

    def close(self):
        for app in self.apps:
            app.close()
