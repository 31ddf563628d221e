"""
What a request costs in instructions of the proxy's own program and libraries (callgrind) and in system calls (strace): figures that do
not depend on the machine's mood.
"""

import glob
import os
import re
import shutil
import socket
import subprocess
import time

from bench.origin import BODY
from bench.peers.peer import Failed

NAME = "cost"
VARIANTS = ["keep-alive", "connection a request"]
ONCE = True  # one round tells it
FEW, MANY = 100, 600  # the difference leaves out what starting and ending cost
SYSCALL_EXCHANGES = 500


def run(bench, peer, variant, seconds):
    if peer.name == "direct" or peer.name.startswith("envoy"):  # Envoy under valgrind does not get anywhere
        return None
    exchange = _keep_alive if variant == "keep-alive" else _close
    measured = {"syscalls_per_request": syscalls(peer, exchange), "errors": 0}
    if shutil.which("valgrind"):
        few, many = (instructions(type(peer)(bench), exchange, count) for count in (FEW, MANY))
        measured["instructions_per_request"] = (many - few) / (MANY - FEW)
    return measured


def instructions(peer, exchange, count):
    """Instructions of a whole run with so many requests."""
    peer.wrap = ["valgrind", "--tool=callgrind", "--trace-children=yes", "-q"]
    os.makedirs(peer.directory, exist_ok=True)
    pattern = os.path.join(peer.directory, "callgrind.out")
    peer.wrap.append(f"--callgrind-out-file={pattern}.%p")
    try:
        peer.start()
        exchange(peer, count)
    finally:
        peer.stop()
    total = 0
    for path in glob.glob(pattern + ".*"):
        with open(path, encoding="utf-8", errors="replace") as file:
            total += sum(int(number) for number in re.findall(r"^totals: (\d+)", file.read(), re.MULTILINE))
    return total


def syscalls(peer, exchange):
    """System calls for each request, of all threads and children."""
    peer.start()
    exchange(peer, 50)
    path = os.path.join(peer.directory, "strace")
    words = ["strace", "-f", "-c", "-o", path]
    for pid in peer.running.pids():
        words += ["-p", str(pid)]
    strace = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while "attached" not in strace.stderr.readline():
            if strace.poll() is not None:
                raise Failed("strace could not attach")
        time.sleep(0.3)
        exchange(peer, SYSCALL_EXCHANGES)
    finally:
        strace.terminate()
        strace.wait()
    with open(path, encoding="utf-8") as file:
        total = re.search(r"^\s*[\d.]+\s+[\d.]+\s+\d*\s+(\d+).*\btotal$", file.read(), re.MULTILINE)
    return int(total.group(1)) / SYSCALL_EXCHANGES


def _keep_alive(peer, count):
    with socket.create_connection(peer.target(), timeout=30) as connection:
        for _ in range(count):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
            reply = b""
            while not reply.endswith(BODY.encode()):
                part = connection.recv(4096)
                if not part:
                    raise Failed(f"{peer.name}: the connection was closed")
                reply += part


def _close(peer, count):
    for _ in range(count):
        with socket.create_connection(peer.target(), timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            while connection.recv(4096):
                pass
