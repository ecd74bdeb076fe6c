"""Tokenise a prompt as Ollama's runner does: a tokenizer rebuilt from the keys of the GGUF.

Source: llama.cpp `src/llama-vocab.cpp` (``tokenizer_st_partition``, ``llm_tokenizer_bpe``, ``llm_tokenizer_spm``):
special tokens are found first, the longest before shorter ones; SentencePiece gets a blank before every piece between
them; BOS comes before everything, even before a BOS that is there already.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backend.parity.vocabulary import BpeRule, Vocabulary, bpe_rules
from data.errors import AppError, library_asked
from data.files import write_atomic
from data.i18n import Message, _

if TYPE_CHECKING:  # late at run time: it is a large library
    from tokenizers import Tokenizer

_Json = dict[str, object]
_BYTE_LEVEL: Final[_Json] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


class Runner:
    """The tokenizer of one vocabulary, as an Ollama of ``version`` runs it; raises AppError for an unknown kind."""

    def __init__(self, vocabulary: Vocabulary, version: str = "") -> None:
        self.vocabulary = vocabulary
        self.adds_bos = vocabulary.adds_bos(version)
        self._strips_bos = bool(version) and _strips_bos(vocabulary, version)
        self._text = json.dumps(tokenizer_json(vocabulary), ensure_ascii=False)
        self.cuts_otherwise = vocabulary.model == "gpt2" and vocabulary.cut(version) != vocabulary.cut()
        self._made: Tokenizer | None = None

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids that the model gets for the rendered prompt ``text``."""
        vocabulary = self.vocabulary
        text = self._stripped(text)
        before = (vocabulary.bos,) if self.adds_bos and vocabulary.bos is not None else ()
        behind = (vocabulary.eos,) if vocabulary.adds_eos and vocabulary.eos is not None else ()
        return (*before, *self.plain(text), *behind)

    def whole(self, text: str) -> str:
        """Return ``text`` with what the runner puts before and behind it."""
        before = self.vocabulary.text(self.vocabulary.bos) if self.adds_bos else ""
        behind = self.vocabulary.text(self.vocabulary.eos) if self.vocabulary.adds_eos else ""
        return before + self._stripped(text) + behind

    def _stripped(self, text: str) -> str:
        return text.removeprefix("<bos>") if self._strips_bos else text

    def plain(self, text: str) -> tuple[int, ...]:
        """Return the ids of ``text`` without anything before or behind it."""
        if self._made is None:
            from tokenizers import Tokenizer  # noqa: PLC0415 - late, see above

            described = self._text
            if self.cuts_otherwise:
                as_default = dataclasses.replace(self.vocabulary, pre="default")
                described = json.dumps(tokenizer_json(as_default), ensure_ascii=False)
            with library_asked(_malformed):
                self._made = Tokenizer.from_str(described)
        with library_asked(_malformed):
            return tuple(self._made.encode(text, add_special_tokens=False).ids)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the texts of tokens as people read them."""
        return [shown(self.vocabulary.text(number), byte_level=self.vocabulary.model == "gpt2") for number in ids]

    def write_folder(self, folder: Path) -> None:
        """Write the tokenizer as files that transformers reads."""
        vocabulary = self.vocabulary
        named = {"bos": vocabulary.bos, "eos": vocabulary.eos, "unk": vocabulary.numbers.get("unknown_token_id")}
        named["pad"] = vocabulary.numbers.get("padding_token_id")
        config: _Json = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        config |= {
            f"{role}_token": vocabulary.text(number) for role, number in named.items() if vocabulary.text(number)
        }
        write_atomic(folder / "tokenizer.json", self._text)
        write_atomic(folder / "tokenizer_config.json", json.dumps(config, ensure_ascii=False))


def _strips_bos(vocabulary: Vocabulary, version: str) -> bool:
    """Say whether Ollama takes a leading ``<bos>`` off, since its runner adds one (0.30, llm/llama_server.go)."""
    from backend.parity.select import is_current  # noqa: PLC0415 - select also imports what imports this

    is_forced = vocabulary.pre in ("lfm2", "gemma4") or vocabulary.model == "gemma4"
    return is_current(version) and (is_forced or vocabulary.switches.get("add_bos_token", False))


def tokenizer_json(vocabulary: Vocabulary) -> _Json:
    """Return tokenizer.json of ``vocabulary``; raises AppError for a kind that cannot be rebuilt."""
    match vocabulary.model:
        case "gpt2" | "gemma4":
            return _bpe(vocabulary)
        case "llama":
            return _sentencepiece(vocabulary)
        case "t5":
            return _unigrams(vocabulary)
        case model:
            raise _uncountable(
                _("Its tokenizer is of the kind {kind}.", kind=repr(model)),
                _("Byte-level BPE (gpt2) and SentencePiece (llama, t5) are known."),
            )


def _malformed(error: str) -> AppError:
    why = _("Its vocabulary is malformed: {error}", error=error)
    return _uncountable(why, _("Convert the model again, or pull it again."))


def _uncountable(why: Message, remedy: Message) -> AppError:
    return AppError(_("The tokens of this model cannot be counted here"), why, remedy)


def _bpe(vocabulary: Vocabulary) -> _Json:
    rule = bpe_rules().get(vocabulary.cut())
    if vocabulary.model == "gemma4":
        rule = bpe_rules()["gemma4"]
    if rule is None:
        raise _uncountable(
            _("Its vocabulary is cut by the rule {rule}.", rule=repr(vocabulary.pre)),
            _("A newer Paddock may know it."),
        )
    splits: list[_Json] = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in rule.patterns
    ]
    plain = {token: number for number, token in enumerate(vocabulary.tokens)}
    merges = [merge.split(" ", 1) if not merge.startswith(" ") else [" ", merge[2:]] for merge in vocabulary.merges]
    whole: _Json = {"type": "Sequence", "pretokenizers": [*splits, _BYTE_LEVEL] if rule.byte_level else splits}
    return _tokenizer(
        vocabulary,
        normalizer=None if rule.byte_level else _replaced(),
        pre_tokenizer=whole,
        decoder={**_BYTE_LEVEL, "use_regex": True} if rule.byte_level else _piece_decoder(),
        model=_model(plain, merges, rule),
    )


def _model(vocab: Mapping[str, int], merges: Sequence[Sequence[str]], rule: BpeRule) -> _Json:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": not rule.byte_level,
        "byte_fallback": not rule.byte_level,
        "ignore_merges": rule.ignore_merges,
        "vocab": dict(vocab),
        "merges": [list(merge) for merge in merges if len(merge) == 2 and "".join(merge) in vocab],
    }


def _sentencepiece(vocabulary: Vocabulary) -> _Json:
    """Return a BPE that merges what SentencePiece merges: the pair whose joined token has the best score."""
    ids = {token: number for number, token in enumerate(vocabulary.tokens)}
    pairs = [
        (-vocabulary.scores[number], ids[token[:cut]], ids[token[cut:]], token[:cut], token[cut:])
        for number, token in enumerate(vocabulary.tokens)
        if not vocabulary.is_special(number)
        for cut in range(1, len(token))
        if token[:cut] in ids and token[cut:] in ids
    ]
    pairs.sort()
    rule = BpeRule((), ignore_merges=False, add_bos=True, byte_level=False)
    return _tokenizer(
        vocabulary,
        normalizer=_replaced(prepends=vocabulary.switches.get("add_space_prefix", True)),
        pre_tokenizer=None,
        decoder=_piece_decoder(),
        model={
            **_model(ids, [pair[3:] for pair in pairs], rule),
            "unk_token": vocabulary.text(vocabulary.numbers.get("unknown_token_id", 0)),
        },
    )


def _unigrams(vocabulary: Vocabulary) -> _Json:
    """Return SentencePiece's unigrams; there are no bytes for characters that they lack (``llm_tokenizer_ugm``)."""
    steps: list[_Json] = []
    if vocabulary.charsmap:
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(vocabulary.charsmap).decode()})
    if vocabulary.switches.get("remove_extra_whitespaces", False):
        steps.append({"type": "Replace", "pattern": {"Regex": "^ +| +$"}, "content": ""})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    steps.append(_replaced(prepends=vocabulary.switches.get("add_space_prefix", False)))
    return _tokenizer(
        vocabulary,
        normalizer={"type": "Sequence", "normalizers": steps},
        pre_tokenizer=None,
        decoder=_piece_decoder(),
        model={
            "type": "Unigram",
            "unk_id": vocabulary.numbers.get("unknown_token_id", 2),
            "vocab": [list(pair) for pair in zip(vocabulary.tokens, vocabulary.scores, strict=True)],
            "byte_fallback": False,
        },
    )


def _replaced(*, prepends: bool = False) -> _Json:
    replace: _Json = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return {"type": "Sequence", "normalizers": [*([{"type": "Prepend", "prepend": "▁"}] if prepends else []), replace]}


def _piece_decoder() -> _Json:
    replace: _Json = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    return {"type": "Sequence", "decoders": [replace, {"type": "ByteFallback"}, {"type": "Fuse"}]}


def _tokenizer(vocabulary: Vocabulary, **parts: object) -> _Json:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _special(vocabulary),
        "post_processor": None,
        **parts,
    }


def _special(vocabulary: Vocabulary) -> list[_Json]:
    """Return the tokens that are found as a whole; Phi-3's take the blanks behind them, as llama.cpp has it."""
    strips = "phi-3" in vocabulary.name.lower() or "phi3" in vocabulary.name.lower()
    return [
        {
            "id": number,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": strips and token not in ("<unk>", "<s>", "<|endoftext|>"),
            "normalized": False,
            "special": vocabulary.types[number] != 4,
        }
        for number, token in enumerate(vocabulary.tokens)
        if token and vocabulary.is_special(number)
    ]


def shown(token: str, *, byte_level: bool) -> str:
    """Return the text that ``token`` stands for; bytes that are no whole letter as ``<0xE4>``."""
    if not byte_level:
        return token.replace("▁", " ")
    letters = _byte_letters()
    if not all(char in letters for char in token):
        return token
    raw = bytes(letters[char] for char in token)
    return raw.decode("utf-8", "surrogateescape").translate({0xDC00 + b: f"<0x{b:02X}>" for b in range(128, 256)})


def _byte_letters() -> dict[str, int]:
    """Return GPT-2's letters for bytes, and which byte each is."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    found = {chr(byte): byte for byte in plain}
    rest = [byte for byte in range(256) if byte not in found.values()]
    return found | {chr(256 + place): byte for place, byte in enumerate(rest)}
