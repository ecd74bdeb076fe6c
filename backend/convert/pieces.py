"""SentencePiece vocabularies: the pieces of tokenizer.model, or of a tokenizer.json that was made of one.

Source of the rules: llama.cpp `conversion/base.py` (``_create_vocab_sentencepiece``), `conversion/phi.py`,
`conversion/internlm.py`. Its script reads a tokenizer.json without tokenizer.model only for Llama, and then writes no
scores and no control tokens, with which llama.cpp cuts words wrongly; here that file gives what tokenizer.model gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final, cast

from backend.convert import sentencepiece
from backend.convert.added import added_tokens, trained_tokens
from backend.convert.folder import Json, ModelFolder
from backend.convert.special import read_special
from backend.convert.tokenizer_json import read_tokenizer_json
from backend.convert.unigram import Unigrams, described
from backend.convert.vocabulary import (
    UNIGRAMS,
    TokenType,
    Vocabulary,
    looks_special,
    too_many_tokens,
)

_PAD_SCORE: Final = -10000.0
_ADDED_SCORE: Final = -1000.0
_WORD_START = "▁"
_END_OF_TURN: Final = "<|im_end|>"
# llama.cpp ends texts at a zero byte, so InternLM 2's token for it becomes another.
_ZERO_BYTE, _ZERO_BYTE_STAND_IN = b"\x00", "🐉".encode()
_Added = tuple[int, str, bool]
"""Id, text, and whether the token is a special one"""


class _Table:
    """Tokens, scores and types by id; rows that no token takes are unused."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.tokens = [f"[PAD{number}]".encode() for number in range(size)]
        self.scores = [_PAD_SCORE] * size
        self.types = [int(TokenType.UNUSED)] * size
        self.beyond: dict[int, str] = {}

    def put(self, number: int, text: bytes, score: float, kind: int) -> None:
        """Set a token; an id beyond the table is left out, as llama.cpp does, and remembered."""
        if 0 <= number < self.size:
            self.tokens[number], self.scores[number], self.types[number] = text, score, kind
        elif number >= self.size:
            self.beyond[number] = text.decode(errors="replace")

    def add(self, number: int, text: str, *, special: bool) -> None:
        """Set an added token; one that is no control token is expected as it is decoded."""
        if special or looks_special(text):
            self.put(number, text.encode(), _ADDED_SCORE, TokenType.CONTROL)
        else:
            self.put(number, text.replace(_WORD_START, " ").encode(), _ADDED_SCORE, TokenType.USER_DEFINED)

    def add_plainly(self, number: int, text: str, *, special: bool) -> None:
        """Set an added token as Phi-3 and InternLM 2 do, whatever its text looks like."""
        self.put(number, text.encode(), _ADDED_SCORE, TokenType.CONTROL if special else TokenType.USER_DEFINED)

    def vocabulary(self, folder: ModelFolder, description: Json | None, unigrams: Unigrams | None = None) -> Vocabulary:
        """Return the table with the special tokens of ``folder``."""
        special = read_special(folder, description, merges=False, tokens=self.size)
        beyond = tuple(self.beyond.values())
        found = Vocabulary("llama", "default", self.tokens, self.types, special, scores=self.scores, beyond=beyond)
        return found if unigrams is None else _cut_by_likelihood(found, unigrams)


def _cut_by_likelihood(found: Vocabulary, unigrams: Unigrams) -> Vocabulary:
    """Return ``found`` as llama.cpp takes unigrams; those would end every text with EOS where nothing forbids it."""
    found.special.add = {"bos": True, "eos": False, **found.special.add}
    types = list(found.types)
    if (unknown := found.special.ids.get("unk")) is not None:
        types[unknown] = TokenType.UNKNOWN
    # Where llama.cpp merges spaces it puts one before a text as well, whatever the other flag says.
    merges = unigrams.merges_spaces and unigrams.adds_prefix
    flags = {"add_space_prefix": unigrams.adds_prefix, "remove_extra_whitespaces": merges}
    return replace(found, model=UNIGRAMS, types=types, middle_flags=flags, charsmap=unigrams.charsmap)


def is_sentencepiece(description: Json) -> bool:
    """Say whether tokenizer.json was made of a SentencePiece model: unigrams, or BPE that falls back to bytes."""
    match description:
        case {"model": {"type": "Unigram"}}:
            return True
        case {"model": {"type": "BPE", "byte_fallback": True}, "decoder": {"type": "Sequence"}}:
            return True
        case _:
            return False


def read_model(folder: ModelFolder, description: Json | None, size: int) -> Vocabulary:
    """Return the vocabulary of tokenizer.model, with what was added to it afterwards."""
    table = _model_table(folder, size)
    for number, text, special in _decoder_entries(folder):
        table.add(number, text, special=special)
    # What only tokenizer.json knows, which llama.cpp's script does not look at.
    for number, text, special in _added_tokens(folder, description):
        if 0 <= number < size and table.types[number] == TokenType.UNUSED:
            table.add(number, text, special=special)
    return table.vocabulary(folder, description, sentencepiece.unigrams(folder.path / sentencepiece.FILE))


def read_description(folder: ModelFolder, description: Json, size: int) -> Vocabulary:
    """Return the vocabulary of a tokenizer.json that was made of a SentencePiece model, with what was added to it."""
    table = _Table(size)
    for number, (text, score, kind) in _described_pieces(description).items():
        if not 0 <= number < size:
            raise too_many_tokens(number, size)
        table.put(number, text.encode(), score, kind)
    for number, text, special in _added_tokens(folder, description):
        table.add(number, text, special=special)
    for token in trained_tokens(folder, description):
        if token.id >= size or table.types[token.id] == TokenType.UNUSED:
            table.add(token.id, token.content, special=token.special)
    return table.vocabulary(folder, description, described(description))


def read_phi(folder: ModelFolder, size: int) -> Vocabulary:
    """Return Phi-3's vocabulary of tokenizer.model, with the added tokens of all its files."""
    description = read_tokenizer_json(folder)
    table = _model_table(folder, size)
    for number, text, special in (*_decoder_entries(folder), *_added_tokens(folder, description)):
        table.add_plainly(number, text, special=special)
    return table.vocabulary(folder, description)


def read_internlm2(folder: ModelFolder, size: int) -> Vocabulary:
    """Return InternLM 2's vocabulary; turns of a conversation end a text there."""
    description = read_tokenizer_json(folder)
    if not folder.has(sentencepiece.FILE) and description is not None:
        found = read_description(folder, description, size)
        _end_with_turn(found, (*_decoder_entries(folder), *_added_tokens(folder, description)))
        return found
    table = _model_table(folder, size)
    for number in range(size):
        if table.tokens[number] == _ZERO_BYTE:
            table.tokens[number] = _ZERO_BYTE_STAND_IN
        if table.tokens[number].startswith(b"[UNUSED"):
            table.types[number] = TokenType.UNUSED
    added = (*_decoder_entries(folder), *_added_tokens(folder, description))
    for number, text, special in added:
        table.add_plainly(number, text, special=special)
    found = table.vocabulary(folder, description)
    found.middle_flags["add_space_prefix"] = sentencepiece.adds_prefix(folder.path / sentencepiece.FILE)
    _end_with_turn(found, added)
    return found


def read_internlm3(folder: ModelFolder, size: int) -> Vocabulary:
    """Return InternLM 3's vocabulary; turns of a conversation end a text there."""
    description = read_tokenizer_json(folder)
    if not folder.has(sentencepiece.FILE) and description is not None:
        found = read_description(folder, description, size)
        added = (*_decoder_entries(folder), *_added_tokens(folder, description))
    else:
        found = read_model(folder, description, size)
        added = tuple(_decoder_entries(folder))
    prefix = (folder.json("tokenizer_config.json") or {}).get("add_prefix_space")
    if isinstance(prefix, bool):
        found.middle_flags["add_space_prefix"] = prefix
    _end_with_turn(found, [entry for entry in added if entry[2]])
    return found


def _end_with_turn(found: Vocabulary, added: Iterable[_Added]) -> None:
    for number, text, _special in added:
        if text == _END_OF_TURN and "eos" in found.special.ids and number < len(found.tokens):
            found.special.ids["eos"] = number


def _model_table(folder: ModelFolder, size: int) -> _Table:
    table = _Table(size)
    for number, piece in enumerate(sentencepiece.read_pieces(folder.path / sentencepiece.FILE)[:size]):
        kind = TokenType.NORMAL if piece.type == TokenType.USER_DEFINED else piece.type
        table.put(number, piece.text, piece.score, kind)
    for text, number in (folder.json("added_tokens.json") or {}).items():
        if isinstance(number, int):
            table.put(number, text.encode(), _ADDED_SCORE, TokenType.USER_DEFINED)
    return table


def _decoder_entries(folder: ModelFolder) -> Iterator[_Added]:
    decoder = (folder.json("tokenizer_config.json") or {}).get("added_tokens_decoder")
    for key, entry in cast("dict[str, object]", decoder if isinstance(decoder, dict) else {}).items():
        if key.isdecimal() and isinstance(entry, dict):
            yield from _added(int(key), cast("Json", entry))


def _added_tokens(folder: ModelFolder, description: Json | None) -> Iterator[_Added]:
    for token in added_tokens(folder, description):
        yield token.id, token.content, token.special


def _added(number: object, entry: Json) -> Iterator[_Added]:
    text = entry.get("content")
    if isinstance(number, int) and isinstance(text, str):
        yield number, text, entry.get("special") is True


def _described_pieces(description: Json) -> dict[int, tuple[str, float, int]]:
    """Return text, score and type by id; the scores of a BPE are its merges' ranks, as SentencePiece has them."""
    model = cast("Json", description["model"])
    if model.get("type") == "Unigram":
        pairs = cast("list[tuple[str, float]]", model.get("vocab") or [])
        scored = {number: (text, float(score)) for number, (text, score) in enumerate(pairs)}
        unknown = model.get("unk_id")
    else:
        numbers = cast("dict[str, int]", model.get("vocab") or {})
        scores = _ranks(numbers, model.get("merges"))
        scored = {number: (text, scores.get(text, 0.0)) for text, number in numbers.items()}
        unknown = numbers.get(name) if isinstance(name := model.get("unk_token"), str) else None
    found: dict[int, tuple[str, float, int]] = {}
    for number, (text, score) in scored.items():
        kind = TokenType.UNKNOWN if number == unknown else TokenType.NORMAL
        if sentencepiece.BYTE_TOKEN.fullmatch(text):
            kind = TokenType.BYTE
        found[number] = text, score if kind == TokenType.NORMAL else 0.0, int(kind)
    return found


def _ranks(numbers: Mapping[str, int], merges: object) -> dict[str, float]:
    """Return the score of each piece: the earlier it is merged the higher, single characters lowest by id."""
    scores: dict[str, float] = {}
    for pair in cast("list[object]", merges if isinstance(merges, list) else []):
        text = pair.replace(" ", "", 1) if isinstance(pair, str) else "".join(cast("list[str]", pair))
        if text in numbers:
            scores.setdefault(text, float(-len(scores)))
    for text, _number in sorted(numbers.items(), key=lambda item: item[1]):
        if len(text) == 1:
            scores.setdefault(text, float(-len(scores)))
    return scores
