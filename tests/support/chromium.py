"""A headless Chromium, driven over its debugging protocol (a WebSocket; RFC 6455, as much of it as is needed)."""

import base64
import itertools
import json
import os
import shutil
import socket
import struct
import time
import urllib.request

from .processes import Program, eventually
from .servers import free_port


class WebSocket:
    def __init__(self, url):
        host, _, path = url.removeprefix("ws://").partition("/")
        name, _, port = host.partition(":")
        self.socket = socket.create_connection((name, int(port)), timeout=20)
        self.socket.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.stream = self.socket.makefile("rb")
        assert b"101" in self.stream.readline()
        while self.stream.readline() != b"\r\n":
            pass

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        length = struct.pack("!BH", 0x80 | 126, len(data)) if len(data) < 65536 else struct.pack("!BQ", 0x80 | 127, len(data))
        self.socket.sendall(b"\x81" + length + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))

    def receive(self):
        parts = b""
        while True:
            first, second = self.stream.read(2)
            length = second & 0x7f
            if length == 126:
                length = struct.unpack("!H", self.stream.read(2))[0]
            elif length == 127:
                length = struct.unpack("!Q", self.stream.read(8))[0]
            data = self.stream.read(length)
            if first & 0x0f in (0, 1):
                parts += data
                if first & 0x80:
                    return parts.decode()

    def close(self):
        self.stream.close()
        self.socket.close()


class Chromium:
    """One page. `problems` are what its console had to complain of."""

    def __init__(self, directory):
        port = free_port()
        self.numbers, self.problems = itertools.count(1), []
        self.program = Program([shutil.which("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                                f"--user-data-dir={directory}/profile", f"--remote-debugging-port={port}", "about:blank"], f"{directory}/chromium.log")
        pages = []

        def begun():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                    pages[:] = [page for page in json.load(answer) if page["type"] == "page"]
            except OSError:
                pass
            return pages
        eventually(begun, what="Chromium", timeout=30)
        self.socket = WebSocket(pages[0]["webSocketDebuggerUrl"])
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.receive())
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.problems.append(message["params"]["entry"]["text"])
            if message.get("method") == "Runtime.exceptionThrown":
                self.problems.append(message["params"]["exceptionDetails"].get("exception", {}).get("description", "exception"))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def go(self, url):
        self.call("Page.navigate", url=url)

    def ask(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, identifier):
        return self.ask(f"document.getElementById({json.dumps(identifier)}).textContent")

    def size(self, width, height=900, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, path):
        height = self.ask("Math.ceil(document.documentElement.getBoundingClientRect().height)")
        width = self.ask("window.innerWidth")
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                            clip={"x": 0, "y": 0, "width": width, "height": max(height, 100), "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))

    def close(self):
        try:
            self.call("Browser.close")
        except (AssertionError, OSError, ValueError, TypeError):
            pass
        self.socket.close()
        deadline = time.monotonic() + 10
        while self.program.is_running() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.program.stop()
