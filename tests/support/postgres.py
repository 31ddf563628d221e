"""A real PostgreSQL, with a directory of its own."""

import os
import shutil
import signal
import tempfile

from .processes import Program, eventually, run
from .servers import free_port

AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


class Postgres:
    """Listens on every address, trusts everybody. Port 5432 in a namespace, else a free one."""

    def __init__(self, log_path, namespace=None):
        version = sorted(os.listdir("/usr/lib/postgresql"))[-1]
        binaries = f"/usr/lib/postgresql/{version}/bin"
        self.port = 5432 if namespace else free_port()
        self.directory = tempfile.mkdtemp(prefix="outrigger-pg-", dir="/tmp")
        shutil.chown(self.directory, "postgres", "postgres")
        run([*AS_POSTGRES, f"{binaries}/initdb", "-D", f"{self.directory}/data", "--auth=trust", "-N"], cwd="/")
        with open(f"{self.directory}/data/pg_hba.conf", "w", encoding="ascii") as file:
            file.write("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
        argv = [*AS_POSTGRES, f"{binaries}/postgres", "-D", f"{self.directory}/data", "-p", self.port, "-c", "listen_addresses=*", "-c",
                f"unix_socket_directories={self.directory}", "-c", "fsync=off"]
        self.program = namespace.start(argv, log_path, cwd="/") if namespace else Program(argv, log_path, cwd="/")
        eventually(lambda: "ready to accept connections" in self.program.log() or not self.program.is_running(),
                   what="PostgreSQL", timeout=30)

    def stop(self):
        self.program.signal(signal.SIGINT)
        self.program.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)
