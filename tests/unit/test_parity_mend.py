"""A mend against a little server: what it makes the model of, what it says when it fails, and what it remembers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.export.mends import recall, remember
from backend.export.proving import Behind, Prover, Said, behind, summary, write_proof
from backend.ollama.address import Address
from backend.ollama.client import Client
from backend.parity import mend as mending
from backend.parity.asked import Sent, context_of
from backend.parity.compare import part
from backend.parity.expected import Prompt
from backend.parity.mend import Outcome
from backend.parity.proof import Proof, judge
from backend.parity.template import snapshot
from backend.parity.training import Trained
from data.i18n import verbatim
from data.jobs.folder import JobFolder
from data.jobs.library import Library
from data.paths import Paths
from screens.proof.lines import about
from tests.support import program, wait_until
from tests.unit.test_export_proving import _shown as shown
from tests.unit.test_parity_proof import EXPECTED, ONE, RUNNER, SERVED, USER
from tui.proving import read_proof

WEIGHTS = b"GGUF"
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
BLOB = f"/blobs/sha256-{DIGEST}"
LLAMA3 = Trained("llama3", cutoff_len=512)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[Address]:
    """The stub of a server."""
    file = tmp_path / "port"
    with subprocess.Popen(program("ollama_stub.py", file, "ok"), stderr=subprocess.DEVNULL) as process:
        yield Address("127.0.0.1", int(wait_until(lambda: file.exists() and file.read_text(), what="the stub")))
        process.kill()


async def create(client: Client, name: str, folder: Path, *, weights: bytes = WEIGHTS, **values: object) -> None:
    """Make a model of these weights."""
    file, digest = folder / "m.gguf", f"sha256:{hashlib.sha256(weights).hexdigest()}"
    file.write_bytes(weights)
    await client.upload(file, digest)
    body = {"model": name, "stream": True, "files": {file.name: digest}, **values}
    async for _line in client.lines("/api/create", body, doing=verbatim("creating"), model=name, last="status"):
        pass


def proof_of(sent: str, model: str = "m", **served: Any) -> Proof:
    """The proof of a model that is sent this."""
    good = Prompt(RUNNER.encode(USER), RUNNER.whole(USER))
    expected, actual = dataclasses.replace(EXPECTED, prompts={"user": good}), Sent(RUNNER.encode(sent), f"<s>{sent}")
    assert (part(good, actual) is None) is (sent == USER)
    return judge(model, LLAMA3, expected, dataclasses.replace(SERVED, **served), RUNNER, [ONE], [actual])


async def mend(
    client: Client, found: Proof, after: Proof, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> tuple[Outcome, str]:
    """Mend a model whose new one proves to be as ``after``; also return the Modelfile that was proven."""
    proven: list[str] = []

    async def prove(client: Client, model: str, *_rest: object, **_words: object) -> Proof:
        proven.append((await client.show(model)).modelfile)
        return dataclasses.replace(after, model=model)

    monkeypatch.setattr(mending, "prove", prove)
    prover = Prover(client, None, snapshot(), paths)  # type: ignore[arg-type] - nobody asks it here
    return await prover.mend(found), proven[0]


async def test_weights_in_memory_under_another_models_name_tell_the_context_length(
    address: Address, tmp_path: Path
) -> None:
    async with Client(address) as client:
        for name, weights in (("m", WEIGHTS), ("other", WEIGHTS), ("stranger", b"gguf")):
            await create(client, name, tmp_path, weights=weights, parameters={"num_ctx": len(name)})

        async def load(name: str) -> int | None:
            async for _delta in client.chat(name, [{"role": "user", "content": "Hi"}]):
                pass
            return await context_of(client, "m", (BLOB,))

        assert await load("stranger") is None
        assert await load("other") == len("other")
        assert await load("m") == len("m")


async def test_a_mend_takes_the_renderer_away_which_a_model_made_on_top_would_inherit(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Client(address) as client:
        await create(client, "m", tmp_path, renderer="qwen3-coder", parser="qwen3-coder")
        found = proof_of("Hi", renderer="qwen3-coder", parser="qwen3-coder")
        outcome, proven = await mend(client, found, proof_of(USER), Paths.under(tmp_path), monkeypatch)
        assert (outcome.takes, outcome.attempt, outcome.proof.model) == (True, None, "m")
        assert proven == (await client.show("m")).modelfile == f"FROM {BLOB}"
        said = [str(change) for change in outcome.changes]
        assert said[-2:] == ["RENDERER is taken out", "PARSER is taken out"]


async def test_a_mend_that_fails_shows_the_model_that_is_there_and_says_what_it_would_have_come_to(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Client(address) as client:
        await create(client, "m", tmp_path)
        before = (await client.list())[0].digest
        found, after = proof_of("Hi", system="Arr."), proof_of(USER + "\n")
        paths = Paths.under(tmp_path)
        outcome, _proven = await mend(client, found, after, paths, monkeypatch)
        assert (await client.list())[0].digest == before
        assert recall(paths, before) is None
    assert outcome.proof.verdicts == found.verdicts
    assert not outcome.takes
    assert outcome.attempt is not None
    folder = JobFolder(tmp_path)
    changes = [change.as_json() for change in outcome.changes]
    write_proof(folder, outcome.proof, mended=False, changes=changes, attempt=summary(outcome.attempt))
    words = shown(about(read_proof(folder.proof), "changes", 80))
    assert words.startswith("The model is as it was: this would not have made it right: TEMPLATE is written anew;")
    assert "0 of 1 conversations would then be sent as they were trained. The server writes 1 line ends more" in words


async def test_what_a_mend_was_for_is_known_of_the_model_and_of_its_copies(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths.under(tmp_path)
    library = Library(paths.jobs)
    async with Client(address) as client:
        await create(client, "m", tmp_path)
        assert await behind(client, library, paths, "m", str(address)) == Behind(None, None)
        await mend(client, proof_of("Hi"), proof_of(USER), paths, monkeypatch)
        await client.copy("m", "copy")
        for name in ("m", "copy"):
            known = await behind(client, library, paths, name, str(address))
            assert known.trained == LLAMA3
            assert Said().over(known.trained, lambda: None, name) == LLAMA3


async def test_a_mend_that_is_not_tried_says_why(address: Address, tmp_path: Path) -> None:
    found = proof_of("Hi")
    found = dataclasses.replace(found, expected=dataclasses.replace(found.expected, added=("<|eot_id|>",)))
    assert found.expected.unknown
    async with Client(address) as client:
        outcome = await Prover(client, None, snapshot(), Paths.under(tmp_path)).mend(found)  # type: ignore[arg-type] - as above
    assert (outcome.takes, outcome.changes, outcome.attempt) == (False, (), None)
    assert "the model lacks tokens of this template. Name the one that it was trained with" in str(outcome.declined)


@pytest.mark.parametrize(
    ("trained", "words"),
    [
        (LLAMA3, "SYSTEM is that of the training"),
        (dataclasses.replace(LLAMA3, departs=("default_system",)), "SYSTEM is what was asked for"),
        (dataclasses.replace(LLAMA3, source="guess"), "SYSTEM is that of the template"),
        (dataclasses.replace(LLAMA3, source="guess", default_system="S"), "SYSTEM is what was asked for"),
    ],
)
async def test_a_mend_says_whose_the_system_prompt_is(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Trained, words: str
) -> None:
    found = proof_of("Hi")
    expected = dataclasses.replace(found.expected, default_system="S")
    found = dataclasses.replace(found, trained=trained, expected=expected)
    async with Client(address) as client:
        await create(client, "m", tmp_path)
        outcome, _proven = await mend(client, found, proof_of(USER), Paths.under(tmp_path), monkeypatch)
    assert words in map(str, outcome.changes)


async def test_a_mend_for_a_guess_is_not_remembered_as_if_somebody_had_known(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths.under(tmp_path)
    async with Client(address) as client:
        await create(client, "m", tmp_path)
        found = dataclasses.replace(proof_of("Hi"), trained=dataclasses.replace(LLAMA3, source="guess"))
        outcome, _proven = await mend(client, found, proof_of(USER), paths, monkeypatch)
        assert outcome.takes
        known = await behind(client, Library(paths.jobs), paths, "m", str(address))
        assert known == Behind(None, None)


def test_a_record_of_a_mend_keeps_by_whose_word_it_was_and_nothing_else_is_read(tmp_path: Path) -> None:
    paths, digest = Paths.under(tmp_path), "a" * 64
    asked = Trained("qwen", default_system="S", enable_thinking=None, cutoff_len=9)
    remember(paths, digest, asked)
    assert recall(paths, digest) == asked
    remember(paths, "../../evil", asked)
    assert [file.name for file in tmp_path.rglob("*.json")] == [f"{digest}.json"]
    assert recall(paths, "b" * 64) is None
    for text in (
        "",
        "[]",
        "{}",
        json.dumps({"template": 1}),
        *(json.dumps({"template": "qwen", "source": source}) for source in ("rumour", "guess")),
    ):
        (paths.mends / f"{digest}.json").write_text(text, encoding="utf-8")
        assert recall(paths, digest) is None
