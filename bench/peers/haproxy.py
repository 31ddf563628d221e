"""HAProxy in TCP mode: as it comes, with buffers as large as Outrigger's, and with splice."""

import os
import re

from bench.peers.peer import Peer
from tests.support.processes import run

PROGRAM = "/usr/sbin/haproxy"

# maxconn is for the idle workload. tcp-smart-accept and tcp-smart-connect leave out a bare ACK each. There is no log, no check
# and no statistics socket unless a line asks for them; TCP_NODELAY is always on.
CONFIG = """global
    nbthread 1
    maxconn 9500
{tuning}
defaults
    mode tcp
    maxconn 9500
    backlog 4096
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    timeout client-fin 10m
    timeout server-fin 10m
    option tcp-smart-accept
    option tcp-smart-connect
{options}
frontend bench
    bind {listen}
{guard}
    default_backend origin
backend origin
    server origin {origin}
"""


class HAProxy(Peer):
    name = "haproxy"
    note = "default buffers (16 KiB)"
    redirect = True
    tuning = ""
    options = ""

    @classmethod
    def absent(cls):
        return None if os.path.exists(PROGRAM) else "haproxy is not installed; tools/bootstrap installs it"

    @classmethod
    def version(cls):
        return re.search(r"HAProxy version (\S+)", run([PROGRAM, "-v"]).stdout).group(1)

    def argv(self):
        if self.bench.namespace:  # `server … 0.0.0.0:0` dials the original destination
            guard = f"    tcp-request connection reject if {{ dst_port {self.port} }}"
            listen, origin = f"0.0.0.0:{self.port}", "0.0.0.0:0"
        else:
            guard, listen, origin = "", f"127.0.0.1:{self.port}", f"127.0.0.1:{self.bench.origin.port}"
        text = CONFIG.format(tuning=self.tuning, options=self.options, listen=listen, guard=guard, origin=origin)
        return [PROGRAM, "-db", "-f", self.write("haproxy.cfg", text)]


class HAProxyLargeBuffers(HAProxy):
    name = "haproxy-256k"
    note = "tune.bufsize 256 KiB"
    redirect = False
    tuning = "    tune.bufsize 262144"


class HAProxySplice(HAProxy):
    """`splice-auto` does not splice at this version; asking for each direction does. Pipes take descriptors: hence maxpipes."""

    name = "haproxy-splice"
    note = "splice-request and splice-response, pipes of 256 KiB"
    redirect = False
    tuning = "    maxpipes 400\n    tune.pipesize 262144"
    options = "    option splice-request\n    option splice-response"
