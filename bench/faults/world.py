"""Where one proxy is measured: a network namespace with three endpoints, whose SYNs nftables counts, refuses or loses."""

import os
import re
import signal
import subprocess

from bench.processes import pin
from tests.support.namespaces import Namespace
from tests.support.processes import eventually, stopped

ADDRESSES = ["127.0.1.1", "127.0.1.2", "127.0.1.3"]
PORT = 7000

RULES = """table inet faults {
    set refused { type ipv4_addr; }
    set silent { type ipv4_addr; }
    counter first { }
    counter second { }
    counter third { }
    chain arriving {
        type filter hook input priority 0;
        tcp flags & (syn | ack) != syn accept
        ip daddr 127.0.1.1 counter name first
        ip daddr 127.0.1.2 counter name second
        ip daddr 127.0.1.3 counter name third
        ip daddr @refused reject with tcp reset
        ip daddr @silent drop
    }
}
"""


class Endpoint:
    """A running endpoint.c."""

    def __init__(self, world, address):
        argv = world.namespace.command([os.path.join(world.programs, "bench-endpoint"), address, PORT, world.speaker])
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, preexec_fn=pin(world.load_core))
        self.halted = None

    def order(self, letter):
        self.process.stdin.write(letter.encode())
        self.process.stdin.flush()

    def halt(self):
        self.halted = stopped(self.process.pid)
        self.halted.__enter__()

    def resume(self):
        if self.halted:
            self.halted.__exit__(None, None, None)
        self.halted = None

    def stop(self):
        self.resume()
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


class World:
    """What a bench.peers.Peer asks of its bench, and the means to do harm."""

    host = "127.0.0.1"

    def __init__(self, bench, speaker):
        self.directory, self.programs, self.numbers = bench.directory, bench.programs, bench.numbers
        self.proxy_core, self.load_core, self.open_to_all = bench.proxy_core, bench.load_core, bench.open_to_all
        self.speaker, self.policy = speaker, bench.policy
        self.endpoints = []
        self.namespace = Namespace("faults")
        try:
            self.namespace.run(["sysctl", "-qw", "net.ipv4.ip_local_port_range=20000 65000"])  # for TIME_WAIT of a whole run
            self._nft(RULES)
            self.endpoints = [Endpoint(self, address) for address in ADDRESSES]
            eventually(self._all_listen, what="the endpoints")
        except BaseException:
            self.close()
            raise

    def _nft(self, text):
        self.namespace.run(["nft", "-f", "-"], stdin=None, input=text)

    def _all_listen(self):
        found = self.namespace.run(["ss", "-Hltn"]).stdout
        return all(f"{address}:{PORT}" in found for address in ADDRESSES)

    def inside(self, function):
        return self.namespace.inside(function)

    def cut_off(self, refused=0, silent=0):
        """The first so many endpoints refuse, or do not answer, from now on; the others can be reached."""
        text = "flush set inet faults refused\nflush set inet faults silent\n"
        for name, count in (("refused", refused), ("silent", silent)):
            if count:
                text += f"add element inet faults {name} {{ {', '.join(ADDRESSES[:count])} }}\n"
        self._nft(text)

    def attempts(self):
        """SYNs at each endpoint so far; health checks and the kernel's own repetitions (after 1 s) count too."""
        found = self.namespace.run(["nft", "list", "counters", "table", "inet", "faults"]).stdout
        return [int(count) for count in re.findall(r"packets (\d+)", found)]

    def close(self):
        for endpoint in self.endpoints:
            endpoint.stop()
        self.namespace.delete()
