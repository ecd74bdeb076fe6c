"""A server of release archives: knows ranges, can break off a download in the middle, and can hang.

Usage: release_server.py FOLDER [BREAK_AFTER_BYTES]; prints its port. The first answer of each file is broken off
after so many bytes, "hang" in their place never ends one.
"""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])
BREAK = sys.argv[2] if len(sys.argv) > 2 else ""
broken: set[str] = set()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        with (FOLDER / "requests.log").open("a") as log:
            log.write(f"{self.path} {self.headers.get('Range', '-')}\n")
        path = FOLDER / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if BREAK == "hang" and path.suffix != ".txt":
            self.wfile.write(content[:10])
            self.wfile.flush()
            threading.Event().wait()
        if BREAK and self.path not in broken and path.suffix != ".txt":
            broken.add(self.path)
            self.wfile.write(content[start : start + int(BREAK)])
            self.close_connection = True
            return
        self.wfile.write(content[start:])

    def log_message(self, *_args: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
