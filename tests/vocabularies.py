"""Real vocabularies as Hugging Face tokenizer files: rebuilt from llama.cpp's `models/ggml-vocab-*.gguf`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from data.gguf import read_header

BY_THREES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
PRE = {
    "llama-bpe": [{"type": "Split", "pattern": {"Regex": BY_THREES}, "behavior": "Isolated", "invert": False}, BYTES],
    "qwen2": [
        {
            "type": "Split",
            "pattern": {"Regex": BY_THREES.replace("{1,3}", "")},
            "behavior": "Isolated",
            "invert": False,
        },
        BYTES,
    ],
    "gpt-2": [{**BYTES, "use_regex": True}],
    "starcoder": [{"type": "Digits", "individual_digits": True}, {**BYTES, "use_regex": True}],
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

    def added(self, *, special: bool = True) -> list[dict[str, object]]:
        """Return tokenizer.json's added tokens: the control ones, and the user-defined ones as not special."""
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        return [
            {"id": number, "content": token, **flags, "special": kind == 3}
            for number, (token, kind) in enumerate(zip(self.tokens, self.types, strict=True))
            if kind in (3, 4) and (special or kind == 4)
        ]


def write_bpe(gguf: Path, folder: Path, pre: str, *, template: bool, config: dict[str, object] | None = None) -> Vocab:
    """Write tokenizer.json and tokenizer_config.json of a byte-level BPE; ``template`` adds BOS by post-processor."""
    vocab = Vocab(gguf)
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
        "normalizer": {"type": "NFC"} if pre == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": PRE[pre]},
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
            "ignore_merges": pre == "llama-bpe",
            "vocab": {
                token: number for number, token in enumerate(vocab.tokens) if vocab.types[number] not in (3, 4, 5)
            },
            "merges": vocab.merges,
        },
    }
    _write(folder, tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast", **vocab.roles(), **(config or {})})
    return vocab


def write_sentencepiece(gguf: Path, folder: Path, config: dict[str, object] | None = None) -> Vocab:
    """Write tokenizer.json of a SentencePiece BPE with byte fallback, as transformers converts one."""
    vocab = Vocab(gguf)
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


def _with_unknown(vocab: Vocab) -> list[dict[str, object]]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": number, "content": token, **flags}
        for number, (token, kind) in enumerate(zip(vocab.tokens, vocab.types, strict=True))
        if kind in (2, 3)
    ]


def write_pieces(gguf: Path, folder: Path) -> Vocab:
    """Write tokenizer.model (SentencePiece's protocol buffer) with the pieces, scores and types of the vocabulary."""
    import struct

    vocab = Vocab(gguf)
    message = bytearray()
    for token, score, kind in zip(vocab.tokens, vocab.scores, vocab.types, strict=True):
        text = token.encode()
        piece = b"\x0a" + _varint(len(text)) + text + b"\x15" + struct.pack("<f", score) + b"\x18" + _varint(kind)
        message += b"\x0a" + _varint(len(piece)) + piece
    # trainer_spec (field 2) with model_type BPE (field 3, value 2), vocab_size (field 4) and byte_fallback (field 35)
    trainer = b"\x18\x02" + b"\x20" + _varint(len(vocab.tokens)) + _varint(35 << 3) + b"\x01"
    message += b"\x12" + _varint(len(trainer)) + trainer
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(bytes(message))
    return vocab


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
