"""The least that a forwarder must do; see floor.c."""

import os

from bench.peers.peer import Peer


class Floor(Peer):
    name = "floor"
    note = "raw epoll, nothing else (bench/floor.c)"
    redirect = True

    def argv(self):
        origin = "original" if self.bench.namespace else self.bench.origin.port
        return [os.path.join(self.bench.programs, "bench-floor"), self.port, origin]
