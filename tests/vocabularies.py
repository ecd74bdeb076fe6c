"""Real vocabularies as Hugging Face tokenizer files: rebuilt from llama.cpp's `models/ggml-vocab-*.gguf`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from backend.convert import rules
from data.gguf import read_header
from tests import oracle

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
BY_THREES = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED_WITH_CONTRACTIONS = "|".join(f"{half}{CONTRACTIONS}?" for half in CASED.split("|"))
WORDS_OR_SIGNS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
CUT_BYTES = {**BYTES, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def split(pattern: str) -> dict[str, object]:
    """Return the step of tokenizer.json that cuts a text at a pattern."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


# As the tokenizer.json of a model with the rule has it.
PRE: dict[str, list[Any]] = {
    "llama-bpe": [split(BY_THREES), BYTES],
    "smaug-bpe": [split(BY_THREES), BYTES],
    "dbrx": [split(BY_THREES), BYTES],
    "chatglm-bpe": [split(BY_THREES), BYTES],
    "glm4": [split(BY_THREES), BYTES],
    "qwen2": [split(BY_THREES.replace("{1,3}", "")), BYTES],
    "qwen35": [
        split(
            BY_THREES.replace("{1,3}", "")
            .replace(r"\p{L}+", r"[\p{L}\p{M}]+")
            .replace(r"\s\p{L}\p{N}", r"\s\p{L}\p{M}\p{N}")
        ),
        BYTES,
    ],
    "gpt-2": [CUT_BYTES],
    "olmo": [CUT_BYTES],
    "aquila": [CUT_BYTES],
    "gpt-neox": [CUT_BYTES],
    "mpt": [CUT_BYTES],
    "falcon": [
        {"type": "Punctuation", "behavior": "Contiguous"},
        CUT_BYTES,
        {"type": "Digits", "individual_digits": False},
        split("[0-9][0-9][0-9]"),
    ],
    "starcoder": [DIGITS, CUT_BYTES],
    "refact": [DIGITS, CUT_BYTES],
    "smollm": [DIGITS, CUT_BYTES],
    "command-r": [DIGITS, CUT_BYTES],
    "tekken": [split(CASED + r"|\p{N}" + REST), BYTES],
    "gpt-4o": [split(CASED_WITH_CONTRACTIONS + r"|\p{N}{1,3}" + REST), BYTES],
    "deepseek-llm": [
        split(r"[\r\n]"),
        split(rules.CASED_LETTERS),
        split(rules.FULL_WIDTH_SIGNS),
        split(r"\s+$"),
        split(r"[一-龥ࠀ-一가-퟿]+"),
        DIGITS,
        BYTES,
    ],
    "deepseek-coder": [
        split(r"[\r\n]"),
        split(r"\s?\p{L}+"),
        split(r"\s?\p{P}+"),
        split(r"[一-龥ࠀ-一가-퟿]+"),
        DIGITS,
        BYTES,
    ],
    "deepseek-v3": [split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(WORDS_OR_SIGNS), BYTES],
}
_BETWEEN_TEXTS = "\n__ggml_vocab_test__\n"
IGNORES_MERGES = ("llama-bpe", "glm4", "tekken")


def gguf(name: str) -> Path:
    """Return llama.cpp's file of a real vocabulary."""
    return oracle.llama_cpp() / "models" / f"ggml-vocab-{name}.gguf"


@cache
def size(name: str) -> int:
    """Return how many tokens a real vocabulary has."""
    return len(Vocab(gguf(name)).tokens)


def role_ids(name: str) -> dict[str, int]:
    """Return config.json's entries for the ends of a real vocabulary's texts."""
    vocab = Vocab(gguf(name))
    return {
        f"{role}_token_id": number for role, number in (("bos", vocab.bos), ("eos", vocab.eos)) if number is not None
    }


class Vocab:
    """The tokenizer keys of a GGUF, taken apart."""

    def __init__(self, gguf: Path) -> None:
        header = read_header(gguf)
        tokens, types = header.array("tokenizer.ggml.tokens"), header.array("tokenizer.ggml.token_type")
        assert tokens is not None
        assert types is not None
        self.tokens = list(tokens.texts())
        self.types = [int(value) for value in types.values()]
        merges, scores = header.array("tokenizer.ggml.merges"), header.array("tokenizer.ggml.scores")
        self.merges = list(merges.texts()) if merges else []
        self.scores = [float(value) for value in scores.values()] if scores else []
        self.bos = header.whole("tokenizer.ggml.bos_token_id")
        self.eos = header.whole("tokenizer.ggml.eos_token_id")
        self.unk = header.whole("tokenizer.ggml.unknown_token_id")

    def roles(self) -> dict[str, str]:
        """Return tokenizer_config.json's entries for the special tokens."""
        named = {"bos": self.bos, "eos": self.eos, "unk": self.unk}
        return {f"{role}_token": self.tokens[number] for role, number in named.items() if number is not None}

    def inner(self) -> dict[str, int]:
        """Return the vocabulary of tokenizer.json's model: added tokens only where others come behind them."""
        last = max(number for number, kind in enumerate(self.types) if kind == 1)
        return {
            token: number
            for number, (token, kind) in enumerate(zip(self.tokens, self.types, strict=True))
            if kind == 1 or (kind in (3, 4) and number < last)
        }

    def added(self, *, special: bool = True) -> list[dict[str, object]]:
        """Return tokenizer.json's added tokens: the control ones, and the user-defined ones as not special."""
        flags = {"single_word": False, "lstrip": False, "rstrip": False}
        return [
            {"id": number, "content": token, **flags, "normalized": kind == 4, "special": kind == 3}
            for number, (token, kind) in enumerate(zip(self.tokens, self.types, strict=True))
            if kind in (3, 4) and (special or kind == 4)
        ]


def write_bpe(
    name: str, folder: Path, *, template: bool, config: dict[str, object] | None = None, file: Path | None = None
) -> Vocab:
    """Write tokenizer.json and tokenizer_config.json of a real byte-level BPE; ``template`` adds BOS before a text.

    ``file`` is a GGUF whose vocabulary is cut as ``name`` is, but has other tokens.
    """
    vocab = Vocab(file or gguf(name))
    bos = vocab.tokens[vocab.bos or 0]
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    processor = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, sequence],
        "pair": [{"SpecialToken": {"id": bos, "type_id": 0}}, sequence, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [vocab.bos], "tokens": [bos]}},
    }
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": vocab.added(),
        "normalizer": {"type": "NFC"} if name == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": PRE[name]},
        "post_processor": processor if template else {**BYTES, "trim_offsets": False},
        "decoder": {**BYTES, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": name in IGNORES_MERGES,
            "vocab": vocab.inner(),
            "merges": vocab.merges,
        },
    }
    _write(folder, tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", **vocab.roles(), **(config or {})})
    return vocab


def write_small(folder: Path, rule: str, control: Sequence[str], config: Mapping[str, object]) -> None:
    """Write a small byte-level BPE that cuts by ``rule``, trained on llama.cpp's test texts, with control tokens.

    The first control token is BOS, the last EOS, the first stands for the unknown too.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.ByteLevel()
    description = json.loads(tokenizer.to_str())
    description["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": PRE[rule]}
    tokenizer = Tokenizer.from_str(json.dumps(description))
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=list(control), initial_alphabet=sorted(letters))
    tokenizer.train_from_iterator(texts_of("llama-bpe"), trainer)
    description = json.loads(tokenizer.to_str())
    description["model"]["ignore_merges"] = rule in IGNORES_MERGES
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": control[0],
        "eos_token": control[-1],
        "unk_token": control[0],
        **config,
    }
    _write(folder, description, settings)


def texts_of(name: str) -> list[str]:
    """Return llama.cpp's test texts of a real vocabulary."""
    text = gguf(name).with_suffix(".gguf.inp").read_text(encoding="utf-8")
    return text.removesuffix(_BETWEEN_TEXTS).split(_BETWEEN_TEXTS)


def ids_of(name: str) -> list[list[int]]:
    """Return the ids that llama.cpp keeps for each of these texts."""
    lines = gguf(name).with_suffix(".gguf.out").read_text(encoding="utf-8").splitlines()
    return [[int(number) for number in line.split()] for line in lines]


def write_sentencepiece(
    name: str, folder: Path, config: dict[str, object] | None = None, *, file: Path | None = None
) -> Vocab:
    """Write tokenizer.json of a SentencePiece BPE with byte fallback, as transformers converts one."""
    vocab = Vocab(file or gguf(name))
    ids = {token: number for number, token in enumerate(vocab.tokens)}
    pairs = [
        (number, token[:cut], token[cut:])
        for number, token in enumerate(vocab.tokens)
        if vocab.types[number] == 1
        for cut in range(1, len(token))
        if token[:cut] in ids and token[cut:] in ids
    ]
    pairs.sort(key=lambda pair: (-vocab.scores[pair[0]], ids[pair[1]], ids[pair[2]]))
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{**entry, "special": True} for entry in _with_unknown(vocab)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": vocab.tokens[vocab.unk or 0],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": ids,
            "merges": [[left, right] for _number, left, right in pairs],
        },
    }
    _write(folder, tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", **vocab.roles(), **(config or {})})
    return vocab


def write_unigrams(name: str, folder: Path, *, as_model: bool = False) -> Vocab:
    """Write tokenizer.json of SentencePiece's unigrams as transformers converts one; ``as_model`` tokenizer.model."""
    import base64

    vocab = Vocab(gguf(name))
    charsmap = read_header(gguf(name)).array("tokenizer.ggml.precompiled_charsmap")
    assert charsmap is not None
    table = bytes(int(value) for value in charsmap.values())
    if as_model:
        # trainer_spec: model_type unigrams; normalizer_spec: its table, a space before a text, spaces merged
        normalizer = b"\x12" + _varint(len(table)) + table + b"\x18\x01\x20\x01"
        _write_model(vocab, len(vocab.tokens), b"\x18\x01", normalizer, folder)
        return vocab
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{**entry, "special": True} for entry in _with_unknown(vocab)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "WhitespaceSplit"},
                {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {
            "type": "Unigram",
            "unk_id": vocab.unk,
            "vocab": [list(pair) for pair in zip(vocab.tokens, vocab.scores, strict=True)],
            "byte_fallback": False,
        },
    }
    _write(folder, tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", **vocab.roles()})
    return vocab


def _with_unknown(vocab: Vocab) -> list[dict[str, object]]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": number, "content": token, **flags}
        for number, (token, kind) in enumerate(zip(vocab.tokens, vocab.types, strict=True))
        if kind in (2, 3)
    ]


def write_pieces(name: str, folder: Path) -> Vocab:
    """Write tokenizer.model (SentencePiece's protocol buffer) with the pieces, scores and types of the vocabulary.

    What was added to the pieces of Phi-3 comes into tokenizer_config.json, as in its own folder.
    """
    vocab = Vocab(gguf(name))
    count = vocab.tokens.index("<|endoftext|>") if "<|endoftext|>" in vocab.tokens else len(vocab.tokens)
    # trainer_spec (field 2) with model_type BPE (field 3, value 2), vocab_size (field 4) and byte_fallback (field 35)
    trainer = b"\x18\x02" + b"\x20" + _varint(count) + _varint(35 << 3) + b"\x01"
    kinds = {0: 2, 1: 3, 2: 3}
    _write_model(vocab, count, trainer, b"", folder, kinds)
    added = {
        str(number): {"content": token, "special": kind == 3 or number < 3}
        for number, (token, kind) in enumerate(zip(vocab.tokens, vocab.types, strict=True))
        if number < 3 or (number >= count and kind in (3, 4))
    }
    settings = {"tokenizer_class": "LlamaTokenizer", **vocab.roles(), "added_tokens_decoder": added}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")
    return vocab


def _write_model(
    vocab: Vocab,
    count: int,
    trainer: bytes,
    normalizer: bytes,
    folder: Path,
    kinds: Mapping[int, int] | None = None,
) -> None:
    """Write the pieces below ``count`` with what is said of them; ``kinds`` are types that the GGUF has otherwise."""
    import struct

    message = bytearray()
    for number in range(count):
        text = vocab.tokens[number].encode()
        kind = (kinds or {}).get(number, vocab.types[number])
        score = struct.pack("<f", vocab.scores[number] if kind == 1 else 0.0)
        piece = b"\x0a" + _varint(len(text)) + text + b"\x15" + score + b"\x18" + _varint(kind)
        message += b"\x0a" + _varint(len(piece)) + piece
    message += b"\x12" + _varint(len(trainer)) + trainer
    if normalizer:
        message += b"\x1a" + _varint(len(normalizer)) + normalizer
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(bytes(message))


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _write(folder: Path, tokenizer: Mapping[str, object], config: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
