"""The names of those who can make a GGUF of a folder."""

from __future__ import annotations

from typing import Final

AUTO: Final = "auto"
OURS: Final = "paddock"
LLAMA_CPP: Final = "llama.cpp"
OLLAMA: Final = "ollama"
FOREIGN: Final = (LLAMA_CPP, OLLAMA)
"""Other people's programs"""
CONVERTERS: Final = (AUTO, OURS, *FOREIGN)
"""``auto`` is the third for what the second does not know, and the fourth where there is no third"""
