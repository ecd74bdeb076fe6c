"""A little server that speaks the part of the Hugging Face hub's protocol that a push uses.

    python hub_stub.py FILE [MODE]        listens at a free port and writes its address into FILE

MODE: ok, cut (closes the connection in the second upload, once), full (the disk of the hub is full), plain (a mirror
that has no xet storage).
Tokens: "good" may write; every other one may not. ``GET /stub/seen`` tells what is there now, as JSON: ``files`` (a
SHA-256 a path, of the last commit of each repository), ``uploads`` (how often bytes came), ``commits``.

Source of the protocol: huggingface_hub 2.4, `hf_api.py` and `lfs.py`; git-lfs `docs/api/batch.md`; of the xet storage
https://huggingface.co/docs/xet, "Upload Protocol", "CAS API" and "Xorb format" (version 1 of its addresses).
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ACCOUNT = "me"
REPOSITORIES: dict[str, dict[str, str]] = {}
BLOBS: set[str] = set()
SEEN = {"uploads": 0, "commits": 0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mode = "ok"
    has_cut = False

    def log_message(self, text: str, *args: object) -> None:
        sys.stderr.write(f"[hub] {text % args}\n")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def do_GET(self) -> None:
        if self.path == "/stub/seen":
            return self.answer({"files": REPOSITORIES, **SEEN})
        if "/tree/" in self.path:
            files = REPOSITORIES[self.path.split("/tree/")[0].removeprefix("/api/models/")]
            return self.answer([{"type": "file", "path": name, "size": 1, "oid": "b" * 40} for name in files])
        if "/xet-write-token/" in self.path and self.mode != "plain" and self.has_token("good"):
            return self.answer({"casUrl": self.endpoint, "accessToken": "cas", "exp": int(time.time()) + 3600})
        return self.answer({"error": "not here"}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.has_token("cas"):
            self.storage(body)
        elif self.has_token("good"):
            self.hub(body)
        else:
            self.answer({"error": "Invalid username or password."}, 401)

    def hub(self, body: bytes) -> None:
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or ACCOUNT}/{asked['name']}"
            status = 409 if name in REPOSITORIES else 200
            REPOSITORIES.setdefault(name, {})
            return self.answer({"url": f"{self.endpoint}/{name}"}, status)
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = ["lfs" if file["path"].endswith(".safetensors") else "regular" for file in files]
            answers = [
                {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}
                for file, mode in zip(files, modes, strict=True)
            ]
            return self.answer({"files": answers})
        if self.path.endswith("/info/lfs/objects/batch"):
            return self.answer({"transfer": "basic", "objects": [self.action(o) for o in json.loads(body)["objects"]]})
        if "/commit/" in self.path:
            return self.commit(self.path.split("/commit/")[0].removeprefix("/api/models/"), body)
        return self.answer({"error": f"not here: {self.path}"}, 404)

    def has_token(self, wanted: str) -> bool:
        return self.headers.get("Authorization") == f"Bearer {wanted}"

    def cuts(self) -> bool:
        """Close the connection where it is time to."""
        if self.mode != "cut" or SEEN["uploads"] != 1 or Handler.has_cut:
            return False
        Handler.has_cut = self.close_connection = True
        self.connection.close()
        return True

    def storage(self, body: bytes) -> None:
        if self.path.startswith("/v1/xorbs/"):
            return self.xorb(body)
        if self.path == "/v1/shards":
            return self.answer({"result": 1})
        return self.answer({"error": "of a later version"}, 404)

    def xorb(self, body: bytes) -> None:
        """Take the chunks of a file that shares none with another, and does not shrink when it is packed."""
        if self.cuts():
            return None
        if self.mode == "full":
            return self.answer({"error": "Private repository storage limit reached"}, 403)
        content, at = hashlib.sha256(), 0
        while at < len(body):
            version, packing = body[at], body[at + 4]
            size = int.from_bytes(body[at + 1 : at + 4], "little")
            assert (version, packing) == (0, 0)
            content.update(body[at + 8 : at + 8 + size])
            at += 8 + size
        SEEN["uploads"] += 1
        BLOBS.add(content.hexdigest())
        return self.answer({"was_inserted": True})

    def do_PUT(self) -> None:
        if self.cuts():
            return None
        digest = hashlib.sha256(self.rfile.read(int(self.headers["Content-Length"]))).hexdigest()
        if digest != self.path.removeprefix("/lfs/"):
            return self.answer({"error": "other bytes than were told"}, 400)
        SEEN["uploads"] += 1
        BLOBS.add(digest)
        return self.answer({})

    def action(self, asked: dict) -> dict:
        if self.mode == "full":
            return {**asked, "error": {"code": 507, "message": "Private repository storage limit reached"}}
        if asked["oid"] in BLOBS:
            return asked
        return {**asked, "actions": {"upload": {"href": f"{self.endpoint}/lfs/{asked['oid']}"}}}

    def commit(self, name: str, body: bytes) -> None:
        files = REPOSITORIES[name]
        for line in body.splitlines():
            entry = json.loads(line)
            match entry["key"]:
                case "file":
                    content = base64.b64decode(entry["value"]["content"])
                    files[entry["value"]["path"]] = hashlib.sha256(content).hexdigest()
                case "lfsFile":
                    assert entry["value"]["oid"] in BLOBS
                    files[entry["value"]["path"]] = entry["value"]["oid"]
                case "deletedFile":
                    del files[entry["value"]["path"]]
        SEEN["commits"] += 1
        self.answer({"success": True, "commitUrl": f"{self.endpoint}/{name}/commit/{'a' * 40}", "commitOid": "a" * 40})

    def answer(self, value: object, status: int = 200) -> None:
        raw = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


if __name__ == "__main__":
    Handler.mode = sys.argv[2] if len(sys.argv) > 2 else "ok"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = Path(sys.argv[1])
    address.with_suffix(".part").write_text(f"http://127.0.0.1:{server.server_address[1]}")
    address.with_suffix(".part").rename(address)
    server.serve_forever()
