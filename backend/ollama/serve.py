"""The work of a ``serve`` job: a private Ollama on a free loopback port, which ends itself when nobody needs it.

    python -P -m backend.ollama.serve JOB_FOLDER

Parameters: ``{binary, models_dir, home, idle_minutes}``; result: ``{host, version, pid}``. The server writes to this
work's own stdout and stderr (the job's output.log): there is no pipe that could fill.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from backend.ollama.address import Address
from backend.ollama.private import LOCK_NAME, server_environment
from backend.ollama.probe import has_loaded_models, version_at
from data.errors import AppError
from data.files import open_lock, tail_bytes, try_lock
from data.i18n import Message, _, verbatim
from data.jobs.folder import JobFolder
from data.jobs.report import Reporter, run_work

_ATTEMPTS: Final = 5
_START_S: Final = 120.0
_END_S: Final = 8.0
_TICK_S: Final = 15.0
_POLL_S: Final = 0.05
_LOG_LINES: Final = 12
_READ_BYTES: Final = 1 << 20
_LOOKS: Final = (b"/api/version", b"/api/ps")
"""Requests by which views see how the server is, without any use of it."""


@dataclass(frozen=True, slots=True)
class ServeParams:
    """The parameters of a ``serve`` job."""

    binary: Path
    models_dir: Path
    home: Path
    idle_minutes: float

    @classmethod
    def read(cls, params: Mapping[str, object]) -> ServeParams:
        """Read a spec's parameters; raises AppError."""
        idle = params.get("idle_minutes", 0)
        texts = [params.get(name) for name in ("binary", "models_dir", "home")]
        if isinstance(idle, bool) or not isinstance(idle, (int, float)) or not all(isinstance(t, str) for t in texts):
            raise AppError(_("This job's parameters are wrong"), repr(dict(params)), _("Start the server anew."))
        binary, models_dir, home = (Path(str(text)) for text in texts)
        return cls(binary, models_dir, home, float(idle))

    @property
    def lock(self) -> Path:
        """See ``LOCK_NAME``."""
        return self.home / LOCK_NAME


def main(reporter: Reporter, folder: JobFolder) -> None:
    """Serve until the server ends, a signal asks for the end, or it has been idle long enough."""
    params = ServeParams.read(folder.read_spec().params)
    with _signals() as wake:
        reporter.stage("start", _("Starting Ollama"))
        server = _start(params, wake, folder)
        if server is None:
            return
        try:
            reporter.result(host=server.address.url, version=server.version, pid=server.process.pid)
            reporter.stage("serve", _("Serving at {url}", url=server.address.url))
            _stay(server, params, wake, reporter, folder)
        finally:
            _end(server.process)
    code = server.process.returncode
    if not wake.asked and not server.is_idle and code:
        raise AppError(
            _("The Ollama server ended by itself ({how})", how=_how(code)),
            verbatim(_last_lines(folder)),
            _("The log's last lines say why. The next deployment or chat starts a new server."),
        )


@dataclass(slots=True)
class _Server:
    process: subprocess.Popen[bytes]
    address: Address
    version: str
    is_idle: bool = False


class _Wake:
    """Waits for the end of the server, or for a signal that asks for ours, without polling."""

    def __init__(self, reader: socket.socket) -> None:
        self._reader = reader
        self.asked = False

    def note(self, number: int, _frame: object) -> None:
        """Take a signal; that it arrived is already written to the socket."""
        self.asked = self.asked or number != signal.SIGCHLD

    def wait(self, process: subprocess.Popen[bytes], seconds: float) -> bool:
        """Wait until the process has ended or the end was asked for (then True), or ``seconds`` have passed."""
        deadline = time.monotonic() + seconds
        while not self.asked and process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if select.select([self._reader], [], [], left)[0]:
                self._reader.recv(512)
        return True


@contextmanager
def _signals() -> Generator[_Wake]:
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    wake = _Wake(reader)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    previous = [(number, signal.signal(number, wake.note)) for number in numbers]
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield wake
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in previous:
            signal.signal(number, handler)
        reader.close()
        writer.close()


def _start(params: ServeParams, wake: _Wake, folder: JobFolder) -> _Server | None:
    """Start the server and wait until it answers; None when the end was asked for meanwhile."""
    for folder_needed in (params.home, params.models_dir):
        try:
            folder_needed.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AppError(
                _("Ollama's folder cannot be made"), str(error), _("Check the free space and the permissions.")
            ) from error
    for attempt in range(1, _ATTEMPTS + 1):
        address = Address("127.0.0.1", free_port())
        process = _spawn(params, address)
        version = _wait_for_answer(process, address, wake)
        if version is not None:
            return _Server(process, address, version)
        died = process.poll() is not None
        _end(process)
        if wake.asked:
            return None
        if died and attempt < _ATTEMPTS and "address already in use" in _last_lines(folder):
            continue  # somebody took the port between our look and the server's
        why = _("It ended ({how}).", how=_how(process.returncode or 0)) if died else _("It did not answer in time.")
        raise AppError(
            _("Ollama's server did not start"),
            _("{why} Its last lines:\n{lines}", why=why, lines=_last_lines(folder)),
            _("See the job's log; `paddock setup ollama` installs a fresh Ollama."),
        )
    raise AssertionError  # the last attempt returns or raises


def _spawn(params: ServeParams, address: Address) -> subprocess.Popen[bytes]:
    environ = server_environment(address, params.models_dir, params.home, os.environ)
    try:
        return subprocess.Popen([str(params.binary), "serve"], stdin=subprocess.DEVNULL, env=environ)
    except OSError as error:
        raise AppError(
            _("Ollama's program cannot be started"),
            str(error),
            _("Correct ollama_binary, or install a fresh one with `paddock setup ollama`."),
        ) from error


def _wait_for_answer(process: subprocess.Popen[bytes], address: Address, wake: _Wake) -> str | None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if wake.wait(process, _POLL_S):
            return None
        version = version_at(address)
        if version is not None and _listens(process.pid, address.port):
            return version
    return None


def free_port() -> int:
    """Return a port of loopback that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stay(server: _Server, params: ServeParams, wake: _Wake, reporter: Reporter, folder: JobFolder) -> None:
    idle_s = params.idle_minutes * 60
    tick_s = min(_TICK_S, idle_s / 4) if idle_s > 0 else 3600.0
    activity = Activity(server.process.pid, server.address, folder.log, params.lock)
    quiet_since = time.monotonic()
    while not wake.wait(server.process, tick_s):
        if idle_s <= 0:
            continue
        if activity.seen():
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= idle_s and _end_if_unused(server, params, activity):
            reporter.stage("idle", _("Ended after {minutes} idle minutes", minutes=f"{params.idle_minutes:g}"))
            return


def _end_if_unused(server: _Server, params: ServeParams, activity: Activity) -> bool:
    """End the server unless somebody is about to use it: they take the same lock while they look for a server."""
    lock = open_lock(params.lock)
    try:
        if not try_lock(lock) or activity.seen() or has_loaded_models(server.address):
            return False
        server.is_idle = True
        _end(server.process)
        return True
    finally:
        os.close(lock)


class Activity:
    """Tells whether somebody used the server since the last look, without asking it (each request is a log line).

    Signs: a view that chose this server (it touches the lock), a child process (a model in memory), an established
    connection (an upload, a creation), log lines of requests. Mere looks at the server, such as the app's status bar
    takes, are no use of it.
    """

    def __init__(self, pid: int, address: Address, log: Path, lock: Path) -> None:
        self._process = psutil.Process(pid)
        self._port = address.port
        self._log = log
        self._lock = lock
        self._log_bytes = _size(log)
        self._chosen = _changed_at(lock)

    def seen(self) -> bool:
        """Say whether there is a sign of use since the last call."""
        logged, chosen = self._requests_were_logged(), _changed_at(self._lock)
        was_chosen, self._chosen = chosen != self._chosen, chosen
        if logged or was_chosen:
            return True
        try:
            return bool(self._process.children()) or any(
                c.status == psutil.CONN_ESTABLISHED and c.laddr and c.laddr.port == self._port
                for c in self._process.net_connections("tcp")
            )
        except psutil.Error:
            return True  # cannot be known, or it is ending: the wait for its end will tell

    def _requests_were_logged(self) -> bool:
        start, self._log_bytes = self._log_bytes, _size(self._log)
        grown = self._log_bytes - start
        if not 0 < grown <= _READ_BYTES:
            return grown != 0
        with self._log.open("rb") as stream:
            stream.seek(start)
            lines = stream.read(grown).splitlines()
        return any(line.strip() and not any(look in line for look in _LOOKS) for line in lines)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _listens(pid: int, port: int) -> bool:
    """Say whether it is our server that listens there; True where the system does not tell."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return True
    return any(c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port for c in connections)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, then force it; its engines end with it, or the supervisor sweeps them."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _how(code: int) -> Message:
    if code < 0:
        try:
            return verbatim(signal.Signals(-code).name)
        except ValueError:
            return _("signal {number}", number=-code)
    return _("exit status {code}", code=code)


def _last_lines(folder: JobFolder) -> str:
    text = tail_bytes(folder.log, 64 << 10).decode(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(line[:400] for line in lines[-_LOG_LINES:])


if __name__ == "__main__":
    job = JobFolder(Path(sys.argv[1]))
    sys.exit(run_work(lambda reporter: main(reporter, job)))
