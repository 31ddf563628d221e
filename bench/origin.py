"""The origin behind every proxy: nginx with one worker."""

import os

from bench.processes import Measured
from tests.support.processes import eventually

BODY = "hello, pony\n"  # 12 bytes
BULK_BYTES = 100_000_000

CONFIG = """daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/origin.pid;
error_log {directory}/origin-error.log crit;
events {{ worker_connections 19000; multi_accept on; }}
http {{
  access_log off;
  sendfile on;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  server {{
    listen {address}:{port} backlog=4096;
    location = / {{ return 200 "{body}"; }}
    location = /bulk {{ alias {directory}/bulk; }}
  }}
}}
"""


class Origin:
    def __init__(self, directory, port, core, address="127.0.0.1", namespace=None):
        self.port = port
        path = os.path.join(directory, "origin.conf")
        with open(os.path.join(directory, "bulk"), "wb") as file:
            file.truncate(BULK_BYTES)
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIG.format(directory=directory, address=address, port=port, body=BODY.replace("\n", "\\n")))
        self.running = Measured(["/usr/sbin/nginx", "-e", f"{directory}/origin-error.log", "-c", path],
                                f"{directory}/origin.log", core, namespace)
        eventually(lambda: len(self.running.pids()) == 2, what="the origin's worker")

    def stop(self):
        self.running.stop()
