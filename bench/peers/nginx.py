"""nginx's stream module: as it comes, and with buffers as large as Outrigger's."""

import os
import re

from bench.peers.peer import Peer
from tests.support.processes import run

PROGRAM, MODULE = "/usr/sbin/nginx", "/usr/lib/nginx/modules/ngx_stream_module.so"

# proxy_half_close, or a reply after the client's FIN would be lost: the others pass half-closes on too.
CONFIG = """load_module {module};
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log {directory}/error.log crit;
events {{ use epoll; worker_connections 19500; multi_accept on; }}
stream {{
    access_log off;
    tcp_nodelay on;
    proxy_connect_timeout 10s;
    proxy_timeout 1h;
    proxy_half_close on;
    proxy_buffer_size {buffer};
    server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass 127.0.0.1:{origin}; }}
}}
"""


class Nginx(Peer):
    name = "nginx"
    note = "default buffers (16 KiB), proxy_half_close on"
    buffer = "16k"

    @classmethod
    def absent(cls):
        return None if os.path.exists(MODULE) else "nginx's stream module is not installed; tools/bootstrap installs it"

    @classmethod
    def version(cls):
        return re.search(r"nginx/(\S+)", run([PROGRAM, "-v"]).stderr).group(1)

    def argv(self):
        text = CONFIG.format(module=MODULE, directory=self.directory, buffer=self.buffer, port=self.port,
                             origin=self.bench.origin.port)
        return [PROGRAM, "-e", f"{self.directory}/error.log", "-c", self.write("nginx.conf", text)]


class NginxLargeBuffers(Nginx):
    name = "nginx-256k"
    note = "proxy_buffer_size 256k, proxy_half_close on"
    buffer = "256k"
