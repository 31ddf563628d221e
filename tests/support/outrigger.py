"""The programs under test."""

import http.client
import json
import os
import re
import shutil
import socket

import yaml

from .processes import Program, eventually, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROXY_UID = 1337


def built_programs():
    """Where the programs to test are: OUTRIGGER_BIN, or the development build."""
    return os.environ.get("OUTRIGGER_BIN", os.path.join(ROOT, "build", "dev", "bin"))


def copy_programs(directory):
    """Copies the programs where every uid can run them (a checkout may be closed to others)."""
    os.makedirs(directory, exist_ok=True)
    for name in ("outrigger", "outrigger-init", "outriggerctl"):
        shutil.copy(os.path.join(built_programs(), name), directory)
    os.chmod(directory, 0o755)
    return str(directory)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("outrigger", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Outrigger:
    """A running proxy."""

    started = []  # all that the current test has started, whatever became of it

    def __init__(self, programs, directory, config, namespace=None, uid=None, wait=True, environment=None,
                 config_path=None, **options):
        self.programs, self.directory, self.namespace = programs, str(directory), namespace
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o777)
        self.socket_path = os.path.join(self.directory, "control.sock")
        self.config_path = config_path or os.path.join(self.directory, "outrigger.yaml")
        if not config_path:
            self.write(config)
        argv = [os.path.join(programs, "outrigger"), "-c", self.config_path]
        log_path = os.path.join(self.directory, "outrigger.log")
        if environment:
            options["env"] = {**os.environ, **environment}
        if namespace is not None:
            self.program = namespace.start(argv, log_path, uid=uid, **options)
        else:
            self.program = Program(argv, log_path, **options)
        Outrigger.started.append(self)
        if wait:
            try:
                eventually(lambda: self.is_ready() or not self.program.is_running(), what="ready", timeout=20)
                assert self.program.is_running(), self.program.log()
            except BaseException:
                self.program.stop()
                raise

    def write(self, config):
        """Writes the configuration's file, in one step. A running proxy notices."""
        config = {"version": 1, "log": {"format": "text", "level": "debug"}, "admin": {"port": 0}, **config}
        config["control"] = {"path": self.socket_path, **config.get("control", {})}
        with open(self.config_path + ".new", "w", encoding="utf-8") as file:
            yaml.safe_dump(config, file)
        os.rename(self.config_path + ".new", self.config_path)

    def reload(self, config):
        """Writes it and asks for a reload; status and text of the answer."""
        self.write(config)
        return self.request("POST", "/reload")

    @property
    def pid(self):
        return self.program.pid

    def request(self, method, path, headers=None, timeout=10, body=None):
        """Status and body of a request on the control socket."""
        connection = _UnixConnection(self.socket_path, timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def is_ready(self):
        try:
            return self.request("GET", "/healthz/ready")[0] == 200
        except OSError:
            return False

    def status(self):
        return json.loads(self.request("GET", "/status")[1])

    def blockers(self):
        """What keeps it from being ready; None before it can be asked (its socket is there a moment before it is listened on)."""
        try:
            return self.status()["blockers"]
        except OSError:
            return None

    def traffic(self, cluster, direction):
        """The counters of one cluster and direction; all zero before its first connection."""
        for entry in self.status()["clusters"]:
            for traffic in entry["traffic"]:
                if entry["name"] == cluster and traffic["direction"] == direction:
                    return traffic
        return {"opened": 0, "active": 0, "ended": {}, "retries": 0, "connect_failures": {}, "bytes_from_client": 0,
                "bytes_from_upstream": 0}

    def ended(self, cluster, direction="listener"):
        return self.traffic(cluster, direction)["ended"]

    def active(self):
        return self.status()["connections"]["active"]

    def expect_ended(self, expected, cluster, direction="listener"):
        """The account, soon: an end is counted a little after its peer has seen it."""
        eventually(lambda: self.ended(cluster, direction) == expected, what=f"{expected}, not {self.ended(cluster, direction)}")

    def connections(self):
        return json.loads(self.request("GET", "/connections")[1])["connections"]

    def stats(self):
        return json.loads(self.request("GET", "/stats")[1])

    def identity(self):
        return json.loads(self.request("GET", "/identity")[1])

    def resident_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))

    def metrics(self):
        return parse_metrics(self.request("GET", "/metrics")[1])

    def ctl(self, *words, **options):
        return run([os.path.join(self.programs, "outriggerctl"), "--socket", self.socket_path, *words], check=False, **options)

    def log(self):
        return self.program.log()

    def stop(self):
        code = self.program.stop(40)
        problems = re.findall(r".*(?:Sanitizer|runtime error).*", self.log())
        assert not problems, self.log()
        return code


def parse_metrics(text):
    """Samples of a Prometheus text by name with labels."""
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
    return samples
