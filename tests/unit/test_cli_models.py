"""``paddock models`` against a little server that speaks Ollama's protocol."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.ollama import blob
from backend.ollama.client import Client, Creation
from backend.ollama.failure import UnreachableError
from backend.ollama.reply import LoadedModel, Progress
from backend.ollama.serve import free_port
from data.jobs import process
from data.paths import HOME_VARIABLE
from data.settings import Settings
from tests.support import Yard, program, wait_until
from tests.ui.folders import Stable
from tui.chatting import model_offers
from tui.commands.console import Console
from tui.commands.model_changes import _Course
from tui.commands.models import place, stays
from tui.commands.root import run

pytestmark = pytest.mark.slow

Say = Callable[..., str]


def serve(tmp_path: Path, mode: str) -> Iterator[str]:
    file = tmp_path / f"port-{mode}"
    process = subprocess.Popen(program("ollama_stub.py", file, mode), stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{wait_until(lambda: file.exists() and file.read_text(), what='the stub')}"
    process.kill()
    process.wait()


@pytest.fixture
def host(yard: Yard, tmp_path: Path) -> Iterator[str]:
    """A person's own server, found by OLLAMA_HOST, in a home without any other."""
    os.environ[HOME_VARIABLE] = str(yard.root)
    for url in serve(tmp_path, "ok"):
        os.environ["OLLAMA_HOST"] = url
        yield url


@pytest.fixture
def slow(yard: Yard, tmp_path: Path) -> Iterator[str]:
    yield from serve(tmp_path, "slow")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command that has to end with ``status``; return what it printed on stdout."""

    def answer(*words: str, status: int = 0) -> str:
        assert run(["models", *words]) == status, capsys.readouterr()
        return capsys.readouterr().out

    return answer


def make(host: str, name: str, size_bytes: int = 1000, **extra: object) -> None:
    """Put a model of that size on the server."""

    async def create() -> None:
        file = Path(os.environ[HOME_VARIABLE]).parent / f"{name.replace('/', '-')}.gguf"
        await asyncio.to_thread(file.write_bytes, name.encode().ljust(size_bytes, b"."))
        async with Client(host) as client:
            digest = await _upload(client, file)
            creation = Creation(files={"m.gguf": digest}, **extra)  # type: ignore[arg-type] - what a test asks for
            assert [step async for step in client.create(name, creation)]

    asyncio.run(create())


async def _upload(client: Client, file: Path) -> str:
    digest = await blob.digest(file)
    await client.upload(file, digest)
    return digest


def load(host: str, name: str) -> None:
    async def ask() -> None:
        async with Client(host) as client:
            assert [delta async for delta in client.chat(name, [{"role": "user", "content": "?"}])]

    asyncio.run(ask())


def names(say: Say) -> list[str]:
    return sorted(model["name"] for model in json.loads(say("list", "--json"))["models"])


def answer(text: str) -> Mapping[str, object]:
    return json.loads(text)


def test_show_prints_all_that_a_model_is(host: str, say: Say) -> None:
    make(host, "robin", template="{{ .Prompt }}", system="Be kind.", parameters={"top_k": 1}, license=["Free as air"])
    text = say("show", "robin")
    for words in ("robin:latest", host, "llama", "512 tokens", "completion", "top_k 1", "{{ .Prompt }}", "Be kind."):
        assert words in text
    assert "Licence\n  Free as air" in text
    shown = answer(say("show", "robin", "--json"))
    assert (shown["name"], shown["host"], shown["system"]) == ("robin:latest", host, "Be kind.")
    assert {"family", "parameters", "template", "license", "modelfile", "model_info", "capabilities"} <= shown.keys()
    assert shown["context_length"] == 512


def test_the_modelfile_alone_goes_untouched_into_a_pipe(host: str, say: Say) -> None:
    make(host, "robin")
    written = say("show", "robin", "--modelfile")
    assert re.fullmatch(r"FROM /blobs/sha256-[0-9a-f]{64}\n", written)
    assert answer(say("show", "robin", "--modelfile", "--json")) == {
        "name": "robin:latest",
        "host": host,
        "modelfile": written.rstrip("\n"),
    }


def test_what_a_model_says_of_itself_is_never_obeyed_by_the_terminal(host: str, say: Say) -> None:
    make(host, "evil", system="\x1b]0;owned\x07 \u202e", template="\x1b[2J{{ .Prompt }}", license=["\x9b31m"])
    text = say("show", "evil")
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "␛]0;owned␇" in text


def test_ps_says_how_much_is_on_the_gpu_and_how_long_it_stays(host: str, say: Say) -> None:
    assert "nothing is in memory" in say("ps")
    make(host, "half", 1000, parameters={"num_gpu": 43, "num_ctx": 512, "stays": True})
    make(host, "cpu", 3000)
    load(host, "half")
    load(host, "cpu")
    half = next(line for line in say("ps").splitlines() if "half:latest" in line)
    assert re.split(" {2,}", half)[1:] == ["half:latest", "1.00 kB", "43 % GPU, 57 % CPU", "512 tokens", "stays"]
    loaded = {str(model["name"]): model for model in json.loads(say("ps", "--json"))["models"]}
    assert (loaded["half:latest"]["bytes"], loaded["half:latest"]["vram_bytes"]) == (1000, 430)
    assert loaded["cpu:latest"]["vram_bytes"] == 0
    assert loaded["cpu:latest"]["host"] == host


@pytest.mark.parametrize(
    ("vram_bytes", "words"),
    [(0, "CPU"), (1, "1 % GPU, 99 % CPU"), (500, "50 % GPU, 50 % CPU"), (999, "99 % GPU, 1 % CPU"), (1000, "GPU")],
)
def test_a_piece_elsewhere_is_never_rounded_away(vram_bytes: int, words: str) -> None:
    assert str(place(LoadedModel("m", 1000, vram_bytes, None, None))) == words


def test_ps_and_stop_start_no_server(yard: Yard, say: Say) -> None:
    os.environ[HOME_VARIABLE] = str(yard.root)
    os.environ["OLLAMA_HOST"] = f"127.0.0.1:{free_port()}"
    assert "No Ollama server runs" in say("ps")
    assert answer(say("ps", "--json")) == {"models": [], "servers": []}
    assert answer(say("stop", "robin", "--json")) == {"name": "robin:latest", "unloaded_from": []}
    assert yard.library.list() == []


def test_stop_unloads_and_says_where(host: str, say: Say) -> None:
    make(host, "robin")
    assert "was not in memory" in say("stop", "robin")
    load(host, "robin")
    assert answer(say("stop", "robin", "--json")) == {"name": "robin:latest", "unloaded_from": [host]}
    assert answer(say("ps", "--json"))["models"] == []
    assert names(say) == ["robin:latest"]
    assert answer(say("stop", "nobody", "--json", status=1))["error"]["title"] == "There is no model nobody:latest"  # type: ignore[index]


def test_where_a_server_that_was_named_is_not_used_it_is_told(
    host: str, say: Say, yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = os.environ["OLLAMA_HOST"] = f"http://127.0.0.1:{free_port()}"
    stable = Stable(yard.paths.jobs)
    serve_job = stable.job("serve", "ollama", ago_s=9).start(host=process.host())
    serve_job.event("result", values={"host": host, "version": "0.32.7"})
    why = f"No Ollama answers at {silent}, which OLLAMA_HOST or the setting ollama_host names."
    assert run(["models", "list", "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == f"! {why} Paddock's own server is used.\n"
    assert [server["host"] for server in answer(said.out)["servers"]] == [host]  # type: ignore[attr-defined] - a list
    nobody = answer(say("stop", "nobody", "--json", status=1))["error"]
    assert nobody["detail"] == f"Asked: {host}\n{why}"  # type: ignore[index] - an object
    stable.close()


def test_the_private_server_never_stands_in_for_the_one_of_the_settings(
    host: str, yard: Yard, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(host, "robin")
    silent = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("PADDOCK_OLLAMA_HOST", silent)
    stable = Stable(yard.paths.jobs)
    serve_job = stable.job("serve", "ollama", ago_s=9).start(host=process.host())
    serve_job.event("result", values={"host": host, "version": "0.32.7"})
    for words in ("models list", "models ps", "models show robin", "models remove robin --yes"):
        assert run([*words.split(), "--json"]) == 1, words
        error = answer(capsys.readouterr().out)["error"]
        assert silent in f"{error['title']} {error['detail']}", words  # type: ignore[index] - an object
        assert "ollama_host" in error["hint"], words  # type: ignore[index] - as above
    with pytest.raises(UnreachableError):
        asyncio.run(model_offers(yard.paths, Settings(ollama_host=silent), os.environ))
    stable.close()


def test_pull_tells_its_bytes_and_what_came(host: str, say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "pull", "robin", "--json"]) == 0
    said = capsys.readouterr()
    pulled = answer(said.out)
    assert (pulled["name"], pulled["host"], pulled["bytes"]) == ("robin:latest", host, 120)
    assert said.err.splitlines() == [
        "  pulling manifest",
        "  50 B of 100 B",
        "  100 B of 100 B",
        "  120 B of 120 B",
        "  success",
    ]
    assert names(say) == ["robin:latest"]
    assert "robin:latest is on" in say("pull", "robin")


def test_a_pull_of_nothing_names_the_cause(host: str, say: Say) -> None:
    error = answer(say("pull", "nowhere", "--json", status=1))["error"]
    assert "no model of that name" in str(error)
    assert say("pull", "not a name", status=2) == ""


def test_a_pull_on_a_terminal_rewrites_one_line_with_speed_and_time_left() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    course = _Course(Console(out, io.StringIO(), environ={"TERM": "xterm"}), "robin:latest")
    for moment, done in ((0.0, 0), (0.5, 5_000_000), (10.0, 100_000_000)):
        course.tell(Progress("pulling abc", "sha256:abc", done, 300_000_000), moment)
    assert "\n" not in out.getvalue()
    assert out.getvalue().endswith("▸ robin:latest · 100 MB of 300 MB · 10.0 MB a second · 0:20 left")


def test_lines_without_a_terminal_come_every_ten_seconds() -> None:
    out = io.StringIO()
    course = _Course(Console(out, io.StringIO()), "robin:latest")
    for moment in range(100):
        course.tell(Progress("pulling abc", "sha256:abc", moment * 1_000_000, 300_000_000), float(moment))
    assert len(out.getvalue().splitlines()) == 10


def test_an_interrupted_pull_says_how_it_goes_on(yard: Yard, slow: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tui.cli", "models", "pull", "robin", "--host", slow],
        env=yard.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "50 B of 100 B" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "`paddock models pull robin:latest` goes on." in err
    assert "Traceback" not in err


def test_copy_gives_a_second_name_and_replaces_only_by_force(host: str, say: Say) -> None:
    make(host, "robin", 10)
    make(host, "wren", 2000)
    assert answer(say("copy", "robin", "me/r:2", "--json")) == {
        "model": "robin:latest",
        "name": "me/r:2",
        "host": host,
    }
    error = answer(say("copy", "robin", "wren", "--json", status=2))["error"]
    assert "2.00 kB" in str(error)
    assert "--force" in str(error)
    say("copy", "robin", "wren", "--force")
    sizes = {model["name"]: model["bytes"] for model in json.loads(say("list", "--json"))["models"]}
    assert sizes == {"me/r:2": 10, "robin:latest": 10, "wren:latest": 10}
    say("copy", "nobody", "other", status=1)


def test_remove_refuses_without_a_terminal_and_without_yes(
    host: str, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    make(host, "robin", 2000)
    assert run(["models", "remove", "robin"]) == 2
    said = capsys.readouterr()
    assert "robin:latest on" in said.out
    assert "2.00 kB are deleted" in said.out
    assert "--yes" in said.err
    assert names(say) == ["robin:latest"]


def test_remove_says_what_is_lost_and_unloads_it_first(host: str, say: Say) -> None:
    make(host, "robin", 2000)
    make(host, "wren", 10)
    say("copy", "robin", "again")
    load(host, "robin")
    removed = answer(say("remove", "robin", "wren", "--yes", "--json"))["removed"]
    assert removed == [
        {"name": "robin:latest", "host": host, "bytes": 0, "same_as": ["again:latest"]},
        {"name": "wren:latest", "host": host, "bytes": 10, "same_as": []},
    ]
    assert names(say) == ["again:latest"]
    assert answer(say("ps", "--json"))["models"] == []
    assert answer(say("remove", "again", "--yes", "--json"))["removed"][0]["bytes"] == 2000  # type: ignore[index]


def test_where_one_model_is_missing_none_is_removed(host: str, say: Say) -> None:
    make(host, "robin")
    say("remove", "robin", "nobody", "--yes", status=1)
    assert names(say) == ["robin:latest"]


@pytest.mark.parametrize(("word", "left"), [("n", ["robin:latest"]), ("y", [])])
def test_on_a_terminal_it_asks_once(yard: Yard, host: str, say: Say, word: str, left: list[str]) -> None:
    make(host, "robin", 2000)
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tui.cli", "models", "remove", "robin"],
        env={**yard.environ, "OLLAMA_HOST": host, "NO_COLOR": "1"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    seen = b""
    while b"Remove?" not in seen:
        seen += os.read(leader, 4096)
    os.write(leader, f"{word}\n".encode())
    assert process.wait(30) == (0 if word == "y" else 1)
    os.close(leader)
    assert b"2.00 kB are deleted" in seen
    assert names(say) == left


def test_a_time_far_away_is_no_span() -> None:
    soon = datetime.now(UTC) + timedelta(minutes=4, seconds=30)
    assert str(stays(LoadedModel("m", 1, 0, soon, None))) == "stays 4 min"
