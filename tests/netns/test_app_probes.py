"""
The kubelet's questions from outside of the pod, past capture: over IPv4 and IPv6, in both modes of interception, whatever TLS and
authorization would say to a client, they tell whether the app is well; and an app that listens on the pod's address alone is reached.
"""

import http.client
import socket

import pytest

from tests.support.namespaces import ROOT_AS_PROXY
from tests.support.servers import Server, echo

POD = {"10.78.0.2": socket.AF_INET, "fd4e::2": socket.AF_INET6}


def ask(space, host, name):
    def over_http():
        connection = http.client.HTTPConnection(host, 15021, timeout=5)
        connection.request("GET", f"/probe/{name}")
        return connection.getresponse().status

    return space.inside(over_http)


@pytest.mark.parametrize("mode", ["redirect", "tproxy"])
def test_probes_pass_capture_and_authorization(pods, start, programs, mode):
    client, server = pods
    server.run([f"{programs}/outrigger-init", "--mode", mode, "--no-verify"])
    start({"intercept": {"inbound": {"mode": mode}}, "health": {"port": 15021}, "authorization": [{"action": "deny"}],
           "probes": [{"name": "app/readiness", "port": 8080}, {"name": "app/liveness", "port": 8081}]},
          namespace=server, uid=ROOT_AS_PROXY if mode == "tproxy" else 1337)
    for host, family in POD.items():
        app = server.inside(lambda host=host, family=family: Server(echo, host=host, port=8080, family=family))
        assert ask(client, host, "app/readiness") == 200 and ask(client, host, "app/liveness") == 503

        def blunt(host=host):
            with socket.create_connection((host, 8080), timeout=5) as connection:
                connection.sendall(b"x")
                return connection.recv(1)

        with pytest.raises(OSError):
            client.inside(blunt)
        app.close()
        assert ask(client, host, "app/readiness") == 503
    assert app.accepted >= 1
