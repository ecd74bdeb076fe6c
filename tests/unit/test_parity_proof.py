"""Comparing prompts, and saying why they differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ollama.reply import read_shown
from backend.parity.asked import RAW, Sent, Served, read_served
from backend.parity.cases import Case, Turn, built_in
from backend.parity.compare import part
from backend.parity.expected import Expected, Prompt
from backend.parity.expression import Tokens
from backend.parity.go_template import go_template
from backend.parity.guess import Own, guess
from backend.parity.jinja_template import jinja_template
from backend.parity.proof import judge
from backend.parity.template import Template, snapshot
from backend.parity.tokenizer import Runner
from backend.parity.toolloss import loss_of
from backend.parity.training import Trained, tokens_of
from backend.parity.vocabulary import Vocabulary
from data.errors import AppError
from tests.tiny_gguf import byte_tokens

MARKS = ["<s>", "</s>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<think>", "</think>"]


def vocabulary(*, add_bos: bool | None = True, pre: str = "gpt-2", marks: list[str] = MARKS) -> Vocabulary:
    """A byte-level BPE without merges, and special tokens behind it."""
    tokens = [*byte_tokens(), *marks]
    return Vocabulary(
        model="gpt2",
        pre=pre,
        architecture="llama",
        name="",
        tokens=tuple(tokens),
        types=tuple([1] * 256 + [3] * len(marks)),
        merges=(),
        scores=(),
        numbers={"bos_token_id": 256, "eos_token_id": 257},
        switches={} if add_bos is None else {"add_bos_token": add_bos},
    )


RUNNER = Runner(vocabulary(), "0.32.7")
SERVED = Served("0.32.7", "{{ range .Messages }}…", "{{ range .Messages }}…", "", (), {}, 4096, ())
EXPECTED = Expected("0.9.5", {}, "", None, ("</s>", "<|eot_id|>"), ())
USER = "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"


def verdict_of(
    trained: str, sent: str, case: Case, served: Served = SERVED, expected: Expected = EXPECTED
) -> str | None:
    """Return the id of the cause that is found for two texts; None where nothing differs."""
    prompt = Prompt(RUNNER.plain(trained), trained)
    actual = Sent(RUNNER.encode(sent), RUNNER.whole(sent))
    proof = judge(
        "m", Trained("llama3"), replace(expected, prompts={case.name: prompt}), served, RUNNER, [case], [actual]
    )
    cause = proof.verdicts[0].cause
    assert proof.ok == (cause is None)
    return cause.id if cause else None


ONE = Case("user", (Turn("user", "Hi"),))
SYSTEM = Case("system", (Turn("user", "Hi"),), "Be kind.")


@pytest.mark.parametrize(
    ("trained", "sent", "case", "cause"),
    [
        ("<s>" + USER, USER, ONE, None),
        ("<s>" + USER, "<s>" + USER, ONE, "two-bos"),
        (USER, USER, ONE, "extra-bos"),
        ("<s>" + USER, USER + "\n", ONE, "line-too-many"),
        ("<s>" + USER, USER.removesuffix("\n"), ONE, "line-too-few"),
        ("<s>" + USER, USER.replace("Hi<", "Hi <"), ONE, "blanks"),
        ("<s>" + USER, USER + "<think>\n", ONE, "thinking"),
        ("<s>" + USER + "<think>\n\n</think>\n\n", USER, ONE, "no-thought"),
        ("<s>" + USER, "Today Date: 3 Mar 2026\n" + USER, ONE, "date"),
        ("<s>Be kind." + USER, USER, SYSTEM, "no-system"),
        ("<s>" + USER.replace("Hi", "Be kind.Hi"), "Be kind." + USER, SYSTEM, "system-place"),
        ("<s>" + USER, USER.replace("user", "human"), ONE, "template"),
    ],
)
def test_a_difference_is_named(trained: str, sent: str, case: Case, cause: str | None) -> None:
    assert verdict_of(trained, sent, case) == cause


def test_causes_that_the_server_is_known_by() -> None:
    raw = replace(SERVED, template=RAW, written=RAW)
    assert verdict_of("<s>" + USER, "Hi", ONE, raw) == "raw-prompt"
    assert verdict_of("<s>" + USER, "<|im_start|>user\nHi", ONE, raw) == "builtin-chatml"
    jinja = replace(SERVED, template="{% for message in messages %}…")
    assert verdict_of("<s>" + USER, "Hi", ONE, jinja) == "overridden"
    assert verdict_of("<s>" + USER, USER, ONE, jinja) is None  # it is overridden by what is right
    default = replace(EXPECTED, default_system="You are Qwen.")
    assert verdict_of("<s>You are Qwen." + USER, USER, ONE, SERVED, default) == "no-default-system"
    built_in = replace(raw, renderer="qwen3-coder")
    assert verdict_of("<s>" + USER, "<|im_start|>user\nHi", ONE, built_in) == "renderer"
    assert verdict_of("<s>" + USER, USER, ONE, built_in) is None
    told = replace(SERVED, messages=("Hello.",))
    assert verdict_of("<s>" + USER, "Hello." + USER, ONE, told) == "messages"
    other = replace(SERVED, system="Be brief.")
    assert verdict_of("<s>" + USER, "Be brief." + USER, ONE, other) == "other-system"


CHATML = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def in_chatml(system: str) -> str:
    return f"<|im_start|>system\n{system}<|im_end|>\n{CHATML}"


@pytest.mark.parametrize("way", [RAW, "{% for message in messages %}…"], ids=["built-in", "jinja"])
def test_where_a_system_prompt_is_all_that_differs_no_template_is_blamed(way: str) -> None:
    served = replace(SERVED, template=way, written=RAW if way == RAW else SERVED.written)
    own, qwen = replace(served, system="Be brief."), replace(EXPECTED, default_system="You are Qwen.")
    assert verdict_of("<s>" + in_chatml("You are Qwen."), CHATML, ONE, served, qwen) == "no-default-system"
    assert verdict_of("<s>" + CHATML, in_chatml("Be brief."), ONE, own) == "other-system"
    trained, sent = "<s>" + in_chatml("You are Qwen."), in_chatml("Be brief.")
    assert verdict_of(trained, sent, ONE, own, qwen) == "no-default-system"
    assert verdict_of(CHATML, CHATML, ONE, served) == "extra-bos"
    silent = Case("silent", (Turn("user", ""),))
    assert verdict_of("<s>" + in_chatml("You are Qwen."), CHATML, silent, served, qwen) == "no-default-system"
    plain = "You are Qwen.\n\n### Instruction:\nHi\n\n### Response:\n"
    whole = replace(served, template="<|im_start|>", written="<|im_start|>")
    assert verdict_of(plain, CHATML, ONE, whole, qwen) == "template"
    cause = {RAW: "builtin-chatml"}.get(way, "overridden")
    assert verdict_of(trained, sent.replace("user", "human"), ONE, own, qwen) == cause


def test_stops_room_and_the_servers_own_count_belong_to_the_proof() -> None:
    prompt = Prompt(RUNNER.encode(USER), "<s>" + USER)
    expected = replace(EXPECTED, prompts={"user": prompt})
    right = Sent(RUNNER.encode(USER), "<s>" + USER, counted=len(prompt.ids))
    assert judge("m", Trained("llama3"), expected, SERVED, RUNNER, [ONE], [right]).ok
    spoiled = judge("m", Trained("llama3", miscut="/run"), expected, SERVED, RUNNER, [ONE], [right])
    assert (spoiled.ok, spoiled.holds) == (False, True)  # sent as trained, and trained on texts without spaces
    assert "as /run shows" in str(spoiled.problems()[0][0])
    short = judge("m", Trained("llama3", cutoff_len=8192), expected, SERVED, RUNNER, [ONE], [right])
    assert not short.ok
    assert short.as_json()["num_ctx"] == {"actual": 4096, "cutoff_len": 8192, "ok": False}
    endless = judge("m", Trained("llama3"), replace(expected, stops=("<|end|>",)), SERVED, RUNNER, [ONE], [right])
    assert endless.missing_stops == ("<|end|>",)
    assert "answers do not end" in str(endless.problems()[0][0])
    half = judge("m", Trained("x"), replace(expected, stops=("<|end|>", "</s>")), SERVED, RUNNER, [ONE], [right])
    assert "an answer may go on there" in str(half.problems()[0][0])
    stopping = replace(SERVED, stops=("<|end|>",))
    assert judge("m", Trained("x"), replace(expected, stops=("<|end|>",)), stopping, RUNNER, [ONE], [right]).ok
    counted = judge("m", Trained("llama3"), expected, SERVED, RUNNER, [ONE], [replace(right, counted=5)])
    assert [verdict.cause.id for verdict in counted.verdicts if verdict.cause] == ["counted"]


def test_tokens_that_the_vocabulary_lacks_speak_for_another_template_which_no_modelfile_mends() -> None:
    trained, plain = "<s><|begin|>Hi<|turn|>", Case("plain", (Turn("user", "Hi"),))
    expected = replace(
        EXPECTED,
        prompts={"user": Prompt(RUNNER.plain(trained), trained), "plain": Prompt(RUNNER.encode("Hi"), "<s>Hi")},
        stops=("</s>", "<|turn|>", "<|pause|>"),
        added=("<|turn|>", "<|pause|>"),
    )
    sent = [Sent(RUNNER.encode(text), RUNNER.whole(text)) for text in (USER, "Hi\n")]
    found = judge("m", Trained("x", cutoff_len=8192), expected, SERVED, RUNNER, [ONE, plain], sent)
    assert found.missing_stops == ("<|turn|>", "<|pause|>")
    assert not found.can_be_mended
    assert [verdict.cause.id for verdict in found.verdicts if verdict.cause] == ["other-template"] * 2
    assert all("--template" in str(remedy) and "--mend" not in str(remedy) for _why, remedy in found.problems())
    same = Sent(RUNNER.encode("Hi"), "<s>Hi")
    unwritten = replace(expected, prompts={"plain": expected.prompts["plain"]})
    assert judge("m", Trained("x"), unwritten, SERVED, RUNNER, [plain], [same]).ok  # a stop that nobody can write
    lost = replace(SERVED, template=(text := "<|turn|>"))
    broken = replace(expected, prompts={"user": Prompt((256, 300), f"<s>{text}")})
    found = judge("m", Trained("x"), broken, lost, RUNNER, [ONE], [Sent(RUNNER.encode(text), f"<s>{text}")])
    assert [verdict.cause.id for verdict in found.verdicts if verdict.cause] == ["unknown-tokens"]
    ((_why, remedy),) = found.problems()
    assert remedy.english().startswith("Name the template that the model was trained with")


BLANK = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def test_a_blank_too_many_is_no_system_prompt_in_another_place() -> None:
    for case in built_in(tools=False):
        text, ask = case.system, case.turns[-1].text
        cause = verdict_of(
            "<s>" + BLANK.format(text, ask), BLANK.format(text, ask).replace("<|im_end|>", " <|im_end|>"), case
        )
        assert cause == "blanks", case.name
    odd = Case("blanks", (Turn("user", "Hi"),), " s ")
    fused = "<start>user\n s \n\nHi<end>\n"
    assert verdict_of("<s>" + fused, " s \n\n<start>user\nHi<end>\n", odd) == "system-place"
    assert verdict_of("<s>" + fused, fused.replace("Hi<", "Hi <"), odd) == "blanks"
    assert verdict_of("<s>" + fused, "<start>user\n s \n\niH<end>\n", odd) == "template"


def test_a_refusal_differs_unless_the_training_refuses_as_well() -> None:
    refusal = AppError("Ollama refuses", '"m" does not support tools')
    asks = replace(ONE, tools=({"name": "look"},))
    prompts = {"user": Prompt((1,), "x")}
    proof = judge(
        "m", Trained("x"), replace(EXPECTED, prompts=prompts), SERVED, RUNNER, [asks], [Sent((), "", error=refusal)]
    )
    assert [verdict.cause.id for verdict in proof.verdicts if verdict.cause] == ["no-tools"]
    assert part(Prompt((), "", "ValueError"), Sent((), "", error=refusal)) is None


def test_what_ollama_loses_of_tools_is_told_where_nothing_else_differs() -> None:
    given = {
        "name": "look",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"z": {"type": "number", "default": 5.0, "enum": [5.0]}, "a": {}},
        },
    }
    kept = {
        "name": "look",
        "parameters": {"type": "object", "properties": {"a": {}, "z": {"type": "number", "enum": [5]}}},
    }
    case = Case("row-1", (Turn("user", "Hi"),), tools=(given,))
    trained, sent = (f"<s>{json.dumps(one)}{USER}" for one in (given, kept))
    assert verdict_of(trained, sent.removeprefix("<s>"), case) == "tools-lost"
    assert verdict_of(trained, sent.removeprefix("<s>").replace("Hi", "Ho"), case) == "tools"
    plain = replace(case, tools=(kept,))
    assert verdict_of(trained, sent.removeprefix("<s>"), plain) == "tools"
    words = str(loss_of(case).message())
    assert words == (
        "keys of the schema (strict, default); the order of properties and arguments, which it sorts by name; "
        "the form of 5.0, which it writes as 5"
    )


@given(st.text(max_size=20), st.text(max_size=20))
def test_the_first_difference_is_where_the_texts_part(one: str, other: str) -> None:
    parting = part(Prompt(RUNNER.plain(one), one), Sent(RUNNER.plain(other), other))
    if one == other:
        assert parting is None
    else:
        assert parting is not None
        assert parting.character is not None
        assert one[: parting.character] == other[: parting.character]
        assert one[parting.character : parting.character + 1] != other[parting.character : parting.character + 1]


@pytest.mark.parametrize(
    ("made", "version", "adds"),
    [
        (vocabulary(add_bos=None), "0.32.7", False),
        (vocabulary(add_bos=None, pre="llama-bpe"), "0.32.7", True),
        (vocabulary(add_bos=False, pre="llama-bpe"), "0.32.7", False),
        (replace(vocabulary(add_bos=None), model="llama"), "0.24.0", True),
        (replace(vocabulary(add_bos=None), architecture="qwen3"), "0.24.0", True),
        (replace(vocabulary(add_bos=None), architecture="qwen3"), "0.32.7", False),
        (replace(vocabulary(add_bos=False), model="gemma4"), "0.32.7", True),
    ],
)
def test_bos_is_added_as_the_runner_of_that_version_adds_it(made: Vocabulary, version: str, adds: bool) -> None:
    assert made.adds_bos(version) is adds


def test_special_tokens_are_whole_and_the_rest_is_bytes() -> None:
    ids = RUNNER.encode("é<|eot_id|>")
    assert [RUNNER.vocabulary.text(number) for number in ids] == ["<s>", "Ã", "©", "<|eot_id|>"]
    assert RUNNER.pieces(ids) == ["<s>", "<0xC3>", "<0xA9>", "<|eot_id|>"]
    with pytest.raises(AppError, match="cannot be counted"):
        Runner(replace(vocabulary(), model="rwkv"))
    with pytest.raises(AppError, match="cannot be counted"):
        Runner(vocabulary(pre="of-tomorrow"))


def test_a_template_is_guessed_by_its_marks_and_by_the_vocabulary() -> None:
    found = guess(snapshot(), vocabulary(), Own())
    assert found is not None
    assert found.name == "llama3"
    chatml = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    found = guess(snapshot(), replace(vocabulary(), architecture="qwen2"), Own(chatml))
    assert found is not None
    assert found.name == "qwen"
    assert guess(snapshot(), vocabulary(marks=["<s>", "</s>"]), Own("nothing of the kind")) is None


def test_of_templates_that_write_alike_the_one_with_the_models_own_system_prompt_and_stops_is_guessed() -> None:
    chatml = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    qwen = snapshot().get("qwen")

    def guessed(*stops: str, system: str = "", architecture: str = "llama") -> str:
        made = replace(vocabulary(), architecture=architecture)
        found = guess(snapshot(), made, Own(chatml, stops, system))
        assert found is not None
        return found.name

    assert guessed() == "chatml"  # the usual one of a Llama
    assert guessed("<|endoftext|>", "<|im_end|>", system=qwen.default_system) == "qwen"
    assert guessed("<|im_end|>", architecture="qwen2") == "qwen"
    assert guessed("<|im_end|>") == "chatml"  # a stop that a person left out says little against the usual one
    assert guessed("<|im_start|>", "<|im_end|>", "</s>", architecture="other") == "chatml"
    assert guessed("<|im_end|>", architecture="other") != "chatml"
    assert guessed("<|im_start|>", "<|im_end|>", architecture="qwen2") == "qwen"  # as Ollama itself sets them


@pytest.mark.parametrize("said", ["You are a helpful assistant.", "You are a helpful AI assistant.", "Be a cook."])
@pytest.mark.parametrize(("architecture", "usual"), [("llama", "chatml"), ("qwen2", "qwen"), ("qwen3", "qwen3")])
def test_a_system_prompt_that_anybody_gives_to_a_model_is_no_hint(said: str, architecture: str, usual: str) -> None:
    chatml = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    found = guess(snapshot(), replace(vocabulary(), architecture=architecture), Own(chatml, (), said))
    assert found is not None
    assert found.name == usual


@pytest.mark.parametrize("system", ["", "You are a helpful assistant.", "You are MiMo, an AI assistant by Xiaomi."])
@pytest.mark.parametrize("write", [lambda *of: go_template(*of).text, jinja_template])
def test_a_template_by_which_paddock_writes_just_the_models_own_is_guessed(
    system: str, write: Callable[[Template, Tokens], str]
) -> None:
    made = replace(vocabulary(), architecture="qwen3")  # whose usual template with these marks is another
    qwen = snapshot().get("qwen")
    text = write(qwen, tokens_of(qwen, made))
    assert guess(snapshot(), made, Own(text, (), system)) == qwen
    text = write(replace(qwen, default_system=system), tokens_of(qwen, made))
    found = guess(snapshot(), made, Own(text, (), system))
    assert found is not None
    assert write(replace(found, default_system=system), tokens_of(found, made)) == text


def test_what_a_server_shows_is_read() -> None:
    shown = read_shown(
        {
            "template": "{% x %}",
            "modelfile": '# made by hand\nFROM /blobs/sha256-00\nTEMPLATE """{{ .Prompt }}"""\n',
            "parameters": 'stop                "<|im_end|>"\nstop    "a\\nb"\nnum_ctx   512\ntemperature 0.5',
        }
    )
    served = read_served(shown, "0.32.7")
    assert (served.stops, served.context, served.written) == (("<|im_end|>", "a\nb"), 512, RAW)
    assert served.is_jinja
    assert not served.is_raw


def test_built_in_conversations_alternate_and_end_with_a_question() -> None:
    for case in built_in(thinking=True):
        roles = [turn.role for turn in case.turns]
        assert roles[::2] == ["user"] * len(roles[::2]) or "result" in roles
        assert roles[-1] in ("user", "result")
        rows = case.training()["messages"]
        assert isinstance(rows, list)
        assert len(rows) % 2 == 0  # LLaMA-Factory pairs them
    names = [case.name for case in built_in(thinking=True)]
    assert len(set(names)) == len(names)
