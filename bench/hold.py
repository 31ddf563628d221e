"""Connections that are opened, used once and kept: `python3 -m bench.hold HOST PORT COUNT` says "held" and waits for its input's end."""

import socket
import sys

QUESTION = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def main(host, port, count):
    held = []
    for _ in range(count):
        connection = socket.create_connection((host, port), timeout=10)
        connection.sendall(QUESTION)
        if not connection.recv(4096):
            sys.exit("hold: a connection was closed")
        held.append(connection)
    print("held", flush=True)
    sys.stdin.read()


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
