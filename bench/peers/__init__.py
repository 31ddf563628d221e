"""The proxies by name, in the order in which a round takes them."""

from bench.peers.direct import Direct
from bench.peers.floor import Floor
from bench.peers.outrigger import Outrigger

PEERS = {peer.name: peer for peer in (Direct, Floor, Outrigger)}
