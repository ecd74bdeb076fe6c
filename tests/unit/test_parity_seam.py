"""Between the parts of a conversation: what a tokenizer that puts a blank before every text wants of a template."""

from __future__ import annotations

import json
from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.parity.asked import Sent, Served
from backend.parity.cases import Case, Turn
from backend.parity.expected import Expected, Prompt
from backend.parity.expression import Tokens, eos_of
from backend.parity.go_template import go_template
from backend.parity.gochat import GoChat
from backend.parity.jinja_template import jinja_template
from backend.parity.proof import judge
from backend.parity.seam import whole
from backend.parity.template import snapshot
from backend.parity.tokenizer import Runner
from backend.parity.training import Trained, tokens_of_folder
from backend.parity.vocabulary import Vocabulary

SPECIAL = frozenset({"<unk>", "<s>", "</s>"})
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:.,\n[]/<>▁"
JOINED = ["▁a", "an", "ab", "▁an", "▁answer", "SS", "▁▁", "er", "ANT"]
PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *LETTERS, *JOINED]
VOCABULARY = Vocabulary(
    model="llama",
    pre="default",
    architecture="llama",
    name="",
    tokens=tuple(PIECES),
    types=(2, 3, 3, *[6] * 256, *[1] * (len(LETTERS) + len(JOINED))),
    merges=(),
    scores=tuple(float(-place) for place in range(len(PIECES))),
    numbers={"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0},
    switches={},
)
RUNNER = Runner(VOCABULARY, "0.32.7")
TALK = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "Q"},
    {"role": "assistant", "content": "an answer"},
    {"role": "user", "content": "Q"},
]


def both(name: str, messages: list[dict[str, str]]) -> list[str]:
    """Return what the Go template and the Jinja write."""
    template = snapshot().get(name)
    tokens = Tokens("<s>", eos_of(template, "</s>"), adds_bos=False, special=SPECIAL)
    go = GoChat(go_template(template, tokens).text).prompt(messages, [], think=None, version="0.32.7")
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701 - no web page
    return [go, environment.from_string(jinja_template(template, tokens)).render(messages=messages)]


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        (
            "vicuna",
            ["S", "USER: Q ASSISTANT:", "an answer", "</s>", "USER: Q ASSISTANT:"],
        ),
        (
            "llama2",
            ["<s>", "[INST] <<SYS>>\nS\n<</SYS>>\n\nQ [/INST]", "an answer", "</s>", "<s>", "[INST] Q [/INST]"],
        ),
        ("mistral", ["<s>", "[INST] S\n\nQ[/INST]", " an answer", "</s>", "[INST] Q[/INST]"]),
        ("default", ["System: S", "</s>", "\n", "Human: Q", "</s>", "\nAssistant:", "an answer", "</s>", "\n",
                     "Human: Q", "</s>", "\nAssistant:"]),
    ],
)  # fmt: skip
def test_a_blank_stands_where_a_part_in_plain_text_follows_another(name: str, pieces: list[str]) -> None:
    text = whole(pieces, SPECIAL)
    assert both(name, TALK) == [text, text]
    by_parts = [number for piece in pieces for number in RUNNER.plain(piece)]
    assert list(RUNNER.plain(text)) == by_parts
    assert list(RUNNER.plain("".join(pieces))) != by_parts


def test_a_reply_that_comes_with_its_blank_gets_no_second_one() -> None:
    own = [*TALK[:2], {"role": "assistant", "content": " an answer"}, TALK[3]]
    assert both("vicuna", own) == both("vicuna", TALK)
    none = [*TALK[:2], {"role": "assistant", "content": ""}, TALK[3]]
    assert both("vicuna", none) == ["S USER: Q ASSISTANT:</s>USER: Q ASSISTANT:"] * 2


@given(st.lists(st.one_of(st.sampled_from(["<s>", "</s>"]), st.text("abnSNTer:", min_size=1, max_size=8)), max_size=6))
def test_the_whole_is_cut_as_its_parts_are(pieces: list[str]) -> None:
    assert list(RUNNER.plain(whole(pieces, SPECIAL))) == [number for one in pieces for number in RUNNER.plain(one)]


def cause_of(pieces: list[str], sent: str, answer: str) -> str | None:
    case = Case("turns", (Turn("user", "Q"), Turn("assistant", answer), Turn("user", "Q")))
    ids = [number for piece in pieces for number in RUNNER.plain(piece)]
    expected = Expected("0.9.5", {"turns": Prompt.of(ids, pieces, SPECIAL)}, "", None, ("</s>",), ())
    served = Served("0.32.7", "{{ range .Messages }}…", "{{ range .Messages }}…", "", (), {}, 4096, ())
    actual = Sent(RUNNER.plain(sent), sent)
    cause = judge("m", Trained("vicuna"), expected, served, RUNNER, [case], [actual]).verdicts[0].cause
    return cause.id if cause else None


def test_blanks_between_parts_are_named_and_those_that_no_template_can_say() -> None:
    pieces = ["USER: Q ASSISTANT:", "an answer", "</s>", "USER: Q ASSISTANT:"]
    assert cause_of(pieces, "".join(pieces), "an answer") == "part-blank"
    assert cause_of(pieces, whole(pieces, SPECIAL), "an answer") is None
    own = [pieces[0], " an answer", *pieces[2:]]
    assert cause_of(own, whole(pieces, SPECIAL), " an answer") == "reply-blank"


@pytest.mark.parametrize(
    ("description", "config", "special"),
    [
        ({"normalizer": {"type": "Prepend", "prepend": "▁"}}, {}, frozenset({"<s>"})),
        ({"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}}, {}, {"<s>"}),
        ({"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"}}, {}, None),
        ({"normalizer": {"type": "Prepend", "prepend": "▁"}}, {"add_prefix_space": False}, None),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, {}, None),
        (None, {"added_tokens_decoder": {"1": {"content": "<s>"}}}, {"<s>"}),
    ],
    ids=["prepend", "metaspace", "never", "said not to", "bytes", "tokenizer.model alone"],
)
def test_a_folder_tells_whether_its_tokenizer_puts_a_blank(
    tmp_path: Path, description: dict[str, object] | None, config: dict[str, object], special: set[str] | None
) -> None:
    if description is None:
        (tmp_path / "tokenizer.model").write_bytes(b"")
    else:
        added = {"added_tokens": [{"content": "<s>"}]}
        (tmp_path / "tokenizer.json").write_text(json.dumps({**description, **added}), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert tokens_of_folder(snapshot().get("vicuna"), tmp_path).special == special
