"""
A real Kubernetes API on loopback: etcd, kube-apiserver and kube-controller-manager, without nodes. tools/kubernetes-tools --cluster
builds the programs; without them the tests that need one are skipped.
"""

import itertools
import json
import os
import shutil

import yaml

from .outrigger import ROOT
from .processes import Program, eventually, run
from .servers import free_port

_numbers = itertools.count()
BIN = os.environ.get("KUBERNETES_BIN", f"{ROOT}/build/kubernetes-tools/bin")
CONTROLLERS = ("serviceaccount-controller,namespace-controller,garbage-collector-controller,deployment-controller,replicaset-controller,"
               "statefulset-controller,job-controller,cronjob-controller,root-ca-certificate-publisher-controller")


def is_there():
    return all(os.access(f"{BIN}/{name}", os.X_OK) for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl"))


class Cluster:
    def __init__(self, directory):
        self.directory, self.programs = str(directory), []
        self.pki = f"{directory}/pki"
        self.port = free_port()
        os.makedirs(self.pki)
        try:
            self._make_certificates()
            self._start()
        except BaseException:
            self.delete()
            raise

    def _openssl(self, *words):
        run(["openssl", *words], cwd=self.pki)

    def _make_certificates(self):
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test-ca", "-days", "2", "-addext", "keyUsage=critical,keyCertSign")
        for name, subject, extensions in (
                ("apiserver", "/CN=kube-apiserver", "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc\n"),
                ("admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth\n"),
                ("controller-manager", "/CN=system:kube-controller-manager", "extendedKeyUsage=clientAuth\n")):
            with open(f"{self.pki}/{name}.ext", "w", encoding="utf-8") as file:
                file.write(extensions)
            self._openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt")
        self._openssl("genrsa", "-out", "sa.key", "2048")
        self._openssl("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")

    def _program(self, name, *words):
        self.programs.append(Program([f"{BIN}/{name}", *words], f"{self.directory}/{name}.log"))

    def _kubeconfig(self, user):
        path = f"{self.directory}/{user}.kubeconfig"
        with open(path, "w", encoding="utf-8") as file:
            yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "test",
                            "clusters": [{"name": "test", "cluster": {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": f"{self.pki}/ca.crt"}}],
                            "users": [{"name": user, "user": {"client-certificate": f"{self.pki}/{user}.crt", "client-key": f"{self.pki}/{user}.key"}}],
                            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}]}, file)
        return path

    def _start(self):
        etcd, peer = free_port(), free_port()
        self._program("etcd", "--name", "test", "--data-dir", f"{self.directory}/etcd", "--listen-client-urls", f"http://127.0.0.1:{etcd}", "--advertise-client-urls", f"http://127.0.0.1:{etcd}",
                      "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", f"test=http://127.0.0.1:{peer}")
        self._program("kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{etcd}", "--bind-address", "127.0.0.1", "--secure-port", str(self.port), "--advertise-address", "127.0.0.1",
                      "--endpoint-reconciler-type", "none", "--service-cluster-ip-range", "10.0.0.0/24", "--cert-dir", self.pki,
                      "--tls-cert-file", f"{self.pki}/apiserver.crt", "--tls-private-key-file", f"{self.pki}/apiserver.key", "--client-ca-file", f"{self.pki}/ca.crt",
                      "--service-account-issuer", "https://kubernetes.default.svc.cluster.local", "--service-account-key-file", f"{self.pki}/sa.pub",
                      "--service-account-signing-key-file", f"{self.pki}/sa.key", "--authorization-mode", "RBAC", "--allow-privileged=true")
        self.kubeconfig = self._kubeconfig("admin")
        eventually(lambda: self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0, what="the API server", timeout=90, every=0.3)
        self._program("kube-controller-manager", "--kubeconfig", self._kubeconfig("controller-manager"), "--feature-gates", "WatchListClient=false", "--secure-port", "0", "--leader-elect=false",
                      "--controllers", CONTROLLERS, "--use-service-account-credentials", "--service-account-private-key-file", f"{self.pki}/sa.key", "--root-ca-file", f"{self.pki}/ca.crt")
        eventually(lambda: self.kubectl("-n", "default", "get", "serviceaccount", "default", check=False).returncode == 0, what="the controllers", timeout=60, every=0.3)

    def kubectl(self, *words, check=True, text=None):
        if text is not None:
            path = f"{self.directory}/input-{next(_numbers)}.yaml"
            with open(path, "w", encoding="utf-8") as file:
                file.write(text if isinstance(text, str) else yaml.safe_dump_all(text if isinstance(text, list) else [text]))
            words = [*words, "-f", path]
        return run([f"{BIN}/kubectl", "--kubeconfig", self.kubeconfig if hasattr(self, "kubeconfig") else "/dev/null", *words], check=check, timeout=60)

    def get(self, *words):
        return json.loads(self.kubectl("get", *words, "-o", "json").stdout)

    def make_namespace(self, name, **labels):
        self.kubectl("apply", text={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {key.replace("__", "/"): value for key, value in labels.items()}}})
        eventually(lambda: self.kubectl("-n", name, "get", "serviceaccount", "default", check=False).returncode == 0, what="its service account", timeout=20, every=0.2)

    def delete(self):
        for program in reversed(self.programs):
            program.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
