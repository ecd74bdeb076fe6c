"""Check before a GGUF goes to a server whether the file agrees with itself.

llama.cpp answers some contradictions with an abort, not an error, and an abort takes Ollama's whole server down with
every other model in it. Source of the rules: llama.cpp `src/llama-vocab.cpp` (``llama_vocab::impl::load``),
`src/llama-model-loader.cpp`, `ggml/src/gguf.cpp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data.gguf.header import Header, read_header
from data.gguf.shapes import MAX_LAYERS, impossible_numbers, misfits
from data.i18n import Message, _

PART: Final = "split.part"
"""The rule of a file that holds a part of a model, and agrees with itself otherwise"""
_TOKENS: Final = "tokenizer.ggml.tokens"
_MERGES: Final = "tokenizer.ggml.merges"
_LAYER: Final = re.compile(r"blk\.(\d+)\.")
_MAX_TOKENS: Final = 500_000
_SPECIAL: Final = re.compile(r"tokenizer\.ggml\.(\w+)_token_id")
_BYTE_TOKENS: Final = frozenset(f"<0x{number:02X}>".encode() for number in range(256))
# Architectures of one shape (attention and a gated feed-forward in every layer) and the tensors each layer must have.
_PLAIN_DECODERS: Final = frozenset({"llama", "qwen2", "qwen3"})
_IN_EVERY_LAYER: Final = ("attn_norm", "attn_output", "ffn_norm")
_ONE_OF_IN_EVERY_LAYER: Final = (
    ("attn_q", "attn_qkv"),
    ("attn_k", "attn_qkv"),
    ("attn_v", "attn_qkv"),
    ("ffn_up", "ffn_up_exps"),
    ("ffn_down", "ffn_down_exps"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One contradiction: ``rule`` is a stable id, ``message`` says what is wrong, ``remedy`` what to do."""

    rule: str
    message: Message
    remedy: Message


def check(file: Path | Header) -> tuple[Problem, ...]:
    """Return what is wrong with a GGUF, given its path or its header; empty when it may go to a server.

    Raises AppError where the header cannot be read at all. Reads the header only, never the weights.
    """
    header = file if isinstance(file, Header) else read_header(file)
    if part := tuple(_part(header)):  # what it lacks is in the other files
        return (*part, *(_layout(header) if header.tensors else ()))
    if header.is_adapter:  # no model of its own: it has neither vocabulary nor layers
        return tuple(_layout(header))
    return (*_layout(header), *_vocabulary(header), *_model(header))


def _part(header: Header) -> Iterator[Problem]:
    """One file of several, each with some tensors of the model (llama.cpp `tools/gguf-split`)."""
    count, number, total = (header.whole(f"split.{name}") for name in ("count", "no", "tensors.count"))
    if count is None or count < 2:
        return
    yield Problem(
        PART,
        _(
            "This is part {number} of {count} of a model: it holds {tensors} of its {total} tensors.",
            number=(number or 0) + 1,
            count=count,
            tensors=len(header.tensors),
            total=total or "?",
        ),
        _(
            "Make one file of all parts with llama.cpp: `llama-gguf-split --merge FIRST WHOLE.gguf`, where FIRST is "
            "part 1 and the others lie beside it."
        ),
    )


def _problem(rule: str, message: Message) -> Problem:
    remedy = _("Convert the model again; if the file came from elsewhere, download it again or tell its maker.")
    return Problem(rule, message, remedy)


def _layout(header: Header) -> Iterator[Problem]:
    """Where the tensors lie: inside the file, aligned, one behind the other as llama.cpp requires."""
    if not header.tensors:
        yield _problem("tensors.none", _("The file holds no tensors: it is a vocabulary only, or was cut off."))
        return
    expected = 0
    for tensor in header.tensors:
        if tensor.offset != expected:
            yield _problem(
                "tensors.offset",
                _(
                    "The tensor {name} begins at byte {offset} of the data, where {expected} is due.",
                    name=tensor.name,
                    offset=tensor.offset,
                    expected=expected,
                ),
            )
            return
        expected += -(-tensor.size_bytes // header.alignment) * header.alignment
    last = header.tensors[-1]
    end = header.data_offset + last.offset + last.size_bytes
    if end > header.size_bytes:
        yield _problem(
            "tensors.cut_off",
            _("The file is cut off: its tensors need {end} bytes, it has {size}.", end=end, size=header.size_bytes),
        )


def _vocabulary(header: Header) -> Iterator[Problem]:
    model = header.text("tokenizer.ggml.model")
    if model in ("no_vocab", "none"):
        return
    tokens = header.array(_TOKENS)
    if not model or tokens is None or tokens.type_name != "string" or not tokens.count:
        yield _problem("vocabulary.missing", _("The file has no vocabulary, so no text can be turned into tokens."))
        return
    if tokens.count > _MAX_TOKENS:
        yield _problem("vocabulary.size", _("{count} tokens are more than any model has.", count=tokens.count))
        return
    yield from _parallel_arrays(header, tokens.count)
    yield from _special_ids(header, tokens.count)
    if model == "gpt2" and header.text("tokenizer.ggml.pre") != "kimi-k2":
        merges = header.array(_MERGES)
        if merges is None or merges.type_name != "string" or not merges.count:
            yield _problem("vocabulary.merges", _("A byte-level BPE vocabulary needs merges; the file has none."))
    yield from _token_texts(header, model)
    yield from _embedding_rows(header, tokens.count)


def _parallel_arrays(header: Header, tokens: int) -> Iterator[Problem]:
    for name, elements in (("tokenizer.ggml.token_type", ("int32", "uint32")), ("tokenizer.ggml.scores", ("float32",))):
        if name not in header.keys:
            continue
        values = header.array(name)
        if values is None or values.type_name not in elements:
            yield _problem(
                "vocabulary.types", _("{name} has the wrong type {type}.", name=name, type=header.types[name])
            )
        elif values.count != tokens:
            yield _problem(
                "vocabulary.counts",
                _("{name} has {count} entries for {tokens} tokens.", name=name, count=values.count, tokens=tokens),
            )


def _special_ids(header: Header, tokens: int) -> Iterator[Problem]:
    for name, value in header.keys.items():
        if not _SPECIAL.fullmatch(name):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < tokens:
            yield _problem(
                "vocabulary.special",
                _("{name} is {value}, but there are {tokens} tokens.", name=name, value=str(value), tokens=tokens),
            )


def _token_texts(header: Header, model: str) -> Iterator[Problem]:
    """Find tokens that occur twice, and SentencePiece vocabularies without the byte tokens that llama.cpp looks up."""
    tokens = header.array(_TOKENS)
    assert tokens is not None  # noqa: S101 - the caller has looked
    twice = tokens.count - len(set(map(hash, tokens.values())))
    if twice:
        yield _problem(
            "vocabulary.duplicates",
            _("{count} tokens of the vocabulary occur more than once; llama.cpp aborts on that.", count=twice),
        )
    if model != "llama":
        return
    wanted = _BYTE_TOKENS.difference(token for token in tokens.values() if isinstance(token, bytes))
    if wanted:
        yield _problem(
            "vocabulary.bytes",
            _(
                "A SentencePiece vocabulary needs the 256 byte tokens <0x00> to <0xFF>; {count} are missing. It may be "
                "a byte-level BPE vocabulary that was converted as SentencePiece.",
                count=len(wanted),
            ),
        )


def _embedding_rows(header: Header, tokens: int) -> Iterator[Problem]:
    for tensor in header.tensors:
        if tensor.name in ("token_embd.weight", "output.weight") and (
            len(tensor.shape) != 2 or tensor.shape[1] != tokens
        ):
            yield _problem(
                "vocabulary.embedding",
                _(
                    "{name} has the shape {shape} for {tokens} tokens.",
                    name=tensor.name,
                    shape=str(tensor.shape),
                    tokens=tokens,
                ),
            )


def _model(header: Header) -> Iterator[Problem]:
    """Compare what the keys of the architecture promise with the tensors that are there."""
    architecture = header.architecture
    if not architecture:
        yield _problem("model.architecture", _("The key general.architecture is missing."))
        return
    yield from _numbers(header, architecture)
    if not header.tensors:
        return
    blocks = header.whole(f"{architecture}.block_count")
    if blocks is None or not 0 < blocks <= MAX_LAYERS:
        yield _problem(
            "model.layers", _("The key {name} is missing or impossible.", name=f"{architecture}.block_count")
        )
        return
    layers = {int(found[1]) for tensor in header.tensors if (found := _LAYER.match(tensor.name))}
    if layers != set(range(blocks)):
        missing = sorted(set(range(blocks)) - layers)
        extra = sorted(layers - set(range(blocks)))
        yield _problem(
            "model.layers",
            _(
                "The keys promise {count} layers; missing {missing}, too many {extra}.",
                count=blocks,
                missing=_some(missing),
                extra=_some(extra),
            ),
        )
        return
    if architecture in _PLAIN_DECODERS:
        yield from _plain_decoder(header, blocks)
    yield from _shapes(header, architecture)


def _plain_decoder(header: Header, blocks: int) -> Iterator[Problem]:
    names = {tensor.name for tensor in header.tensors}
    missing = [name for name in ("token_embd.weight", "output_norm.weight") if name not in names]
    for layer in range(blocks):
        missing += [
            f"blk.{layer}.{part}.weight" for part in _IN_EVERY_LAYER if f"blk.{layer}.{part}.weight" not in names
        ]
        missing += [
            f"blk.{layer}.{choice[0]}.weight"
            for choice in _ONE_OF_IN_EVERY_LAYER
            if not any(f"blk.{layer}.{part}.weight" in names for part in choice)
        ]
    if missing:
        yield _problem("model.tensors", _("Tensors are missing: {names}.", names=_some(missing)))


def _numbers(header: Header, architecture: str) -> Iterator[Problem]:
    for name, value in impossible_numbers(architecture, header.keys):
        yield _problem(
            "model.numbers", _("The key {name} is {value}, which no model has.", name=name, value=str(value))
        )


def _shapes(header: Header, architecture: str) -> Iterator[Problem]:
    """Compare the shapes of the tensors with the keys; of the same tensor in many layers only the first is told."""
    told: set[str] = set()
    for misfit in misfits(architecture, header.keys, ((tensor.name, tensor.shape) for tensor in header.tensors)):
        place = _LAYER.sub("", misfit.tensor)
        if place in told:
            continue
        told.add(place)
        yield _problem(
            "model.shapes",
            _(
                "{name} has the shape {shape}, but {wanted} follows from {keys}.",
                name=misfit.tensor,
                shape=str(misfit.shape),
                wanted=str(misfit.wanted),
                keys=", ".join(f"{architecture}.{key}" for key in misfit.keys),
            ),
        )


def _some(values: list[int] | list[str]) -> str:
    """Return the first few values as text."""
    shown = ", ".join(str(value) for value in values[:4])
    return shown + (f" … ({len(values)})" if len(values) > 4 else "") if values else "–"
