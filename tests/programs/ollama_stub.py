"""A little server that speaks enough of Ollama's protocol to go wrong in every way that Ollama can.

    python ollama_stub.py serve            as the ollama program does: listens at OLLAMA_HOST
    python ollama_stub.py --version        as the ollama program does
    python ollama_stub.py FILE MODE        listens at a free port and writes that into FILE

MODE (or OLLAMA_STUB): ok, old, html, dies (in the middle of create), dies-once (the first create), dies-chat,
cut (closes streams), error (an error line in streams; creations from files only), full (no space left), slow (endless
chat and pull),
stuck (creations never end), hostile (a reply with escape sequences), crash (ends itself at the start), deaf (never
answers).
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODELS: dict[str, dict] = {}
BLOBS: dict[str, bytes] = {}
LOADED: set[str] = set()
SEEN: list[str] = []  # what clients did, for GET /stub/seen


def full(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def modelfile_of(model: dict) -> str:
    weights = [f"/blobs/{digest.replace(':', '-')}" for digest in model.get("files", {}).values()]
    lines = [f"FROM {source}" for source in weights or ["x"]]
    return "\n".join([*lines, *(f"{key.upper()} {model[key]}" for key in ("renderer", "parser") if model.get(key))])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mode = "ok"
    home = Path()

    def log_message(self, text: str, *args: object) -> None:
        sys.stderr.write(f"[stub] {text % args}\n")
        sys.stderr.flush()

    def do_GET(self) -> None:
        if self.mode == "html":
            return self.page()
        match self.path:
            case "/api/version":
                return self.answer({"version": "0.9.1" if self.mode == "old" else "0.32.7"})
            case "/api/tags":
                return self.answer({"models": [self.entry(name) for name in MODELS]})
            case "/api/ps":
                return self.answer({"models": [self.entry(name) for name in sorted(LOADED)]})
            case "/stub/seen":
                return self.answer({"seen": SEEN})
        return self.answer({"error": "not here"}, 404)

    def do_HEAD(self) -> None:
        known = self.path.rpartition("/")[2] in BLOBS
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_DELETE(self) -> None:
        name = full(self.body()["model"])
        SEEN.append(f"delete {name}")
        return self.answer({}) if MODELS.pop(name, None) else self.missing(name)

    def do_POST(self) -> None:
        if self.mode == "html":
            return self.page()
        if self.path.startswith("/api/blobs/"):
            return self.take_blob(self.path.rpartition("/")[2])
        body = self.body()
        return getattr(self, "on_" + self.path.rpartition("/")[2], self.unknown)(body)

    def unknown(self, body: dict) -> None:
        self.answer({"error": "not here"}, 404)

    def take_blob(self, digest: str) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.mode == "full":
            return self.answer({"error": "write /models/blobs/x: no space left on device"}, 500)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            return self.answer({"error": "digest mismatch"}, 400)
        BLOBS[digest] = content
        SEEN.append("upload")
        return self.answer({}, 201)

    def on_create(self, body: dict) -> None:
        SEEN.append(f"create {full(body['model'])}")
        self.begin_stream()
        self.line({"status": "parsing GGUF"})
        if self.mode == "dies" or (self.mode == "dies-once" and not (self.home / "died").exists()):
            (self.home / "died").touch()
            sys.stderr.write("terminate called: unordered_map::at\n")
            sys.stderr.flush()
            os._exit(134)
        if self.mode == "stuck":
            MODELS[full(body["model"])] = body
            threading.Event().wait()
        if self.mode == "cut":
            return self.drop()
        if self.mode == "error" and body.get("files"):
            return self.end_stream({"error": "model architecture not supported"})
        if body.get("quantize"):
            for step in range(3):
                self.line({"status": "quantizing F16 model to Q8_0", "completed": step + 1, "total": 3})
        source = MODELS.get(full(body.get("from") or ""), {})  # whose layers, renderer and parser are inherited
        MODELS[full(body["model"])] = {**source, **body}
        return self.end_stream({"status": "success"})

    def on_chat(self, body: dict) -> None:
        name = full(body["model"])
        if name not in MODELS:
            return self.missing(name)
        if body.get("_debug_render_only"):
            text = "".join(f"<{m['role']}>{m['content']}" for m in body["messages"])
            return self.answer({"model": name, "_debug_info": {"rendered_template": text}})
        LOADED.add(name)
        self.begin_stream()
        message = {"role": "assistant", "content": "", "thinking": "Hmm."}
        self.line({"model": name, "message": message, "done": False})
        if self.mode == "dies-chat":
            os._exit(134)
        if self.mode == "cut":
            return self.drop()
        if self.mode == "error":
            return self.end_stream({"error": "llama runner process has terminated: signal: aborted"})
        if self.mode == "slow":
            return self.talk_on()
        said = json.dumps({key: body.get(key) for key in ("messages", "options", "think")})
        for piece in ("\x1b]0;title\x07", "\x1b[2", "Jbye") if self.mode == "hostile" else ("I ", "heard ", said):
            self.line({"model": name, "message": {"role": "assistant", "content": piece}, "done": False})
        return self.end_stream(
            {"model": name, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop",
             "prompt_eval_count": 7, "eval_count": 3, "eval_duration": 1_500_000_000, "total_duration": 2_000_000_000}
        )  # fmt: skip

    def talk_on(self) -> None:
        try:
            while True:
                self.line({"message": {"role": "assistant", "content": "on and "}, "done": False})
                time.sleep(0.02)
        except OSError:
            SEEN.append("chat stopped")
            self.close_connection = True

    def on_generate(self, body: dict) -> None:
        name = full(body["model"])
        if name not in MODELS:
            return self.missing(name)
        if body.get("keep_alive") == 0:
            LOADED.discard(name)
            return self.answer({"model": name, "done": True, "done_reason": "unload"})
        self.begin_stream()
        self.line({"response": body["prompt"].upper(), "done": False})
        return self.end_stream({"response": "", "done": True, "done_reason": "length"})

    def on_pull(self, body: dict) -> None:
        name = full(body["model"])
        self.begin_stream()
        self.line({"status": "pulling manifest"})
        if name.startswith("nowhere"):
            return self.end_stream({"error": "pull model manifest: file does not exist"})
        for digest, done, total in (("abc", 50, 100), ("abc", 100, 100), ("def", 20, 20)):
            self.line({"status": f"pulling {digest}", "digest": f"sha256:{digest}", "total": total, "completed": done})
        if self.mode == "slow":
            threading.Event().wait()
        BLOBS["sha256:abc"] = b"a" * 120
        MODELS[name] = {"files": {"m.gguf": "sha256:abc"}, "model": name}
        return self.end_stream({"status": "success"})

    def on_show(self, body: dict) -> None:
        name = full(body["model"])
        model = MODELS.get(name)
        if model is None:
            return self.missing(name)
        parameters = "\n".join(f"{key} {value}" for key, value in model.get("parameters", {}).items())
        return self.answer(
            {"modelfile": modelfile_of(model), "template": model.get("template", ""), "system": model.get("system", ""),
             "parameters": parameters, "details": {"family": "llama"}, "capabilities": ["completion"],
             "license": "\n".join(model.get("license", [])),
             "model_info": {"general.architecture": "llama", "llama.context_length": 512}}
        )  # fmt: skip

    def on_copy(self, body: dict) -> None:
        source, target = full(body["source"]), full(body["destination"])
        SEEN.append(f"copy {source} {target}")
        if source not in MODELS:
            return self.missing(source)
        MODELS[target] = MODELS[source]
        return self.answer({})

    def entry(self, name: str) -> dict:
        size = sum(len(BLOBS[digest]) for digest in MODELS[name].get("files", {}).values())
        moment = "2026-11-24T04:53:37.785414123Z"
        options = MODELS[name].get("parameters", {})  # num_gpu: how many percent of it lie on the GPU
        digest = hashlib.sha256(json.dumps(MODELS[name]).encode()).hexdigest()
        return {"name": name, "model": name, "size": size, "digest": digest, "modified_at": moment,
                "size_vram": size * options.get("num_gpu", 0) // 100, "context_length": options.get("num_ctx", 4096),
                "expires_at": "2318-03-06T01:02:03.5Z" if options.get("stays") else moment,
                "details": {"family": "llama", "quantization_level": "F16"}}  # fmt: skip

    def missing(self, name: str) -> None:
        self.answer({"error": f"model '{name}' not found"}, 404)

    def page(self) -> None:
        content = b"<html><body>Welcome to nginx!</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def body(self) -> dict:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")

    def answer(self, value: dict, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def line(self, value: dict) -> None:
        content = json.dumps(value).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def end_stream(self, value: dict) -> None:
        self.line(value)
        self.wfile.write(b"0\r\n\r\n")

    def drop(self) -> None:
        """End the connection without ending the stream."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nothing to write a traceback about."""


def serve(host: str, port: int, mode: str) -> None:
    Handler.mode = mode
    if mode == "crash":
        sys.stderr.write("Error: could not read the identity key\n")
        sys.exit(1)
    if mode == "deaf":
        threading.Event().wait()
    with Server((host, port), Handler) as server:
        if len(sys.argv) == 3:
            file = Path(sys.argv[1])
            Handler.home = file.parent
            file.with_suffix(".part").write_text(str(server.server_address[1]))
            file.with_suffix(".part").rename(file)
        server.serve_forever()


def main() -> None:
    if sys.argv[1] == "--version":
        sys.stdout.write("ollama version is 0.32.7\n")
    elif sys.argv[1] == "serve":
        Handler.home = Path(os.environ["HOME"])
        host, _colon, port = os.environ["OLLAMA_HOST"].rpartition(":")
        serve(host, int(port), os.environ.get("OLLAMA_STUB", "ok"))
    else:
        serve("127.0.0.1", 0, sys.argv[2])


if __name__ == "__main__":
    main()
