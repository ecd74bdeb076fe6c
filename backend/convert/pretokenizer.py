"""Recognise how a byte-level BPE tokenizer cuts a text before merging: llama.cpp wants the rule's name.

llama.cpp knows the rules by the sha256 of the token ids of one fixed text (`conversion/base.py`,
``get_vocab_base_pre``); the names are in pretokenizers.json. A fine-tune that was saved by another version of
tokenizers, or without its post-processor, can miss the hash although its rule is unchanged; then the ids without the
special tokens, with BOS before them, and at last where its tokenizer.json cuts a text decide, and the report says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, Final, Literal, cast

from backend.convert.folder import Json
from backend.convert.refusal import UnknownHereError
from backend.convert.rules import RULES, Rule
from data.i18n import _

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHECK_TEXT: Final = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n🚀 (normal) 😶\u200d🌫️ (multiple emojis concatenated) ✅ 🦙🦙 "
    "3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 កាន់តែពិសេសអាច😁 "
    "?我想在apple工作1314151天～ ------======= нещо на Български "
    "''''''```````\"\"\"\"......!!!!!!?????? I've been 'told he's there, 'RE you sure? 'M not sure I'll make it, "
    "'D you like some tea? We'Ve a'lL"
)
# What the fixed text lacks to tell the rules apart: marks, scripts, cases, signs before letters, kinds of line ends.
_CUT_TEXT: Final = CHECK_TEXT + (
    "\r\n\r\n  camelCaseHTTPServer ABCdef e\u0301te\u0301 हिन्दी ภาษาไทย 한국어 日本語カナ(word) "
    "#include <x.h>\t/\n//\n"
    " ،سلام $9.99 ½ ²³ 12345678901 a1b2  ,.;\n\n  \u3000。「」 ＡＢ１２ don't DON'T we'LL x'y _snake_case\r\n \t end \n"
)


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """The rule's name in llama.cpp; found by the ids of the fixed text, or by structure: by where it cuts."""

    name: str
    found_by: Literal["ids", "structure"]


def recognise(tokenizer: Tokenizer, description: Json, bos: int | None, preferred: Sequence[str] = ()) -> PreTokenizer:
    """Return the rule of ``tokenizer``, whose tokenizer.json is ``description``; UnknownHereError where nothing fits.

    ``preferred`` are the names that models of the family have, for rules that have several. The check text cannot tell
    all rules apart: where the tokenizer cuts by another rule than its ids say, it is the cuts that count.
    """
    rule = _rule(tokenizer, description)
    known = cast(
        "dict[str, str]",
        json.loads(resources.files("backend.convert").joinpath("pretokenizers.json").read_text("utf-8")),
    )
    plain = tokenizer.encode(CHECK_TEXT, add_special_tokens=False).ids
    for ids in (tokenizer.encode(CHECK_TEXT).ids, plain, [bos, *plain] if bos is not None else plain):
        name = known.get(fingerprint(ids))
        if name and not (rule and _means_another(name, rule)):
            return PreTokenizer(name, "ids")
    name = _name(rule, description, preferred) if rule else None
    if name:
        return PreTokenizer(name, "structure")
    raise UnknownHereError(
        _("This tokenizer's pre-tokenizer is not recognised"),
        _("Neither the ids of the check text ({hash}) nor the way it is cut is known.", hash=fingerprint(plain)),
        _(
            "Copy tokenizer.json and tokenizer_config.json of the base model into the folder if the vocabulary was not "
            "changed, or name the folder of a recent llama.cpp in the setting llama_cpp_dir."
        ),
    )


def fingerprint(ids: Sequence[int]) -> str:
    """Return the hash that llama.cpp knows a rule by."""
    return sha256(str(list(ids)).encode()).hexdigest()


def _rule(tokenizer: Tokenizer, description: Json) -> Rule | None:
    """Return the rule that cuts a text as ``tokenizer`` does; None where none of those known does."""
    if tokenizer.pre_tokenizer is None or not _is_byte_level(description):
        return None
    starts = {start for _text, (start, _end) in tokenizer.pre_tokenizer.pre_tokenize_str(_CUT_TEXT)}
    return next((rule for rule in RULES if starts == _starts(rule)), None)


def _means_another(name: str, rule: Rule) -> bool:
    return name not in (*rule.names, *rule.ignoring_merges) and any(
        name in (*other.names, *other.ignoring_merges) for other in RULES
    )


def _name(rule: Rule, description: Json, preferred: Sequence[str]) -> str | None:
    model = description.get("model")
    ignores = isinstance(model, dict) and cast("Json", model).get("ignore_merges") is True
    names = rule.ignoring_merges if ignores else rule.names
    return next((name for name in (*preferred, *names) if name in names), None)


def _is_byte_level(description: Json) -> bool:
    """Say whether bytes are turned into letters, without putting a space before the text."""
    outer = description.get("pre_tokenizer")
    if not isinstance(outer, dict):
        return False
    steps = cast("Json", outer).get("pretokenizers", [cast("object", outer)])
    found = [
        cast("Json", step)
        for step in cast("list[object]", steps if isinstance(steps, list) else [])
        if isinstance(step, dict) and cast("Json", step).get("type") == "ByteLevel"
    ]
    return bool(found) and not any(step.get("add_prefix_space") is True for step in found)


def _starts(rule: Rule) -> set[int]:
    from tokenizers import Regex, pre_tokenizers  # noqa: PLC0415 - heavy, and only byte-level BPE needs it

    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in rule.patterns]
    return {start for _text, (start, _end) in pre_tokenizers.Sequence(steps).pre_tokenize_str(_CUT_TEXT)}
