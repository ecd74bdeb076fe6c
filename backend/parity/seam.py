"""Where a tokenizer of the SentencePiece kind wants a blank between two parts of a conversation.

LLaMA-Factory encodes every part by itself, and such a tokenizer puts a blank before each text that it encodes. Ollama's
runner encodes the whole prompt, with a blank in front and behind special tokens only (llama.cpp `src/llama-vocab.cpp`,
``llama_vocab::impl::tokenize``). So a template has to write the blank where a part that ends in plain text is followed
by one that begins with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

from backend.parity.template import CONTENT, Slots, Token

Start = Literal["text", "content", "token"]


def start_of(slots: Slots, special: Collection[str]) -> Start:
    """Say what a part begins with: plain text, the content of the message, or a token of ``special``."""
    first = slots[0] if slots else ""
    if not isinstance(first, str):
        return "token"
    if first.startswith(CONTENT):
        return "content"
    return "token" if begins_special(first, special) else "text"


def ends_plainly(slots: Slots, special: Collection[str]) -> bool:
    """Say whether a part ends in plain text; its content counts as such."""
    last = slots[-1] if slots else ""
    if isinstance(last, Token):
        return last.text not in special
    return isinstance(last, str) and bool(last) and not any(last.endswith(token) for token in special)


def begins_special(text: str, special: Collection[str]) -> bool:
    """Say whether ``text`` begins with a token, before which no tokenizer puts a blank."""
    return any(text.startswith(token) for token in special)


def joined(
    text: str,
    slots: Slots,
    special: Collection[str] | None,
    *,
    opening: str,
    blank: Callable[[Start], str],
    remember: Callable[[str], str],
) -> str:
    """Return the template ``text`` of a part with the blank before it that its tokens need, in either language.

    ``blank`` writes the blank of a part that begins so; ``remember`` writes for the next part whether this one ends in
    plain text ("true" or "false"). ``opening`` is what the part begins with, where its slots do not tell.
    """
    if special is None:
        return text
    start = "token" if opening and begins_special(opening, special) else start_of(slots, special)
    before = "" if start == "token" else blank(start)
    return before + text + remember(flag(slots, special))


def flag(slots: Slots, special: Collection[str]) -> str:
    """Return ``ends_plainly`` as both template languages write it."""
    return str(ends_plainly(slots, special)).lower()


def whole(pieces: Sequence[str], special: Collection[str]) -> str:
    """Return the text that a runner cuts as a training cuts ``pieces`` one by one: with the blanks between them."""
    text = ""
    for piece in pieces:
        plain = text and not any(text.endswith(token) for token in special)
        text += f" {piece}" if plain and piece and not begins_special(piece, special) else piece
    return text
