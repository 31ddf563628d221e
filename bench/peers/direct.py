"""No proxy: what the load and the origin can do by themselves."""

from bench.peers.peer import Peer


class Direct(Peer):
    name = "direct"
    note = "no proxy"
    redirect = True

    def start(self, answers=None):
        return 0.0

    def target(self):
        return (self.bench.host, self.bench.origin.port)

    def cpu_ns(self):
        return None

    def memory_kib(self):
        return None, None

    def executable(self):
        return None
