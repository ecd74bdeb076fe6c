"""A package registry that answers badly. Usage: bad_registry.py MANNER [FILE]; prints its port.

MANNER: a status (503, 404, 401), "login" (a page for people in place of an index), "garbled" (JSON that is none),
"stall" (headers, and then nothing), "cut" (an index with FILE, of which half is sent), "tampered" (FILE with
another last byte than its digest was made of).
"""

from __future__ import annotations

import hashlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MANNER = sys.argv[1]
FILE = Path(sys.argv[2]) if len(sys.argv) > 2 else Path()
JSON = "application/vnd.pypi.simple.v1+json"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if MANNER.isdigit():
            self.send_error(int(MANNER))
        elif MANNER == "login":
            self._send(b"<html><title>Sign in</title><form>Room and name, please</form></html>", "text/html")
        elif MANNER == "garbled":
            self._send(b"{not json", JSON)
        elif MANNER == "stall":
            self._head(1000, "text/html")
            threading.Event().wait()
        elif self.path.endswith(FILE.name):
            content = FILE.read_bytes()
            self._head(len(content), "application/octet-stream")
            self.wfile.write(content[: len(content) // 2] if MANNER == "cut" else content[:-1] + b"\xff")
        else:
            digest = hashlib.sha256(FILE.read_bytes()).hexdigest()
            self._send(f'<html><a href="/{FILE.name}#sha256={digest}">{FILE.name}</a></html>'.encode(), "text/html")

    def _head(self, length: int, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.flush()

    def _send(self, body: bytes, kind: str) -> None:
        self._head(len(body), kind)
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
