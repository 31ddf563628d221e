"""Makes the connections that stdin lists (JSON), in order, and prints where each landed. Runs inside a namespace.

A connection is {"to", "port", "uid", "gid", "from"}; where it landed is what whoever accepted it says ("outbound",
"inbound", "direct"), or "refused", "silent", or the error.
"""

import json
import os
import socket
import sys

TIMEOUT = 1.0


def landing(wanted):
    family = socket.AF_INET6 if ":" in wanted["to"] else socket.AF_INET
    os.setegid(wanted["gid"])
    os.seteuid(wanted["uid"])  # the rules see the uid that the socket was made with
    try:
        connection = socket.socket(family)
    finally:
        os.seteuid(0)
        os.setegid(0)
    with connection:
        connection.settimeout(TIMEOUT)
        try:
            if wanted.get("from"):
                connection.bind((wanted["from"], 0))
            connection.connect((wanted["to"], wanted["port"]))
            return connection.recv(100).decode() or "closed"
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silent"
        except OSError as error:
            return str(error)


if __name__ == "__main__":
    json.dump([landing(wanted) for wanted in json.load(sys.stdin)], sys.stdout)
