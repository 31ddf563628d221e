"""redsocks: redirected connections through a proxy server. It cannot go to the destination itself, so it is not measured."""

from bench.peers.peer import Peer


class Redsocks(Peer):
    name = "redsocks"
    note = "not comparable"
    redirect = True

    @classmethod
    def absent(cls):
        return ("redsocks only forwards to another proxy server (SOCKS or HTTP CONNECT), never to the destination itself: "
                "its figure would be that of two processes and two hops")
