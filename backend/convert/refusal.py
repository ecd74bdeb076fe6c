"""What our converter refuses because it does not know it, and others may: they are asked instead."""

from __future__ import annotations

from typing import Final

from data.errors import RequestError
from data.i18n import Message, _

REMEDY: Final = _(
    "Name the folder of a recent llama.cpp in the setting llama_cpp_dir: its convert_hf_to_gguf.py then does it. "
    "Or try Ollama's import: the converter ollama."
)


class UnknownHereError(RequestError):
    """An architecture, a tokenizer or a setting that our converter does not know."""

    def __init__(self, title: Message, detail: Message | str, hint: Message = REMEDY) -> None:
        super().__init__(title, detail, hint)
