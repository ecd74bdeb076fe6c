"""Where an answer ends: the stop strings of a Modelfile, and the tokens that the GGUF names for it.

Source: LLaMA-Factory ``data/template.py`` (``Template.get_stop_token_ids``, ``fix_special_tokens``).
"""

from __future__ import annotations

from backend.parity.expression import Tokens
from backend.parity.template import CONTENT, Special, Template


def stops(template: Template, tokens: Tokens) -> tuple[str, ...]:
    """Return the texts at which generation stops (LLaMA-Factory ``get_stop_token_ids``): EOS and the stop words."""
    found = [tokens.eos] if tokens.eos else []
    return tuple(dict.fromkeys([*found, *template.stop_words]))


def end_of_turn(template: Template, tokens: Tokens) -> str | None:
    """Return the stop word that ends an answer in training where EOS does not; the GGUF names it as EOT."""
    after = template.assistant
    index = next((n for n, slot in enumerate(after) if isinstance(slot, str) and CONTENT in slot), None)
    if index is None:
        return None
    slot = after[index]
    tail = slot.partition(CONTENT)[2] if isinstance(slot, str) else ""
    if not tail:
        following = after[index + 1] if index + 1 < len(after) else None
        tail = following if isinstance(following, str) else ""
        if following == Special("eos"):
            return None
    word = next((word for word in template.stop_words if tail.startswith(word)), None)
    return None if word == tokens.eos else word
