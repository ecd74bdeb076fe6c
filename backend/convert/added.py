"""The added tokens of tokenizer.json under the ids that a training meets them by.

The library gives a token that the model's vocabulary lacks the next free id, whatever the file says: holes between the
ids of a file are closed. Sources: huggingface/tokenizers `tokenizers/src/tokenizer/added_vocabulary.rs` ``add_tokens``;
transformers 5.6, which adds them by their ids to the tokenizers that it has a class of its own for, else as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Final, cast

from backend.convert.folder import Json, ModelFolder

_AS_THEY_STAND: Final = ("PreTrainedTokenizerFast", "TokenizersBackend")


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is found as a whole before a text is cut."""

    id: int
    content: str
    normalized: bool
    special: bool


def added_tokens(folder: ModelFolder, description: Json | None) -> tuple[AddedToken, ...]:
    """Return the added tokens of ``description``, which is tokenizer.json of ``folder``; the first of equal texts."""
    listed = [token for token in _listed(description or {}) if token.content]
    if (folder.json("tokenizer_config.json") or {}).get("tokenizer_class") not in _AS_THEY_STAND:
        listed.sort(key=lambda token: token.id)
    known, size = _vocabulary(description or {})
    texts = dict.fromkeys(token.content for token in listed)
    following = count(size)
    ids = {text: known[text] if text in known else next(following) for text in texts}
    return tuple(replace(token, id=ids.pop(token.content)) for token in listed if token.content in ids)


def _listed(description: Json) -> Iterator[AddedToken]:
    entries = description.get("added_tokens")
    for item in cast("list[object]", entries if isinstance(entries, list) else []):
        entry: Json = cast("Json", item) if isinstance(item, dict) else {}
        number, content = entry.get("id"), entry.get("content")
        if isinstance(number, int) and number >= 0 and isinstance(content, str):
            yield AddedToken(number, content, entry.get("normalized") is True, entry.get("special") is True)


def _vocabulary(description: Json) -> tuple[Mapping[str, int], int]:
    """Return the ids of the model's own tokens, and how many there are, which need not be behind the highest."""
    model = description.get("model")
    vocab = cast("Json", model).get("vocab") if isinstance(model, dict) else None
    if isinstance(vocab, dict):
        return cast("dict[str, int]", vocab), len(cast("Json", vocab))
    pairs = cast("list[object]", vocab if isinstance(vocab, list) else [])
    texts = [cast("list[object]", pair)[0] if isinstance(pair, list) and pair else None for pair in pairs]
    return {text: number for number, text in enumerate(texts) if isinstance(text, str)}, len(pairs)
