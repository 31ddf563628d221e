"""
A throw-away certificate authority for tests and demos, through the openssl program: SVIDs as cert-manager's csi driver and
spiffe-helper mount them, bundles, revocation lists, and certificates that every verifier must refuse. Never for production: its
keys lie beside its certificates.
"""

import datetime
import os
import shutil
import subprocess
import tempfile

CURVE = ["-pkeyopt", "ec_paramgen_curve:P-256"]
LEAF = {
    "basicConstraints": "critical,CA:FALSE",
    "keyUsage": "critical,digitalSignature",
    "extendedKeyUsage": "serverAuth,clientAuth",
}


class Failed(Exception):
    """openssl said no."""


def openssl(*words, **options):
    done = subprocess.run(["openssl", *[str(word) for word in words]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    if done.returncode != 0:
        raise Failed(f"openssl {' '.join(str(word) for word in words)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def when(days):
    """A time as openssl ca wants it, `days` from now."""
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


class CA:
    """One root, or an authority below another."""

    def __init__(self, directory, trust_domain="cluster.local", parent=None, extensions=None, key=None):
        self.directory, self.trust_domain, self.parent = str(directory), trust_domain, parent
        self.certificate, self.key = f"{self.directory}/ca.crt", f"{self.directory}/ca.key"
        if os.path.exists(self.certificate):
            return
        os.makedirs(f"{self.directory}/issued", mode=0o700, exist_ok=True)
        for name, text in (("index.txt", ""), ("index.txt.attr", "unique_subject = no\n"), ("serial", "1000\n"), ("crlnumber", "01\n")):
            self._write(name, text)
        self._write("ca.cnf", f"""[ca]
default_ca = own
[own]
database = {self.directory}/index.txt
serial = {self.directory}/serial
crlnumber = {self.directory}/crlnumber
new_certs_dir = {self.directory}/issued
certificate = {self.certificate}
private_key = {self.key}
default_md = sha256
default_crl_days = 30
policy = anything
unique_subject = no
copy_extensions = none
[anything]
organizationName = optional
commonName = optional
""")
        extensions = extensions or {"basicConstraints": "critical,CA:TRUE", "keyUsage": "critical,keyCertSign,cRLSign",
                                    "subjectKeyIdentifier": "hash", "subjectAltName": f"URI:spiffe://{trust_domain}"}
        self._make_key(self.key, key)
        if parent:
            parent.sign(self.key, self.certificate, extensions, subject=f"/O={trust_domain}/CN={os.path.basename(self.directory)}")
        else:
            words = [word for name, value in extensions.items() for word in ("-addext", f"{name}={value}")]
            openssl("req", "-x509", "-new", "-key", self.key, "-subj", f"/O={trust_domain}/CN=root", "-days", 3650, "-out", self.certificate, *words,
                    "-config", self._write("req.cnf", "[req]\ndistinguished_name = none\n[none]\n"))

    def _write(self, name, text):
        path = f"{self.directory}/{name}"
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    @staticmethod
    def _make_key(path, key=None):
        openssl("genpkey", *(key or ["-algorithm", "EC", *CURVE]), "-out", path)
        os.chmod(path, 0o600)

    def sign(self, key, certificate, extensions, subject="/", begins=-0.01, ends=1.0, digest="sha256"):
        """Signs whatever it is told to: the extensions as openssl.cnf has them, in their order."""
        with tempfile.TemporaryDirectory() as scratch:
            request, config = f"{scratch}/request", f"{scratch}/extensions"
            with open(config, "w", encoding="utf-8") as file:
                file.write("[own]\n" + "".join(f"{name} = {value}\n" for name, value in extensions.items()))
            openssl("req", "-new", "-key", key, "-subj", subject, "-out", request, "-config", self._write("req.cnf", "[req]\ndistinguished_name = none\n[none]\n"))
            openssl("ca", "-batch", "-notext", "-config", f"{self.directory}/ca.cnf", "-in", request, "-out", certificate, "-extfile", config,
                    "-extensions", "own", "-startdate", when(begins), "-enddate", when(ends), "-md", digest, *(["-preserveDN"] if subject == "/" else []))

    def chain(self):
        """What stands behind a leaf: the intermediates, not the root."""
        text, ca = "", self
        while ca.parent:
            with open(ca.certificate, encoding="ascii") as file:
                text += file.read()
            ca = ca.parent
        return text

    def root(self):
        return self.parent.root() if self.parent else self

    def issue(self, directory, identity, name=None, extensions=None, key=None, roots=(), **options):
        """An SVID as it is mounted: tls.crt with its chain, tls.key, ca.crt; replaced in one step, as a kubelet does it."""
        if "://" not in identity:
            identity = f"spiffe://{self.trust_domain}/{identity.lstrip('/')}"
        uri = {"subjectAltName": f"critical,URI:{identity}" + (f",DNS:{name}" if name else "")}
        os.makedirs(directory, exist_ok=True)
        fresh = tempfile.mkdtemp(prefix="..fresh-", dir=directory)
        os.chmod(fresh, 0o755)
        self._make_key(f"{fresh}/tls.key", key)
        self.sign(f"{fresh}/tls.key", f"{fresh}/tls.crt", extensions if extensions is not None else {**uri, **LEAF}, **options)
        with open(f"{fresh}/tls.crt", "a", encoding="ascii") as file:
            file.write(self.chain())
        with open(f"{fresh}/ca.crt", "w", encoding="ascii") as file:
            for ca in roots or [self.root()]:
                with open(ca.certificate, encoding="ascii") as one:
                    file.write(one.read())
        swap(directory, fresh)
        return str(directory)

    def revoke(self, certificate):
        openssl("ca", "-config", f"{self.directory}/ca.cnf", "-revoke", certificate)

    def crl(self, path):
        """Writes the list of what was revoked, in one step."""
        openssl("ca", "-gencrl", "-config", f"{self.directory}/ca.cnf", "-out", f"{path}.new")
        os.rename(f"{path}.new", path)
        return str(path)


def swap(directory, fresh):
    """The links that name the files lead through ..data, which a rename replaces: all of them change at once."""
    before = os.path.realpath(f"{directory}/..data") if os.path.islink(f"{directory}/..data") else None
    os.symlink(os.path.basename(fresh), f"{directory}/..next")
    os.rename(f"{directory}/..next", f"{directory}/..data")
    for name in os.listdir(fresh):
        if not os.path.islink(f"{directory}/{name}"):
            os.symlink(f"..data/{name}", f"{directory}/{name}")
    if before:
        shutil.rmtree(before)
