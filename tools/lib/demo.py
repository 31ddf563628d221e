"""
The main job on real traffic: two pods, a sidecar in each, mutual TLS between them, a real nginx behind, and faults in the middle of a
load.
"""

import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.support.mesh import Workload  # noqa: E402
from tests.support.namespaces import Namespace, join  # noqa: E402
from tests.support.outrigger import PROXY_UID, Outrigger, copy_programs  # noqa: E402
from tests.support.processes import eventually  # noqa: E402
from tests.support.servers import Nginx  # noqa: E402

from ca import CA  # noqa: E402

NET = 77
CLIENT, SERVER = f"10.{NET}.0.1", f"10.{NET}.0.2"
SERVER_IPV6 = f"fd{NET:02x}::2"
SERVICE = "10.96.0.80"  # like a Kubernetes service's address: nobody has it
APP_UID = 1000
LOAD_CONNECTIONS = 24
BACKENDS = [8081, 8082, 8083]

CLIENT_CONFIG = {
    "intercept": {"outbound": {"unmatched": "passthrough"}},
    "clusters": [{
        "name": "web",
        "match": [{"addresses": [SERVICE], "ports": [80]}],
        "endpoints": [{"address": f"{SERVER}:8080"}],
        "tls": {"mode": "mutual", "peer_identities": ["spiffe://cluster.local/ns/shop/sa/web"]},
    }],
}
SERVER_CONFIG = {
    "intercept": {"inbound": {"ports": [{
        "ports": [8080],
        "cluster": {
            "endpoints": [{"address": f"127.0.0.1:{port}"} for port in BACKENDS],
            "retry": {"replay": "16KiB"},
            # Two of three may be left out, and the third alone is enough: else half of the attempts would need a retry.
            "outlier_detection": {"max_ejected": "70%", "panic_threshold": "30%"},
        },
    }]}},
}


class Failed(Exception):
    """The demo saw something that it must not see."""


class Load:
    """What wrk reports."""

    def __init__(self, output):
        self.output = output
        found = re.search(r"(\d+) requests in", output)
        if not found:
            raise Failed(f"wrk reports nothing:\n{output}")
        self.requests = int(found.group(1))
        self.rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
        other = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        self.failures = (sum(int(count) for count in errors.groups()) if errors else 0) + (int(other.group(1)) if other else 0)


class Demo:
    def __init__(self):
        self.started = time.monotonic()
        self.directory = tempfile.mkdtemp(prefix="outrigger-demo-")
        os.chmod(self.directory, 0o755)
        self.namespaces, self.proxies, self.backends = [], {}, []
        self.rows = []
        self.timeline = []

    def say(self, text):
        print(f"  {time.monotonic() - self.started:5.1f} s  {text}", flush=True)

    def note(self, what, expected, seen, good):
        self.rows.append((what, expected, seen, good))
        self.say(f"{'ok    ' if good else 'FAILED'} {what}: {seen} (expected: {expected})")

    # The stages, in order.

    def make_pods(self):
        self.say("two network namespaces, joined by veth: a client pod and a server pod")
        for label in ("client", "server"):
            self.namespaces.append(Namespace(label))
        self.client, self.server = self.namespaces
        join(self.client, self.server, NET)
        ca = CA(os.path.join(self.directory, "ca"))
        self.workloads = {name: Workload(ca, os.path.join(self.directory, f"{name}-svid"), f"spiffe://cluster.local/ns/shop/sa/{account}")
                          for name, account in (("client", "curl"), ("server", "web"))}
        self.programs = copy_programs(os.path.join(self.directory, "bin"))

    def start_backends(self):
        self.say(f"three nginx in the server pod, on 127.0.0.1:{', :'.join(str(port) for port in BACKENDS)}")
        for port in BACKENDS:
            self.backends.append(Nginx(os.path.join(self.directory, f"nginx-{port}"), [f"127.0.0.1:{port}"],
                                       f"hello from nginx {port}", self.server))

    def config(self, name, **more):
        return {**{"client": CLIENT_CONFIG, "server": SERVER_CONFIG}[name], "identity": self.workloads[name].config(), **more}

    def start_sidecars(self):
        for name, namespace in (("client", self.client), ("server", self.server)):
            config = self.config(name)
            done = namespace.run([os.path.join(self.programs, "outrigger-init")])
            lines = [line for line in done.stdout.splitlines() if "verified" in line]
            self.note(f"{name} pod: redirect rules", "installed and proven, IPv4 and IPv6",
                      "; ".join(line.split(":")[0] + " proven" for line in lines if ": verified" in line),
                      sum(": verified" in line for line in lines) == 4)
            begun = time.monotonic()
            proxy = Outrigger(self.programs, os.path.join(self.directory, name), config, namespace, PROXY_UID, wait=False)
            self.proxies[name] = proxy
            gate = namespace.run([os.path.join(self.programs, "outriggerctl"), "--socket", proxy.socket_path, "run",
                                  "--timeout", "10s", "--", "echo", "the app starts"], uid=APP_UID)
            waited = (time.monotonic() - begun) * 1000
            since = proxy.status()["since"]
            self.timeline.append((name, (since["ready"] - since["starting"]) * 1000, waited))
            self.note(f"{name} pod: gate", "the app starts once the proxy is ready", gate.stdout.strip(),
                      gate.stdout.strip() == "the app starts")

    def curl(self, url):
        return self.client.run(["curl", "-sS", "--max-time", "5", url], uid=APP_UID, check=False)

    def plain_requests(self):
        for url in (f"http://{SERVICE}/", f"http://{SERVER}:8080/", f"http://[{SERVER_IPV6}]:8080/"):
            done = self.curl(url)
            self.note(f"curl {url}", "an answer from nginx", (done.stdout or done.stderr).strip(), "hello from nginx" in done.stdout)

    def load(self, seconds, connections, close):
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "4s"]
        if close:
            argv += ["-H", "Connection: close"]
        return Load(self.client.run(argv + [f"http://{SERVICE}/"], uid=APP_UID).stdout)

    def load_with(self, seconds, event):
        """A load with a connection for each request, and `event` in the middle of it."""
        result = {}
        thread = threading.Thread(target=lambda: result.update(load=self.load(seconds, LOAD_CONNECTIONS, True)))
        thread.start()
        time.sleep(seconds / 2)
        event()
        thread.join()
        return result["load"]

    def keep_alive_load(self):
        self.say("wrk: 64 connections, keep-alive, 4 s")
        load = self.load(4, 64, False)
        self.note("wrk, keep-alive", "0 failures", f"{load.requests} requests, {load.rate:.0f}/s, {load.failures} failures",
                  load.failures == 0)

    def mutual_tls(self):
        """Who may is decided by identity: the service's clients are let in, plaintext and others are not."""
        server, client = self.proxies["server"], self.proxies["client"]
        accepted = server.identity()["handshakes"]["accepted"]
        self.note("mutual TLS for the service", "every handshake succeeded", f"{accepted.get('none', 0)} handshakes, problems: "
                  f"{', '.join(name for name in accepted if name != 'none') or 'none'}", set(accepted) == {"none"})
        self.say("the server's pod now lets in nobody but spiffe://cluster.local/ns/shop/sa/curl")
        rules = [{"action": "allow", "identities": ["spiffe://cluster.local/ns/shop/sa/curl"]}]
        server.reload(self.config("server", authorization=rules))
        seen = self.curl(f"http://{SERVICE}/")
        self.note("curl the service, through mutual TLS", "an answer from nginx", (seen.stdout or seen.stderr).strip(), "hello from nginx" in seen.stdout)
        seen = self.curl(f"http://{SERVER}:8080/")
        self.note("curl the pod itself, in plaintext", "reset", (seen.stdout or seen.stderr).strip(), seen.returncode in (52, 56))
        self.workloads["client"].issue(identity="spiffe://cluster.local/ns/shop/sa/somebody")
        eventually(lambda: client.identity()["spiffe_id"].endswith("/somebody"), what="the other identity")
        seen = self.curl(f"http://{SERVICE}/")
        self.note("the same client with another identity", "reset", (seen.stdout or seen.stderr).strip(), seen.returncode in (52, 56))
        self.workloads["client"].issue()
        eventually(lambda: client.identity()["spiffe_id"].endswith("/curl"), what="its own identity again")
        server.reload(self.config("server"))

    def graceful_stop(self):
        self.say(f"wrk: a connection for each request, {LOAD_CONNECTIONS} at a time, 6 s; nginx {BACKENDS[1]} stops gracefully in the middle")
        load = self.load_with(6, self.backends[1].quit)
        self.note("one nginx stopped gracefully under load", "0 failures", f"{load.requests} requests, {load.failures} failures",
                  load.failures == 0)

    def in_flight_on(self, port):
        for cluster in self.proxies["server"].status()["clusters"]:
            for endpoint in cluster["endpoints"]:
                if endpoint["address"] == f"127.0.0.1:{port}":
                    return endpoint["active"]
        raise Failed(f"the server's proxy knows no endpoint {port}")

    def outright_kill(self):
        in_flight = []

        def kill():
            in_flight.append(max(self.in_flight_on(BACKENDS[2]) for _ in range(5)))
            self.backends[2].kill()

        self.say(f"the same load; nginx {BACKENDS[2]} is killed outright in the middle")
        load = self.load_with(4, kill)
        self.note("one nginx killed under load", f"at most the {in_flight[0]} requests in flight on it",
                  f"{load.requests} requests, {load.failures} failures", load.failures <= in_flight[0])
        time.sleep(1)
        load = self.load(3, LOAD_CONNECTIONS, True)
        self.note("from a second later on", "0 failures", f"{load.requests} requests, {load.failures} failures", load.failures == 0)

    def proxy_death(self):
        proxy = self.proxies["client"]
        self.say("the client's proxy is killed: nothing may get past it")
        proxy.program.signal(signal.SIGKILL)
        proxy.program.wait()
        refused = self.curl(f"http://{SERVER}:8080/")
        self.note("with the proxy dead", "refused", refused.stderr.strip() or refused.stdout.strip(), refused.returncode == 7)
        self.proxies["client"] = Outrigger(self.programs, proxy.directory, self.config("client"), self.client, PROXY_UID)
        again = self.curl(f"http://{SERVICE}/")
        self.note("with a new proxy, no new init", "an answer from nginx", again.stdout.strip() or again.stderr.strip(),
                  "hello from nginx" in again.stdout)

    def drain(self):
        for name, proxy in self.proxies.items():
            proxy.program.signal(signal.SIGTERM)
            code = proxy.program.wait(30)
            self.note(f"{name} pod: SIGTERM", "drains and ends with 0", f"exit {code}", code == 0)

    def nothing_left(self):
        try:
            for proxy in self.proxies.values():
                eventually(lambda: proxy.status()["connections"]["active"] == 0, timeout=5)
            left = 0
        except AssertionError:
            left = sum(proxy.status()["connections"]["active"] for proxy in self.proxies.values())
        self.note("after the loads", "no connection left open", f"{left} left", left == 0)

    # The story, told at the end.

    def tell_traffic(self, moment):
        print(f"\n{moment}\n")
        for name, proxy in self.proxies.items():
            text = proxy.request("GET", "/status", {"Accept": "text/plain"})[1]
            print(f"--- {name} pod\n" + "".join(f"    {line}\n" for line in text.splitlines()))

    def tell(self):
        print("\nWhat was seen\n")
        width = max(len(row[0]) for row in self.rows)
        for what, expected, seen, good in self.rows:
            print(f"  {'ok' if good else 'FAILED':6} {what:{width}}  {seen}")
            if not good:
                print(f"  {'':6} {'':{width}}  expected: {expected}")
        print("\nReadiness\n")
        for name, ready_ms, waited_ms in self.timeline:
            print(f"  {name} pod: ready {ready_ms:.0f} ms after the proxy's start; its app ran {waited_ms:.0f} ms after the proxy was started")

    def clean_up(self):
        """Everything, whatever of it fails."""
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            for namespace in self.namespaces:
                stack.callback(namespace.delete)
            for backend in self.backends:
                stack.callback(backend.stop)
            for proxy in self.proxies.values():
                stack.callback(proxy.program.stop)

    def run(self):
        self.make_pods()
        self.start_backends()
        self.start_sidecars()
        self.plain_requests()
        self.keep_alive_load()
        self.mutual_tls()
        self.graceful_stop()
        self.outright_kill()
        self.nothing_left()
        self.tell_traffic("Where every connection went (outriggerctl status)")
        self.proxy_death()
        self.drain()
        self.tell()
        if not all(row[3] for row in self.rows):
            raise Failed("not everything was as it must be; see above")


def main():
    demo = Demo()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        demo.run()
        print("\nAll as expected.")
        return 0
    except Failed as problem:
        print(f"\ndemo: {problem}", file=sys.stderr)
        return 1
    finally:
        demo.clean_up()


if __name__ == "__main__":
    sys.exit(main())
