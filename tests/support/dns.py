"""A real name server (dnsmasq) whose records a test changes while it runs."""

import signal
import socket

from .processes import Program, eventually
from .servers import free_port


class NameServer:
    def __init__(self, directory, records, ttl=1, port=None):
        """`records`: addresses by name, all below `test`."""
        directory.mkdir()
        self.hosts = directory / "hosts"
        self.port = port or free_port()
        self._write(records)
        self.program = Program(["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--addn-hosts={self.hosts}",
                                f"--local-ttl={ttl}", "--local=/test/", f"--port={self.port}", "--listen-address=127.0.0.1",
                                "--bind-interfaces", "--user=root", f"--pid-file={directory}/pid", "--log-facility=-", "--log-queries"],
                               directory / "log")
        eventually(self._answers, what="dnsmasq")

    def _answers(self):
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0

    def _write(self, records):
        self.hosts.write_text("".join(f"{address} {name}\n" for name, addresses in records.items() for address in addresses))

    def change(self, records):
        self._write(records)
        self.program.signal(signal.SIGHUP)

    def log(self):
        return self.program.log()

    def stop(self):
        self.program.stop()
