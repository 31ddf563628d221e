"""
Sends bodies over several connections for some seconds, each acknowledged by one byte: upload.py HOST PORT CONNECTIONS SECONDS
BODY-BYTES. Prints {"bytes":…,"seconds":…,"errors":…}; bodies under way at the end count for what was sent of them.
"""

import json
import socket
import sys
import threading
import time

PIECE = memoryview(bytes(1 << 20))


def send(host, port, end, body_bytes, sent):
    with socket.create_connection((host, port), timeout=30) as connection:
        while True:
            left = body_bytes
            while left > 0:
                if time.monotonic() >= end:
                    return
                n = connection.send(PIECE[:left])
                left -= n
                sent.append(n)
            connection.recv(1)


def guarded(errors, *words):
    try:
        send(*words)
    except OSError as error:
        errors.append(error)


def main(host, port, connections, seconds, body_bytes):
    begun = time.monotonic()
    sent, errors = [], []
    threads = [threading.Thread(target=guarded, args=(errors, host, port, begun + seconds, body_bytes, sent)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"bytes": sum(sent), "seconds": time.monotonic() - begun, "errors": len(errors)}))


main(sys.argv[1], *(int(word) for word in sys.argv[2:]))
