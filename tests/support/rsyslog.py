"""A real rsyslogd as a collector, with what it received in a file, a message a line."""

import os

from .processes import Program, eventually
from .servers import free_port


class Rsyslog:
    """Listens on TCP, UDP and a unix socket; with certificates also on TLS. It can be stopped and started again."""

    def __init__(self, directory, certificates=None):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        self.tcp, self.udp, self.tls = free_port(), free_port(), free_port()
        self.unix = f"{self.directory}/log.sock"
        self.received = f"{self.directory}/received"
        self.config = f"{self.directory}/rsyslog.conf"
        self.certificates = certificates
        self.program = None
        self.start()

    def write_config(self):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f'global(workDirectory="{self.directory}" maxMessageSize="16k")\n')
            file.write('template(name="plain" type="string" string="%syslogfacility-text%.%syslogseverity-text% %app-name% %procid% %msgid% %msg%\\n")\n')
            file.write(f'ruleset(name="store") {{ action(type="omfile" file="{self.received}" template="plain" ioBufferSize="64k" flushOnTXEnd="on") }}\n')
            file.write(f'module(load="imudp")\ninput(type="imudp" address="127.0.0.1" port="{self.udp}" ruleset="store")\n')
            file.write(f'module(load="imuxsock" sysSock.use="off")\ninput(type="imuxsock" socket="{self.unix}" createPath="on" useSysTimeStamp="off" useSpecialParser="off" parseHostname="on" ruleset="store" unlink="on")\n')
            file.write(f'module(load="imptcp")\ninput(type="imptcp" address="127.0.0.1" port="{self.tcp}" ruleset="store")\n')
            if self.certificates:
                ca, certificate, key = self.certificates
                file.write(f'global(defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")\n')
                file.write('module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")\n')
                file.write(f'input(type="imtcp" address="127.0.0.1" port="{self.tls}" ruleset="store")\n')

    def start(self):
        self.write_config()
        if os.path.exists(self.unix):
            os.unlink(self.unix)
        self.program = Program(["rsyslogd", "-n", "-f", self.config, "-i", f"{self.directory}/pid"], f"{self.directory}/log")
        eventually(lambda: os.path.exists(self.unix) and self.accepts(), what="the collector", timeout=10)

    def accepts(self):
        with open("/proc/net/tcp", encoding="ascii") as table:
            listening = {int(line.split()[1].split(":")[1], 16) for line in list(table)[1:] if line.split()[3] == "0A"}
        return {self.tcp, *([self.tls] if self.certificates else [])} <= listening

    def stop(self):
        self.program.stop()

    def lines(self):
        try:
            with open(self.received, encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []
