"""The proxies by name, in the order in which a round takes them."""

from bench.peers.direct import Direct
from bench.peers.envoy import Envoy, EnvoyEqualBuffers
from bench.peers.floor import Floor
from bench.peers.haproxy import HAProxy, HAProxyLargeBuffers, HAProxySplice
from bench.peers.nginx import Nginx, NginxLargeBuffers
from bench.peers.outrigger import Outrigger
from bench.peers.redsocks import Redsocks

PEERS = {peer.name: peer for peer in (Direct, Floor, Outrigger, HAProxy, HAProxyLargeBuffers, HAProxySplice, Nginx,
                                      NginxLargeBuffers, Envoy, EnvoyEqualBuffers, Redsocks)}
