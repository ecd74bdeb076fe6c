"""The rules by which byte-level BPE tokenizers cut a text before merging, as the tokenizers of their models have them.

Sources: llama.cpp `src/llama-vocab.cpp` (``llm_tokenizer_bpe``: patterns; ``llama_vocab::impl::load``: which names of
`tokenizer.ggml.pre` mean which rule, and which of them ignore merges for a word that is a token itself).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONTRACTIONS: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_BY_THREES: Final = (
    CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BY_ONES: Final = _BY_THREES.replace("{1,3}", "")
_WITH_MARKS: Final = _BY_ONES.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"\s\p{L}\p{N}", r"\s\p{L}\p{M}\p{N}")
_GPT_2: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_START: Final = r"[^\r\n\p{L}\p{N}]?"
_REST: Final = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN: Final = rf"{_START}{_UPPER}*{_LOWER}+|{_START}{_UPPER}+{_LOWER}*|\p{{N}}{_REST}"
_GPT_4O: Final = (
    rf"{_START}{_UPPER}*{_LOWER}+{CONTRACTIONS}?|{_START}{_UPPER}+{_LOWER}*{CONTRACTIONS}?|\p{{N}}{{1,3}}{_REST}"
)
_CHINESE_AND_KOREAN: Final = "[一-龥ࠀ-一가-퟿]+"
CASED_LETTERS: Final = (
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-"
    "\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ"
    "-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+"
)
"""DeepSeek-LLM's list of the scripts that have upper and lower case; composed letters are spelt out on purpose"""
FULL_WIDTH_SIGNS: Final = "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"
_WORDS_OR_SIGNS: Final = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Patterns, each cutting what those before it have left, and llama.cpp's names for them."""

    patterns: tuple[str, ...]
    names: tuple[str, ...]
    """The first is taken where the family does not prefer another of them"""
    ignoring_merges: tuple[str, ...] = ()
    """Names for a tokenizer with the setting ``ignore_merges``"""


RULES: Final = (
    Rule((_GPT_2,), ("gpt-2", "olmo")),
    Rule((r"\p{N}", _GPT_2), ("smollm", "starcoder", "refact", "command-r")),
    Rule((_BY_THREES,), ("smaug-bpe", "dbrx", "chatglm-bpe"), ("llama-bpe", "glm4")),
    Rule((_BY_ONES,), ("qwen2",)),
    Rule((_WITH_MARKS,), ("qwen35",)),
    Rule((_TEKKEN,), (), ("tekken",)),
    Rule((_GPT_4O,), ("gpt-4o",)),
    Rule(
        (r"[\r\n]", CASED_LETTERS, FULL_WIDTH_SIGNS, r"\s+$", _CHINESE_AND_KOREAN, r"\p{N}"),
        ("deepseek-llm",),
    ),
    Rule((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CHINESE_AND_KOREAN, r"\p{N}"), ("deepseek-coder",)),
    Rule((r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", _WORDS_OR_SIGNS), ("deepseek-v3",)),
)
