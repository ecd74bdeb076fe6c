"""The proof in the app: what differs side by side, the key that mends, and a model of Ollama that is to be proven."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from backend.ollama.modelfile import parse
from data.errors import AppError
from data.i18n import _
from data.jobs.spec import JobSpec
from screens.failure import FailureDialog
from screens.proof.screen import ProofScreen
from screens.run.screen import RunScreen
from tests import tiny_gguf
from tests.ui import folders
from tests.ui.conftest import Build
from tests.ui.driving import screen_text, shows, until
from tui.app import PaddockApp
from tui.proving import may_mend, mending, read_proof

WIDE, NARROW = (140, 40), (80, 24)


async def _ask_for_proof(pilot: Pilot[None]) -> None:
    """Go from Home to the refused deployment, and press its key for the proof."""
    await until(pilot, shows(pilot, "qwen2.5-0.5b-sft"))
    await pilot.press("enter")
    await until(pilot, shows(pilot, "p Proof"))
    await pilot.press("p")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_a_refused_deployment_shows_both_prompts_where_they_part(
    build: Build, make: folders.Stable, size: tuple[int, int]
) -> None:
    folders.refused_deployment(make)
    app = PaddockApp(build())
    async with app.run_test(size=size) as pilot:
        await until(pilot, shows(pilot, "qwen2.5-0.5b-sft"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "what it was trained on", "p Proof", "m Mend"))
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, ProofScreen))
        await until(
            pilot, shows(pilot, "10 of 10 conversations differ", "trained", "sent by Ollama", "▸system⏎", "▸user⏎")
        )
        await until(pilot, shows(pilot, "The default system prompt of the training is missing"))
        await pilot.press("space")
        await until(pilot, shows(pilot, "▸   8948 system", "▸    872 user"))
        await pilot.press("G")
        await until(pilot, shows(pilot, "num_ctx  1024", "cutoff_len  2048"))
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_a_page_is_offered_only_where_there_is_more_to_read(build: Build, make: folders.Stable) -> None:
    folders.refused_deployment(make)
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await _ask_for_proof(pilot)
        await until(pilot, shows(pilot, "The default system prompt of the training is missing", "space Read on"))
        await pilot.press("G")
        await until(pilot, shows(pilot, "cutoff_len  2048", "m Mend"))
        await until(pilot, lambda: "space Read on" not in screen_text(app))
        await pilot.press("g")
        await until(pilot, shows(pilot, "space Read on"))


def test_a_deployment_is_mended_without_what_a_person_said_of_its_prompts(
    build: Build, make: folders.Stable, tmp_path: Path
) -> None:
    gguf = tiny_gguf.write(tmp_path / "sft.gguf", tiny_gguf.Vocabulary.of_bytes(), add_bos=False)
    training = {"template": "qwen", "cutoff_len": 2048}
    own: dict[str, Any] = {
        "edited": "",
        "system": "mine",
        "parameters": {"temperature": 0.5, "stop": ["zzz"]},
        "quantize": "q8_0",
    }
    folders.refused_deployment(make, gguf=str(gguf), training=training, **own)
    services = build()
    (job,) = services.jobs()
    assert may_mend(job)
    spec = services.mending(job)
    assert (spec.kind, spec.params["training"], spec.params["quantize"]) == ("deploy", training, "q8_0")
    assert not {"system", "parameters"} & spec.params.keys()
    said = parse(str(spec.params["edited"]))
    assert "<|im_start|>user" in said.template
    assert said.system != "mine"
    assert (said.parameters["temperature"], said.parameters["num_ctx"]) == (0.5, 2048)
    assert "zzz" not in str(said.parameters["stop"])


def test_a_deployment_without_room_for_any_conversation_is_mended_by_more(
    build: Build, make: folders.Stable, tmp_path: Path
) -> None:
    gguf = tiny_gguf.write(tmp_path / "sft.gguf", tiny_gguf.Vocabulary.of_bytes(), add_bos=False)
    own: dict[str, Any] = {"edited": "", "parameters": {"num_ctx": 24}}
    job = folders.refused_deployment(make, gguf=str(gguf), training={"template": "chatml"}, **own)
    proof = json.loads(job.folder.proof.read_bytes())
    skipped = [{"name": "user", "tokens": 300, "room": 24}]
    none = {"cases": [], "skipped": skipped, "needed": 512, "mendable": True}
    job.folder.proof.write_text(json.dumps({**proof, **none}))
    services = build()
    (found,) = services.jobs()
    assert parse(str(services.mending(found).params["edited"])).parameters["num_ctx"] == 4096


def test_a_model_that_has_its_name_is_mended_in_place(build: Build, make: folders.Stable) -> None:
    job = make.job("prove", "mine", ago_s=60, params={"model": "mine", "host": "http://127.0.0.1:1"}).start()
    job.folder.proof.write_bytes(folders.WRONG_PROOF.read_bytes())
    job.event("result", values={"proof": {"ok": False, "holds": False, "same": 0, "cases": 10}}).end("failed")
    services = build()
    (found,) = services.jobs()
    spec = services.mending(found)
    assert (spec.kind, spec.params["model"], spec.params["mend"]) == ("prove", "mine", True)


def test_what_no_modelfile_mends_is_said(build: Build, make: folders.Stable) -> None:
    job = folders.refused_deployment(make)
    proof = json.loads(job.folder.proof.read_bytes())
    job.folder.proof.write_text(json.dumps({**proof, "mendable": False}))
    services = build()
    (found,) = services.jobs()
    with pytest.raises(AppError, match="cannot mend"):
        mending(found, read_proof(job.folder.proof), services.paths)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"ok": true, "cases": [3]}', "{" * 100])
async def test_a_proof_that_is_none_is_refused_in_words(build: Build, make: folders.Stable, content: str) -> None:
    folders.refused_deployment(make).folder.proof.write_text(content)
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        await _ask_for_proof(pilot)
        await until(pilot, lambda: isinstance(app.screen, FailureDialog))
        await until(pilot, shows(pilot, "The proof cannot be read"))


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (3, ("3 of 3 conversations are sent as they were trained", "3 of 10 compared")),
        (0, ("✗ 0 of 0 conversations", "0 of 10 compared", "Not proven")),
    ],
)
async def test_run_says_how_many_conversations_were_compared(
    build: Build, make: folders.Stable, count: int, words: tuple[str, ...]
) -> None:
    job = make.job("prove", "mine", ago_s=60, params={"model": "mine"}).start()
    why = _("Not proven: none of {count} conversations was compared.", count=10).as_json() if not count else None
    proof = {"ok": count > 0, "holds": count > 0, "same": count, "cases": count, "conversations": 10, "cause": why}
    job.event("result", values={"proof": proof, "model": "mine"}).end()
    app = PaddockApp(build())
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "mine"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, *words))


async def test_a_mend_for_a_guess_asks_first(
    build: Build, make: folders.Stable, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make.job("prove", "mine", ago_s=60, params={"model": "mine"}).start()
    proof = json.loads(folders.WRONG_PROOF.read_bytes())
    job.folder.proof.write_text(json.dumps({**proof, "template": "chatml", "template_source": "guess"}))
    summary = {"ok": False, "holds": False, "same": 0, "cases": 10, "guess": "chatml"}
    job.event("result", values={"proof": summary, "model": "mine"}).end("failed", exit_code=1)
    services, started = build(), list[JobSpec]()
    monkeypatch.setattr(services, "launch", lambda specs: started.extend(specs) or [])
    app = PaddockApp(services)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, shows(pilot, "mine", "m Mend"))
        for key, words in (("m", "Mend mine for the template chatml?"), ("t", "Template of the training")):
            await pilot.press(key)
            await until(pilot, shows(pilot, words))
        await pilot.press("escape")
        await pilot.press("m")
        await until(pilot, shows(pilot, "is a guess"))
        assert not started
        await pilot.press("g")
        await until(pilot, lambda: bool(started))
    assert (started[0].params["mend"], "template" in started[0].params) == (True, False)
    (found,) = services.jobs()
    assert services.mending(found, "qwen").params["template"] == "qwen"


async def test_where_a_job_is_selected_the_key_that_mends_is_named_and_mends(
    build: Build, make: folders.Stable
) -> None:
    job = make.job("prove", "mine", ago_s=60, params={"model": "mine"}).start()
    job.folder.proof.write_bytes(folders.WRONG_PROOF.read_bytes())
    summary = {"ok": False, "holds": False, "same": 0, "cases": 10}
    job.event("result", after_s=20, values={"proof": summary, "model": "mine"})
    job.event("progress", after_s=20, done=8, total=10, unit="conversations")
    hint = _("Let Paddock write the template anew and prove it again: --mend.")
    job.end("failed", exit_code=1, title=_("The proof has failed"), hint=hint)
    app = PaddockApp(build())
    async with app.run_test(size=NARROW) as pilot:
        for key in ("", "enter"):
            await pilot.press(*key.split())
            await until(pilot, shows(pilot, "→ m lets Paddock write the template anew", "m Mend"))
            assert "--mend" not in screen_text(app)
            assert "80%" not in screen_text(app)
