"""The proof on two real lines of Ollama: found, said in words, and mended."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.lf.find import find
from backend.ollama.blob import digest
from backend.ollama.client import Client, Creation
from backend.parity import asked, cases
from backend.parity.cases import Case
from backend.parity.expected import expect
from backend.parity.proof import judge
from backend.parity.training import Trained
from data.gguf import read_header
from data.i18n import verbatim
from data.paths import Paths
from data.settings import load_settings
from tests import ollamas, oracle, tiny_gguf
from tests.ollamas import Running
from tui.chatting import ModelOffer, gguf_of
from tui.commands.root import run

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module", params=ollamas.VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with ollamas.server(request.param, tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture(scope="module")
def llama3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base Llama with the real Llama-3 vocabulary, as a conversion of an export without a template leaves it."""
    vocabulary = tiny_gguf.Vocabulary.of_gguf(oracle.llama_cpp() / "models" / "ggml-vocab-llama-bpe.gguf")
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "llama3.gguf", vocabulary, add_bos=True)


LLAMA3_MARKS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the tokens of the template alone: a server answers much sooner."""
    vocabulary = tiny_gguf.Vocabulary.of_marks(*LLAMA3_MARKS)
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "small.gguf", vocabulary, add_bos=True)


def create(url: str, name: str, gguf: Path, **values: Any) -> None:
    """Make a model as ``ollama create`` does of FROM and ``values``."""

    async def make() -> None:
        async with Client(url) as client:
            blob = await digest(gguf)
            await client.upload(gguf, blob)
            async for _step in client.create(name, Creation(files={gguf.name: blob}, **values)):
                pass

    asyncio.run(make())


def verify(capsys: pytest.CaptureFixture[str], url: str, *words: str, status: int) -> dict[str, Any]:
    """Run ``paddock verify`` and return its object."""
    capsys.readouterr()
    ended = run(["verify", *words, "--host", url, "--json"])
    said = capsys.readouterr()
    assert ended == status, said.out + said.err
    answer: dict[str, Any] = json.loads(said.out)
    return answer


def causes(found: dict[str, Any]) -> dict[str, str | None]:
    return {case["name"]: case["cause_id"] for case in found["cases"]}


def counted(found: dict[str, Any]) -> set[str]:
    """Return the conversations whose tokens the server has counted, as many as were foretold in each."""
    made = {case["name"]: case for case in found["cases"] if case["counted"] is not None}
    assert all(case["counted"] == len(case["actual_ids"]) for case in made.values())
    return set(made)


def test_the_road_of_issue_6320_is_told_in_words_and_mended(
    server: Running, llama3: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(server.url, "broken", llama3)
    is_old = server.version == ollamas.OLD
    assert run(["verify", "broken", "--template", "llama3", "--host", server.url]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert ("bare text without any roles" if is_old else "the ChatML of llama.cpp") in text
    assert "128006 '<|start_header_id|>'" in text  # side by side, as tokens
    assert "--mend" in text

    mended = verify(capsys, server.url, "broken", "--template", "llama3", "--cutoff-len", "8000", "--mend", status=0)
    assert mended["mended"]
    assert all(case["ok"] for case in mended["cases"])
    assert {"user", "system-turns", "unicode"} <= counted(mended) <= cases.COUNTED
    assert mended["num_ctx"] == {"actual": 8000, "cutoff_len": 8000, "ok": True}
    assert mended["bos"]["actual"] == 1
    assert [name for name in models(server.url) if name.startswith("broken")] == ["broken:latest"]


def test_without_a_record_the_template_is_a_guess_that_is_said_to_be_one(
    server: Running, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(server.url, "foreign", small)
    found = verify(capsys, server.url, "foreign", status=1)
    assert (found["template"], found["template_source"]) == ("llama3", "guess")
    assert causes(found)["user"] == ("raw-prompt" if server.version == ollamas.OLD else "builtin-chatml")
    assert found["mendable"]
    assert counted(found)


def test_a_guess_takes_the_models_own_system_prompt_for_the_trainings(
    server: Running, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(server.url, "bob", small, template=ROLES, system="You are Bob.", parameters={"stop": ["<|eot_id|>"]})
    found = verify(capsys, server.url, "bob", status=1)
    assert (found["template_source"], found["default_system"]) == ("guess", "You are Bob.")
    assert causes(found)["user"] is None


def test_a_mend_says_what_it_changes_and_takes_what_stands_in_the_way(
    server: Running, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a mend that was killed has left behind goes with it, too."""
    for name in ("crooked", "crooked:paddock-new-mend"):
        create(
            server.url, name, small, template="{{ .Prompt }}", system="Arr.",
            parameters={"num_ctx": 64, "stop": ["ARR"]},
            messages=[{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}],
        )  # fmt: skip
    mended = verify(capsys, server.url, "crooked", "--template", "llama3", "--mend", status=0)
    assert mended["mended"]
    assert not mended["skipped"]
    assert mended["changes"] == [
        "TEMPLATE is written anew",
        "SYSTEM is taken out",
        "it stops at <|eot_id|>, <|eom_id|>, and no longer at ARR",
        f"num_ctx is {mended['num_ctx']['actual']}",
        "MESSAGE is taken out",
    ]
    assert [name for name in models(server.url) if name.startswith("crooked")] == ["crooked:latest"]


def test_a_renderer_is_named_and_taken_away_and_the_mend_is_remembered(
    server: Running, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(server.url, "plain", small)

    async def render() -> None:
        body = {"model": "rendered", "from": "plain", "renderer": "qwen3-coder", "parser": "qwen3-coder"}
        async with Client(server.url) as client:
            async for _line in client.lines("/api/create", body, doing=verbatim("creating"), last="status"):
                pass

    asyncio.run(render())
    found = verify(capsys, server.url, "rendered", "--template", "llama3", status=1)
    assert causes(found)["user"] == "renderer"
    mended = verify(capsys, server.url, "rendered", "--template", "llama3", "--system", "Arr.", "--mend", status=0)
    assert mended["changes"][-2:] == ["RENDERER is taken out", "PARSER is taken out"]
    known = verify(capsys, server.url, "rendered", status=0)
    assert (known["template_source"], known["default_system"]) == ("asked", "Arr.")


def test_the_gguf_of_a_model_is_found_to_be_looked_into(server: Running, small: Path) -> None:
    create(server.url, "looked", small, template=ROLES)
    file = asyncio.run(gguf_of(ModelOffer("looked:latest", server.url, private=False, size_bytes=0)))
    assert read_header(file).array("tokenizer.ggml.tokens") is not None


def models(url: str) -> list[str]:
    async def names() -> list[str]:
        async with Client(url) as client:
            return [model.name for model in await client.list()]

    return asyncio.run(names())


ROLES = (
    "{{ if .System }}<|start_header_id|>system<|end_header_id|>\n\n{{ .System }}<|eot_id|>{{ end }}"
    '{{ range .Messages }}{{ if eq .Role "user" }}<|start_header_id|>user<|end_header_id|>\n\n{{ .Content }}<|eot_id|>'
    '<|start_header_id|>assistant<|end_header_id|>\n\n{{ else if eq .Role "assistant" }}{{ .Content }}<|eot_id|>'
    "{{ end }}{{ end }}"
)


WRONG: list[tuple[dict[str, Any], str, str | None]] = [
    ({"template": ROLES}, "system-turns", None),
    ({"template": "<|begin_of_text|>" + ROLES}, "user", "two-bos"),
    ({"template": ROLES.replace("\n\n{{ else", "\n\n\n{{ else")}, "user", "line-too-many"),
    ({"template": ROLES.replace("\n\n{{ else", "\n{{ else")}, "user", "line-too-few"),
    ({"template": ROLES, "system": "Be brief."}, "user", "other-system"),
    ({"template": ROLES.replace("{{ .System }}", "")}, "system", "no-system"),
    ({"template": ROLES.replace("\n\n{{ else", "\n\n<think>\n{{ else")}, "user", "thinking"),
    ({"template": "Today Date: 1 Jan 2026\n\n" + ROLES}, "user", "date"),
    ({"template": ROLES}, "tools", "no-tools"),
    ({"template": "{{ .Tools }}" + ROLES}, "tools", "tools"),
    ({"template": ROLES.replace("user<|end", "human<|end")}, "user", "template"),
]


def test_each_way_to_go_wrong_has_its_name(server: Running, small: Path) -> None:
    paths = Paths.default()
    lf = find(load_settings(paths.settings).values, paths)
    assert lf is not None
    trained, known = Trained("llama3"), cases.built_in()

    async def cause(case: Case) -> str | None:
        async with Client(server.url) as client:
            runner, served = await asked.runner_of(client, "wrong")
            expected = expect(lf, paths, trained, known, runner)  # asked once, then kept
            sent = await asked.send(client, "wrong", case, runner)
            found = judge("wrong", trained, expected, served, runner, [case], [sent]).verdicts[0]
            return found.cause.id if found.cause else None

    for values, name, wanted in WRONG:
        create(server.url, "wrong", small, **values)
        case = next(case for case in known if case.name == name)
        assert asyncio.run(cause(case)) == wanted, values
    kept = [json.loads(file.read_bytes()).get("day") for file in (paths.cache / "parity").glob("prompts-*.json")]
    assert dt.datetime.now().astimezone().strftime("%d %b %Y") in kept  # Llama 3 describes tools with the date


LOSSY = {
    "name": "look",
    "description": "Look.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {
            "zone": {"type": "string", "description": "Z"},
            "at": {"type": "number", "description": "A", "default": 5.0, "enum": [5.0, 7.5]},
        },
    },
}


def test_a_system_prompt_before_the_turn_and_what_no_template_can_mend(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = tiny_gguf.Vocabulary.of_gguf(oracle.llama_cpp() / "models" / "ggml-vocab-llama-spm.gguf")
    llama2 = tiny_gguf.write(tmp_path / "llama2.gguf", pieces, add_bos=True)
    # As LLaMA-Factory 0.9.5 writes its Modelfile (Template._get_ollama_template).
    own = (
        '<s>{{ if .System }}<<SYS>>\n{{ .System }}\n<</SYS>>\n\n{{ end }}{{ range .Messages }}{{ if eq .Role "user" }}'
        '[INST] {{ .Content }} [/INST]{{ else if eq .Role "assistant" }}{{ .Content }}</s>{{ end }}{{ end }}'
    )
    create(server.url, "llama2", llama2, template=own)
    assert causes(verify(capsys, server.url, "llama2", "--template", "llama2", status=1))["user"] == "two-bos"
    create(server.url, "llama2", llama2, template=own.removeprefix("<s>"))
    found = causes(verify(capsys, server.url, "llama2", "--template", "llama2", status=1))
    assert found["user"] is None
    assert found["system"] == "system-place"
    mended = verify(capsys, server.url, "llama2", "--template", "llama2", "--mend", status=1)
    assert {name: cause for name, cause in causes(mended).items() if cause} == {"blanks": "reply-blank"}
    assert mended["mended"]
    assert not mended["mendable"]


def test_a_missing_default_and_what_ollama_loses_of_tools(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = tiny_gguf.Vocabulary.of_marks("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    qwen2 = tiny_gguf.write(tmp_path / "qwen2.gguf", marks, add_bos=False)
    chatml = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
    create(server.url, "qwen", qwen2, template=chatml)
    found = causes(verify(capsys, server.url, "qwen", "--template", "qwen", status=1))
    assert found["user"] == "no-default-system"
    assert found["system-turns"] is None
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"messages": [{"role": "user", "content": "Q"}], "tools": [LOSSY]}), encoding="utf-8")
    words = ("qwen", "--template", "qwen", "--cases", str(rows), "--mend")
    mended = verify(capsys, server.url, *words, status=1)
    assert {name: cause for name, cause in causes(mended).items() if cause} == {"row-1": "tools-lost"}
    assert mended["mended"]
    assert not mended["mendable"]
    why = next(case["cause"] for case in mended["cases"] if case["name"] == "row-1")
    assert "default, strict" in why or "strict, default" in why
    assert "sorts by name" in why
    assert "5.0" in why


def test_a_template_that_an_upgrade_overrides_is_told_and_put_in_force_again(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ollama from 0.30 on prefers a Jinja that shows more abilities; up to 0.24 it never looks at it."""
    vocabulary = tiny_gguf.Vocabulary.of_marks(*LLAMA3_MARKS)
    jinja = (oracle.llama_cpp() / "models" / "templates" / "meta-llama-Llama-3.1-8B-Instruct.jinja").read_text(
        encoding="utf-8"
    )
    gguf = tiny_gguf.write(tmp_path / "jinja.gguf", vocabulary, add_bos=True, chat_template=jinja)
    create(server.url, "upgraded", gguf, template=ROLES)
    found = verify(capsys, server.url, "upgraded", "--template", "llama3", status=1)
    assert causes(found)["user"] == (None if server.version == ollamas.OLD else "overridden")
    assert verify(capsys, server.url, "upgraded", "--template", "llama3", "--mend", status=0)["mended"]
    create(server.url, "bare", gguf)
    found = verify(capsys, server.url, "bare", "--template", "llama3", status=1)
    # Both lines know this Jinja and write a TEMPLATE of their own for it; the new one then uses the Jinja all the same.
    assert causes(found)["user"] == (None if server.version == ollamas.OLD else "date")
    assert verify(capsys, server.url, "bare", "--template", "llama3", "--mend", status=0)["mended"]


@pytest.mark.parametrize("words", [("qwen3", "--thinking", "off"), ("qwen",)], ids=" ".join)
def test_a_training_without_thoughts_is_put_in_force_over_a_jinja_that_thinks(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    vocabulary = tiny_gguf.Vocabulary.of_marks("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    jinja = (oracle.llama_cpp() / "models" / "templates" / "Qwen-Qwen3-0.6B.jinja").read_text(encoding="utf-8")
    gguf = tiny_gguf.write(tmp_path / "q3.gguf", vocabulary, add_bos=False, chat_template=jinja)
    for way in ("as Jinja", "as a TEMPLATE that thinks"):
        create(server.url, "thinks", gguf)
        if way != "as Jinja":
            assert verify(capsys, server.url, "thinks", "--template", "qwen3", "--mend", status=0)["mended"]
        verify(capsys, server.url, "thinks", "--template", *words, status=1)
        assert verify(capsys, server.url, "thinks", "--template", *words, "--mend", status=0)["mended"], way


def test_weights_in_memory_for_another_model_do_not_spoil_a_proof(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From 0.30 on a runner that was started for a model with a TEMPLATE writes ChatML for one without."""
    jinja = (
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}"
        "<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    vocabulary = tiny_gguf.Vocabulary.of_marks(*LLAMA3_MARKS)
    gguf = tiny_gguf.write(tmp_path / "own.gguf", vocabulary, add_bos=True, chat_template=jinja)
    create(server.url, "own", gguf)
    create(server.url, "other", gguf, template=ROLES)
    before = verify(capsys, server.url, "own", "--template", "llama3", status=1)
    assert before["notes"] == []

    async def load_the_other() -> None:
        async with Client(server.url) as client:
            await client.unload("own")
            async for _delta in client.chat("other", [{"role": "user", "content": "Hi"}], options={"num_predict": 1}):
                pass

    asyncio.run(load_the_other())
    after = verify(capsys, server.url, "own", "--template", "llama3", status=1)
    assert causes(after) == causes(before)
    assert len(after["notes"]) == (0 if server.version == ollamas.OLD else 1)
