"""A Llama of one small random layer in a GGUF, under any vocabulary: quick to load, and the road is the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np

from data.gguf import read_header

_WIDTH = 32
_CONTROL = 3
_NORMAL = 1


def byte_tokens() -> list[str]:
    """Return the 256 bytes as byte-level BPE writes them (GPT-2 ``bytes_to_unicode``)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    letters = {byte: chr(byte) for byte in shown} | {byte: chr(256 + number) for number, byte in enumerate(hidden)}
    return [letters[byte] for byte in range(256)]


@dataclass
class Vocabulary:
    """What stands of a tokenizer in a GGUF."""

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    bos: int | None = None
    eos: int | None = None
    space_prefix: bool | None = None

    @classmethod
    def of_bytes(cls) -> Vocabulary:
        """Return a byte-level BPE with one merge and no special tokens."""
        tokens = byte_tokens()
        return cls("gpt2", "gpt-2", [*tokens, "Ġt"], [_NORMAL] * (len(tokens) + 1), ["Ġ t"])

    @classmethod
    def of_marks(cls, *marks: str) -> Vocabulary:
        """Return the one of bytes with control tokens behind it, the first for BOS and the last for EOS."""
        made = cls.of_bytes()
        numbers = [made.number(mark) for mark in marks]
        made.bos, made.eos = numbers[0], numbers[-1]
        return made

    @classmethod
    def of_gguf(cls, path: Path) -> Vocabulary:
        """Read the vocabulary of a GGUF, as llama.cpp's ``models/ggml-vocab-*.gguf``."""
        header = read_header(path)

        def texts(name: str) -> list[str]:
            array = header.array(f"tokenizer.ggml.{name}")
            return list(array.texts()) if array is not None else []

        def numbers(name: str) -> list[float]:
            array = header.array(f"tokenizer.ggml.{name}")
            return [float(value) for value in array.values()] if array is not None else []

        space_prefix = header.keys.get("tokenizer.ggml.add_space_prefix")
        return cls(
            header.text("tokenizer.ggml.model"),
            header.text("tokenizer.ggml.pre"),
            texts("tokens"),
            [int(kind) for kind in numbers("token_type")],
            texts("merges"),
            numbers("scores"),
            header.whole("tokenizer.ggml.bos_token_id"),
            header.whole("tokenizer.ggml.eos_token_id"),
            space_prefix if isinstance(space_prefix, bool) else None,
        )

    def special(self) -> frozenset[str] | None:
        """Return the special tokens where a blank stands before every other text (SentencePiece)."""
        if self.model != "llama" or self.space_prefix is False:
            return None
        return frozenset(token for token, kind in zip(self.tokens, self.types, strict=True) if kind in (2, 3, 4))

    def number(self, token: str) -> int:
        """Return the id of a control token, which is added where it is missing."""
        if token in self.tokens:
            number = self.tokens.index(token)
            if self.types[number] == _NORMAL:
                self.types[number] = _CONTROL
            return number
        self.tokens.append(token)
        self.types.append(_CONTROL)
        if self.scores:
            self.scores.append(-1000.0)
        return len(self.tokens) - 1


def write(
    path: Path,
    vocabulary: Vocabulary,
    *,
    add_bos: bool | None,
    chat_template: str | None = None,
    context_length: int = 8192,
    eot: int | None = None,
    width: int = _WIDTH,
) -> Path:
    """Write the GGUF; ``add_bos`` None leaves the key out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(context_length)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _write_tokenizer(writer, vocabulary, add_bos, eot)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    random = np.random.default_rng(7)
    shapes: dict[str, Sequence[int]] = {
        "token_embd": (len(vocabulary.tokens), width),
        **{f"blk.0.{part}": (width, width) for part in ("attn_q", "attn_k", "attn_v", "attn_output")},
        **{f"blk.0.{part}": (width, width) for part in ("ffn_gate", "ffn_up", "ffn_down")},
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.05, shape).astype(np.float16))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_tokenizer(writer: gguf.GGUFWriter, vocabulary: Vocabulary, add_bos: bool | None, eot: int | None) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    if vocabulary.pre:
        writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    if vocabulary.bos is not None:
        writer.add_bos_token_id(vocabulary.bos)
    if vocabulary.eos is not None:
        writer.add_eos_token_id(vocabulary.eos)
    if eot is not None:
        writer.add_eot_token_id(eot)
    if add_bos is not None:
        writer.add_add_bos_token(add_bos)
    if vocabulary.space_prefix is not None:
        writer.add_add_space_prefix(vocabulary.space_prefix)
