"""The tokenizer of a model as a GGUF keeps it: tokens, their types and scores, merges and special tokens.

Source of the rules: llama.cpp `conversion/base.py` (``get_vocab_base``, ``_set_vocab_gpt2``, ``_set_vocab_llama_hf``)
and `conversion/llama.py` (``set_vocab``: which of them a folder gets).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, cast

from backend.convert import sentencepiece
from backend.convert.folder import Json, ModelFolder
from backend.convert.keys import Keys
from backend.convert.pretokenizer import PreTokenizer, recognise
from backend.convert.special import SpecialTokens, read_special
from data.errors import RequestError
from data.i18n import _

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

TOKENIZER_JSON: Final = "tokenizer.json"
_MAX_TOKENIZER_BYTES: Final = 64 * 1024 * 1024
# Added tokens that llama.cpp takes for control tokens although their makers did not mark them.
_CONTROL_TEXTS: Final = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
_CONTROL_FORMS: Final = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))


class TokenType(IntEnum):
    """llama.cpp's types of tokens."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(slots=True)
class Vocabulary:
    """Everything below ``tokenizer.`` in a GGUF."""

    model: str
    """``gpt2`` (byte-level BPE) or ``llama`` (SentencePiece)"""
    pre: str
    tokens: Sequence[str | bytes]
    types: Sequence[int]
    special: SpecialTokens
    scores: Sequence[float] = ()
    add_space_prefix: bool | None = None
    pre_tokenizer: PreTokenizer | None = None
    extra_ids: dict[str, int] = field(default_factory=dict[str, int])
    add_bos_last: bool | None = None

    def add_keys(self, keys: Keys) -> None:
        """Add the keys, in llama.cpp's order."""
        if self.add_space_prefix is not None:
            keys.flag("tokenizer.ggml.add_space_prefix", self.add_space_prefix)
        keys.text("tokenizer.ggml.model", self.model)
        keys.text("tokenizer.ggml.pre", self.pre)
        keys.array("tokenizer.ggml.tokens", self.tokens)
        keys.array("tokenizer.ggml.scores", self.scores)
        keys.array("tokenizer.ggml.token_type", self.types)
        self.special.add_keys(keys)
        SpecialTokens(ids=self.extra_ids).add_keys(keys)
        if self.add_bos_last is not None:
            keys.flag("tokenizer.ggml.add_bos_token", self.add_bos_last)

    def id_of(self, text: str) -> int | None:
        """Return the id of a token; None where there is no such token."""
        raw = text.encode()
        return next((number for number, token in enumerate(self.tokens) if token in (text, raw)), None)


def read_llama(folder: ModelFolder, size: int) -> Vocabulary:
    """Return the vocabulary of a Llama-like folder: tokenizer.model, else tokenizer.json of either kind.

    ``size`` is config.json's vocab_size; the rows of the embedding beyond the tokenizer's own tokens get unused ones.
    """
    settings = folder.json("tokenizer_config.json") or {}
    prefix = settings.get("add_prefix_space")
    tokenizer = read_tokenizer_json(folder)
    if folder.has(sentencepiece.FILE):
        found = _from_pieces(folder, tokenizer, size)
    elif tokenizer is None:
        raise RequestError(
            _("The model has no tokenizer"),
            _("{path} has neither tokenizer.json nor tokenizer.model.", path=str(folder.path)),
            _("Copy the tokenizer files of the base model into the folder."),
        )
    elif is_sentencepiece(tokenizer):
        found = read_sentencepiece_json(folder, tokenizer, size)
    else:
        found = read_bpe(folder, tokenizer, size)
    found.add_space_prefix = prefix if isinstance(prefix, bool) else None
    return found


def read_tokenizer_json(folder: ModelFolder) -> Json | None:
    """Return tokenizer.json; None where there is none."""
    return folder.json(TOKENIZER_JSON, limit_bytes=_MAX_TOKENIZER_BYTES)


def looks_special(token: str) -> bool:
    """Say whether llama.cpp takes an added token for a control token by its text alone."""
    return token in _CONTROL_TEXTS or any(
        token.startswith(begin) and token.endswith(end) for begin, end in _CONTROL_FORMS
    )


def is_sentencepiece(tokenizer: Json) -> bool:
    """Say whether tokenizer.json is a SentencePiece BPE in disguise: byte fallback, decoded in several steps."""
    model, decoder = tokenizer.get("model"), tokenizer.get("decoder")
    return (
        isinstance(model, dict)
        and isinstance(decoder, dict)
        and cast("Json", model).get("type") == "BPE"
        and cast("Json", model).get("byte_fallback") is True
        and cast("Json", decoder).get("type") == "Sequence"
    )


def load_tokenizer(folder: ModelFolder) -> Tokenizer:
    """Return the ``tokenizers`` object of tokenizer.json; RequestError where it cannot be read."""
    from tokenizers import Tokenizer as Loaded  # noqa: PLC0415 - heavy, and only byte-level BPE needs it

    try:
        return Loaded.from_file(str(folder.path / TOKENIZER_JSON))
    except Exception as error:  # the library raises bare Exceptions
        raise RequestError(
            _("tokenizer.json of the model cannot be read"),
            str(error),
            _("Copy the tokenizer files of the base model into the folder."),
        ) from error


def read_bpe(folder: ModelFolder, description: Json, size: int) -> Vocabulary:
    """Return a byte-level BPE vocabulary of ``size`` tokens."""
    model = description.get("model")
    if not isinstance(model, dict) or cast("Json", model).get("type") != "BPE":
        raise RequestError(
            _("The kind of tokenizer is not known to this converter"),
            _(
                "tokenizer.json holds {kind}.",
                kind=str(cast("Json", model).get("type") if isinstance(model, dict) else None),
            ),
            _("Use convert_hf_to_gguf.py of a recent llama.cpp."),
        )
    tokenizer = load_tokenizer(folder)
    special = read_special(folder, description, merges=True)
    pre_tokenizer = recognise(tokenizer, description, special.ids.get("bos"))
    names = {number: token for token, number in tokenizer.get_vocab(with_added_tokens=True).items()}
    if max(names, default=-1) >= size:
        raise RequestError(
            _("The tokenizer has more tokens than the model has embeddings"),
            _("The highest id is {highest}, config.json says vocab_size {size}.", highest=max(names), size=size),
            _("Train again with resize_vocab, or take the tokenizer of the base model."),
        )
    added = tokenizer.get_added_tokens_decoder()
    tokens, types = [f"[PAD{number}]" for number in range(size)], [int(TokenType.UNUSED)] * size
    for number, token in names.items():
        tokens[number], types[number] = _typed(tokenizer, token, added.get(number))
    return Vocabulary("gpt2", pre_tokenizer.name, tokens, types, special, pre_tokenizer=pre_tokenizer)


def _typed(tokenizer: Tokenizer, token: str, added: AddedToken | None) -> tuple[str, int]:
    """Return a token as llama.cpp wants it, with its type; added ones are expected as they are decoded."""
    if added is None:
        return token, TokenType.NORMAL
    if not added.normalized:
        token = tokenizer.decode(tokenizer.encode(token, add_special_tokens=False).ids, skip_special_tokens=False)
    if added.special or looks_special(token):
        return token, TokenType.CONTROL
    return token.replace("▁", " "), TokenType.USER_DEFINED


def read_sentencepiece_json(folder: ModelFolder, description: Json, size: int) -> Vocabulary:
    """Return a SentencePiece vocabulary from tokenizer.json, which has no scores: every token gets -1000."""
    model = cast("Json", description["model"])
    base = cast("dict[str, int]", model.get("vocab") or {})
    added = [
        entry for entry in cast("list[Json]", description.get("added_tokens") or []) if entry["content"] not in base
    ]
    controls = _named_specials(folder)
    tokens: list[str] = [f"[PAD{number}]" for number in range(size)]
    types = [int(TokenType.UNUSED)] * size
    everything = [*base.items(), *((str(entry["content"]), cast("int", entry["id"])) for entry in added)]
    for token, number in everything:
        if not 0 <= number < size:
            raise RequestError(
                _("The tokenizer has more tokens than the model has embeddings"),
                _("The highest id is {highest}, config.json says vocab_size {size}.", highest=number, size=size),
                _("Train again with resize_vocab, or take the tokenizer of the base model."),
            )
        tokens[number] = token
        if token in controls:
            types[number] = TokenType.CONTROL
        elif token in base:
            types[number] = TokenType.BYTE if sentencepiece.BYTE_TOKEN.fullmatch(token) else TokenType.NORMAL
        else:
            types[number] = TokenType.USER_DEFINED
    special = read_special(folder, description, merges=False, tokens=size)
    return Vocabulary("llama", "default", tokens, types, special, scores=[-1000.0] * size)


def _named_specials(folder: ModelFolder) -> frozenset[str]:
    """Return the texts of the tokens that have a role, as transformers gathers them for ``all_special_tokens``."""
    found = {"<unk>", "<s>", "</s>"} if _is_llama_class(folder) else set[str]()
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        for key, value in (folder.json(name) or {}).items():
            listed = key in ("additional_special_tokens", "extra_special_tokens")
            if not listed and not key.endswith("_token"):
                continue
            items = cast("list[object]", value) if isinstance(value, list) else [value]
            if listed and isinstance(value, dict):
                items = list(cast("dict[str, object]", value).values())
            for item in items:
                text = cast("Json", item).get("content") if isinstance(item, dict) else item
                if isinstance(text, str):
                    found.add(text)
    return frozenset(found)


def _is_llama_class(folder: ModelFolder) -> bool:
    return str((folder.json("tokenizer_config.json") or {}).get("tokenizer_class", "")).startswith("LlamaTokenizer")


def _from_pieces(folder: ModelFolder, description: Json | None, size: int) -> Vocabulary:
    """Return a SentencePiece vocabulary from tokenizer.model, with what was added to it afterwards."""
    tokens = [f"[PAD{number}]".encode() for number in range(size)]
    scores, types = [-10000.0] * size, [int(TokenType.UNUSED)] * size
    for number, piece in enumerate(sentencepiece.read_pieces(folder.path / sentencepiece.FILE)[:size]):
        tokens[number], scores[number] = piece.text, piece.score
        types[number] = TokenType.NORMAL if piece.type == TokenType.USER_DEFINED else piece.type
    for text, number in (folder.json("added_tokens.json") or {}).items():
        if isinstance(number, int) and 0 <= number < size:
            tokens[number], scores[number], types[number] = text.encode(), -1000.0, TokenType.USER_DEFINED
    decoder = (folder.json("tokenizer_config.json") or {}).get("added_tokens_decoder")
    for key, value in cast("dict[str, Json]", decoder if isinstance(decoder, dict) else {}).items():
        number, text = int(key), str(value["content"])
        if not 0 <= number < size:
            continue
        control = bool(value.get("special")) or looks_special(text)
        types[number] = TokenType.CONTROL if control else TokenType.USER_DEFINED
        tokens[number] = (text if control else text.replace("▁", " ")).encode()
        scores[number] = -1000.0
    special = read_special(folder, description, merges=False, tokens=size)
    return Vocabulary("llama", "default", tokens, types, special, scores=scores)
