"""``paddock verify`` before anything is asked: what NAME means, and which Modelfile goes with it."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from gguf import GGUFWriter

from data.errors import RequestError
from data.paths import HOME_VARIABLE
from data.settings import Settings
from tests import tiny_gguf
from tests.support import Yard
from tests.ui.folders import Stable
from tests.unit.test_export_proving import prove
from tui.commands.console import Console
from tui.commands.root import run
from tui.commands.verify import Wish, _declined, coming_of
from tui.services import Services

WISH = Wish(
    "good", None, None, None, None, None, mend=False, offline=True, ollama_version=None, modelfile=None, host=None
)


@pytest.fixture
def place(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a GGUF that has been deployed as ``good``, and no LLaMA-Factory anywhere."""
    monkeypatch.setenv(HOME_VARIABLE, str(yard.root))
    workspace = tmp_path / "work"
    workspace.mkdir()
    marks = tiny_gguf.Vocabulary.of_marks("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    gguf = tiny_gguf.write(workspace / "x.gguf", marks, add_bos=False)
    stable = Stable(yard.paths.jobs, workspace=str(workspace))
    params = {"gguf": str(gguf), "name": "good", "training": {"template": "chatml", "cutoff_len": 512}}
    stable.job("deploy", "good", ago_s=60, params=params).start().event("result", values={"model": "good"}).end()
    stable.close()
    monkeypatch.chdir(workspace)
    return workspace


def test_offline_a_deployed_name_stands_for_its_gguf_and_the_modelfile_that_paddock_wrote(
    place: Path, yard: Yard
) -> None:
    services = Services(yard.paths, Settings(), place, {})
    found = coming_of(services, WISH)
    assert found.gguf == place / "x.gguf"
    assert "<|im_start|>" in found.modelfile.template
    assert (found.modelfile.parameters["num_ctx"], "<|im_end|>" in str(found.modelfile.parameters["stop"])) == (
        512,
        True,
    )
    assert found.warnings == ()
    own = place / "Modelfile"
    own.write_text('TEMPLATE "{{ .Prompt }}"\n', encoding="utf-8")
    assert coming_of(services, replace(WISH, modelfile="Modelfile")).modelfile.template == "{{ .Prompt }}"
    assert not coming_of(services, replace(WISH, name="x.gguf")).modelfile.template


def test_a_file_that_is_cut_off_is_said_to_be(place: Path, yard: Yard) -> None:
    whole = (place / "x.gguf").read_bytes()
    (place / "cut.gguf").write_bytes(whole[:-64])
    found = coming_of(Services(yard.paths, Settings(), place, {}), replace(WISH, name="cut.gguf"))
    assert "cut off" in found.warnings[0].english()
    assert "paddock deploy" in found.warnings[-1].english()


def test_nothing_is_mended_for_a_guess_that_nobody_agrees_to(monkeypatch: pytest.MonkeyPatch) -> None:
    known = prove("Hi")
    guessed = replace(known, trained=replace(known.trained, source="guess"))
    wish = replace(WISH, mend=True, offline=False)
    console = Console(io.StringIO(), io.StringIO())
    refused = str(_declined(console, wish, guessed))
    assert "llama3 is a guess. Name the one that it was trained with: --template T. Or agree" in refused
    assert not _declined(console, wish, known)
    assert not _declined(console, replace(wish, yes=True), guessed)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    for answer in (True, False):
        monkeypatch.setattr(click, "confirm", lambda _question, default, answer=answer: answer and not default)
        assert bool(_declined(console, wish, guessed)) is not answer


def test_a_mistake_in_the_template_of_a_modelfile_is_told_with_its_place_there(place: Path, yard: Yard) -> None:
    (place / "Bad").write_text('FROM x\nTEMPLATE """{{ if }}"""\n', encoding="utf-8")
    with pytest.raises(RequestError) as caught:
        coming_of(Services(yard.paths, Settings(), place, {}), replace(WISH, name="x.gguf", modelfile="Bad"))
    assert str(caught.value.detail).startswith(f"{place / 'Bad'}:2:19: ")


@pytest.mark.parametrize(
    ("words", "title", "hint"),
    [
        (("{place}/x.gguf",), "is a file, and not a model of a server", "paddock verify --offline {place}/x.gguf"),
        (("x.gguf",), "is a file, and not a model of a server", "paddock deploy x.gguf NAME"),
        (("/no/such/file.gguf",), "is not a name that Ollama accepts", ""),
        (("good", "--modelfile", "M"), "--modelfile goes with --offline only", ""),
        (("good", "--offline", "--modelfile", "/missing"), "The Modelfile cannot be read", "UTF-8"),
        (("nothing", "--offline"), "Paddock deployed no such model", ""),
        (("good", "--offline", "--ollama-version", "new"), "no version of Ollama", ""),
    ],
)
def test_a_wrong_request_ends_with_2_before_anything_is_asked(
    place: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], title: str, hint: str
) -> None:
    assert run(["verify", *(word.format(place=place) for word in words), "--json"]) == 2
    error: dict[str, Any] = json.loads(capsys.readouterr().out)["error"]
    assert title in error["title"]
    assert hint.format(place=place) in error["hint"]


def test_an_adapter_is_no_model_to_foretell(place: Path, yard: Yard) -> None:
    writer = GGUFWriter(place / "lora.gguf", "llama")
    writer.add_type("adapter")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(RequestError, match="is an adapter, and no model"):
        coming_of(Services(yard.paths, Settings(), place, {}), replace(WISH, name="lora.gguf"))
