"""
Takes bodies and acknowledges each with one byte: sink.py PORT BODY-BYTES. Runs until its input ends.
"""

import socket
import sys
import threading


def take(connection, body_bytes):
    buffer = bytearray(1 << 20)
    with connection:
        left = body_bytes
        while n := connection.recv_into(buffer, min(left, len(buffer))):
            left -= n
            if left == 0:
                connection.sendall(b"1")
                left = body_bytes


def accept(listener, body_bytes):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=take, args=(connection, body_bytes), daemon=True).start()


listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
threading.Thread(target=accept, args=(listening, int(sys.argv[2])), daemon=True).start()
print("listening", flush=True)
sys.stdin.read()
