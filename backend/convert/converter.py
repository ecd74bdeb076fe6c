"""Turn a Hugging Face folder into a GGUF, without torch: plan everything, then stream the weights.

"Right" is what llama.cpp's own convert_hf_to_gguf.py writes for the same folder; the tests compare byte for byte.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from backend.convert import adapter, stream, verify, writer
from backend.convert.cast import Raw
from backend.convert.digest import SourceDigests
from backend.convert.keys import Keys
from backend.convert.metadata import add_metadata
from backend.convert.names import LLAMA_CPP, OLLAMA, OURS
from backend.convert.overwrite import refuse_own_files
from backend.convert.plan import FILE_TYPES, QUANTIZATION_VERSION
from backend.convert.planning import Plan, make_plan
from backend.convert.special import CHAT_TEMPLATE, ID_KEYS
from backend.convert.vocabulary import Vocabulary
from data.errors import RequestError
from data.i18n import Message, _


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a training run changes of the tokenizer's keys; None leaves what the folder says."""

    chat_template: str | None = None
    add_bos: bool | None = None
    eos: str | None = None
    """The text of the token that ends an answer"""
    eot: str | None = None
    """The text of the token that ends a turn"""
    description: str | None = None
    """``general.description``"""

    @property
    def any(self) -> bool:
        """Whether something is changed."""
        return any(value is not None for value in astuple(self))


@dataclass(frozen=True, slots=True)
class Digests:
    """BLAKE3 in hexadecimal: of the GGUF, and of each file that weights were read from."""

    target: str
    sources: Mapping[Path, str]


@dataclass(frozen=True, slots=True)
class Quantised:
    """Who made the type that a GGUF has, where it was not this converter."""

    program: Path
    imatrix: Path | None
    imatrix_digest: str
    """BLAKE3 in hexadecimal; empty where there is none"""


@dataclass(frozen=True, slots=True)
class Scripted:
    """The script of llama.cpp that made a GGUF, where it was not this converter."""

    converter: ClassVar = LLAMA_CPP
    key: ClassVar = "script"
    path: Path
    digest: str
    """BLAKE3 in hexadecimal"""
    python: Path

    def as_json(self) -> dict[str, object]:
        """Return what stands under ``key`` in the sidecar."""
        return {"program": str(self.path), "blake3": self.digest, "python": str(self.python)}


@dataclass(frozen=True, slots=True)
class Imported:
    """The Ollama whose import of safetensors made a GGUF, where it was not this converter."""

    converter: ClassVar = OLLAMA
    key: ClassVar = "ollama"
    path: Path
    version: str

    def as_json(self) -> dict[str, object]:
        """Return what stands under ``key`` in the sidecar."""
        return {"program": str(self.path), "version": self.version}


@dataclass(frozen=True, slots=True)
class Base:
    """The model that an adapter goes with."""

    name: str
    """What the adapter calls it: a folder, or owner/name on a hub; empty where it names none"""
    folder: Path
    """Where its config.json was read"""

    def as_json(self) -> dict[str, object]:
        """Return what the sidecar says of it."""
        return {"name": self.name or None, "folder": str(self.folder.absolute())}


@dataclass(frozen=True, slots=True)
class ConvertReport:
    """What a conversion made."""

    target: Path
    architecture: str
    outtype: str
    tensors: int
    size_bytes: int
    pre_tokenizer: str
    """llama.cpp's name of the rule, e.g. ``llama-bpe``; ``default`` for SentencePiece"""
    pre_tokenizer_found_by: str
    """``ids`` (of the check text), ``structure`` (of tokenizer.json), or empty for SentencePiece"""
    digests: Digests
    source: Path
    """The folder of the model, or of the adapter"""
    source_architecture: str
    """What config.json calls it"""
    left_out: int = 0
    """How many weights belong to pictures: the GGUF holds the text"""
    made_by: Scripted | Imported | None = None
    """None for this converter"""
    quantised: Quantised | None = None
    base: Base | None = None
    """Of an adapter"""
    warnings: tuple[Message, ...] = ()
    """What is odd, and no failure"""

    def as_json(self) -> dict[str, object]:
        """Return the values of the job's result."""
        return {
            "gguf": str(self.target),
            "architecture": self.architecture,
            "outtype": self.outtype,
            "tensors": self.tensors,
            "bytes": self.size_bytes,
            "pre_tokenizer": self.pre_tokenizer,
            "pre_tokenizer_found_by": self.pre_tokenizer_found_by,
            "blake3": self.digests.target,
            "left_out": self.left_out,
            "warnings": [warning.as_json() for warning in self.warnings],
            "converter": self.made_by.converter if self.made_by else OURS,
        }


class _Told(NamedTuple):
    """What the report says of vocabulary and keys."""

    pre: str = ""
    found_by: str = ""
    warnings: tuple[Message, ...] = ()


def convert(
    source: Path,
    target: Path,
    *,
    outtype: str = "auto",
    name: str | None = None,
    chat_template: str | None = None,
    add_bos: bool | None = None,
    eos: str | None = None,
    eot: str | None = None,
    description: str | None = None,
    replace: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> ConvertReport:
    """Write the model in the folder ``source`` to the file ``target``.

    ``outtype`` is f32, f16, bf16, q8_0 or auto (the source's own 16-bit type). ``name`` and ``description`` are keys
    of ``general.``; the four between them replace what the folder's tokenizer says. ``progress`` gets bytes of weights
    written and in all. The target gets its name only when the new file is whole and has been read back, and takes that
    of an older one only with ``replace``; memory stays under 300 MB.

    Raises RequestError for a folder that cannot be converted, AppError for NaN or Inf, a full disk or a failing one,
    and ``stream.Stopped`` soon after ``stop_requested`` says so. Nothing is left behind in any of these cases.
    """
    plan = make_plan(source, outtype)
    with SourceDigests() as passed:
        passed.begin(next(part.weight.path for tensor in plan.tensors for part in tensor.parts))
        head, told = _head(plan, name, Overrides(chat_template, add_bos, eos, eot, description))
        return _written(plan, head, told, source, target, passed, progress, stop_requested, replace=replace)


def convert_adapter(
    source: Path,
    target: Path,
    *,
    base: Path | None = None,
    outtype: str = "auto",
    name: str | None = None,
    description: str | None = None,
    replace: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> ConvertReport:
    """Write the LoRA adapter in the folder ``source`` to the file ``target``, as ``convert`` does with a whole model.

    ``base`` is the folder of its base model, of which config.json is enough; by default what the adapter names.
    """
    found = adapter.read_adapter(source, base)
    refuse_own_files(target, (found.base.path,))
    plan = adapter.plan_adapter(found, outtype)
    keys, warnings = adapter.adapter_keys(found, plan, name, description)
    head = writer.header(keys, plan.tensors, plan.outtype)
    with SourceDigests() as passed:
        told = _Told(warnings=warnings)
        report = _written(plan, head, told, source, target, passed, progress, stop_requested, replace=replace)
    return dataclasses.replace(report, base=Base(found.own_base, found.base.path))


def _written(
    plan: Plan,
    head: bytes,
    told: _Told,
    source: Path,
    target: Path,
    passed: SourceDigests,
    progress: Callable[[int, int], None],
    stop_requested: Callable[[], bool],
    *,
    replace: bool,
) -> ConvertReport:
    size = len(head) + sum(writer.padded(tensor.size_bytes(plan.outtype)) for tensor in plan.tensors)
    if stop_requested():
        raise stream.Stopped
    with stream.Sources() as sources, writer.writing(target, size, replace=replace) as output:
        output.write(head)
        _write_tensors(plan, stream.stream(sources, plan, stop_requested, passed), output, progress)
        output.end()
        digests = Digests(output.digest(), {path: passed.result(path) for path in plan.files})
        verify.verify(output.temporary, plan, sources, size)
        output.wait()
        if stop_requested():
            raise stream.Stopped
    return ConvertReport(
        target,
        plan.family.arch,
        plan.outtype,
        len(plan.tensors),
        size,
        told.pre,
        told.found_by,
        digests=digests,
        source=source,
        source_architecture=plan.folder.architecture,
        left_out=plan.left_out,
        warnings=told.warnings,
    )


def _head(plan: Plan, name: str | None, overrides: Overrides) -> tuple[bytes, _Told]:
    """Return the header, and what is told of vocabulary and keys; the rest of them is free again."""
    vocabulary = plan.family.vocabulary(plan.folder, plan.hparams)
    keys, warnings = build_keys(plan, vocabulary, name, overrides)
    pre = vocabulary.pre_tokenizer
    told = _Told(vocabulary.pre, pre.found_by if pre else "", (*vocabulary.warnings(), *warnings))
    return writer.header(keys, plan.tensors, plan.outtype), told


def build_keys(
    plan: Plan, vocabulary: Vocabulary, name: str | None, overrides: Overrides
) -> tuple[Keys, tuple[Message, ...]]:
    """Return all keys of the GGUF, in llama.cpp's order, then what ``overrides`` changes; and what was left out."""
    keys = Keys()
    keys.text("general.architecture", plan.family.arch)
    plan.family.add_early_keys(keys, plan.hparams)
    keys.text("general.type", "model")
    warnings = add_metadata(keys, plan.folder.path, plan.family.arch, plan.tensors, name)
    plan.family.add_keys(keys, plan.hparams, FILE_TYPES[plan.outtype])
    keys.whole("general.quantization_version", QUANTIZATION_VERSION)
    vocabulary.add_keys(keys)
    override(keys, overrides, vocabulary.id_of)
    return keys, warnings


def override(keys: Keys, overrides: Overrides, id_of: Callable[[str], int | None]) -> None:
    """Set what ``overrides`` changes; ``id_of`` knows the vocabulary. RequestError for a token that it lacks."""
    if overrides.description is not None:
        keys.text("general.description", overrides.description)
    if overrides.chat_template is not None:
        keys.text(CHAT_TEMPLATE, overrides.chat_template)
    if overrides.add_bos is not None:
        keys.flag("tokenizer.ggml.add_bos_token", overrides.add_bos)
    for role, text in (("eos", overrides.eos), ("eot", overrides.eot)):
        if text is None:
            continue
        number = id_of(text)
        if number is None:
            raise RequestError(
                _("The model has no token {text}", text=text),
                _("It was to become the {role} token.", role=role),
                _(
                    "Use the template that the model was trained with. If it is that one, the folder's tokenizer is "
                    "not the training's: copy the tokenizer files that the run has saved into it."
                ),
            )
        keys.whole(ID_KEYS[role], number)


def _write_tensors(
    plan: Plan, arriving: Iterator[Raw], output: writer.Output, progress: Callable[[int, int], None]
) -> None:
    """Write the data section: each tensor's bytes, padded, in the order of the table."""
    done = 0
    for tensor in plan.tensors:
        remaining = tensor.size_bytes(plan.outtype)
        if tensor.values:
            output.write(tensor.values)
            remaining -= len(tensor.values)
            done += len(tensor.values)
        while remaining:
            raw = next(arriving)
            output.write(raw.view("u1").data)
            remaining -= raw.nbytes
            done += raw.nbytes
            progress(done, plan.data_bytes)
        output.pad()
    progress(done, plan.data_bytes)
