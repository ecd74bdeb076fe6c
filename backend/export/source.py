"""What a person can export: the runs below a workspace with their checkpoints, or a folder or file by its path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from backend.convert.plan import Counts
from backend.convert.sidecar import read_sidecar, sidecar_of
from backend.lf.peft import ADAPTER_CONFIG, ADAPTER_WEIGHTS, base_of
from backend.parity.training import Training
from backend.train import checkpoint
from backend.train.record import RunFacts, facts_in, read_facts
from data.errors import AppError, RequestError
from data.gguf import read_header
from data.i18n import _
from data.jsontext import parse_json

Kind = Literal["adapter", "model", "gguf"]

_SAVES: Final = "saves"
_DEPTH: Final = 3
"""LLaMA Board's saves/MODEL/METHOD/RUN"""
_MOST_FOLDERS: Final = 5000
_GGUF_MAGIC: Final = b"GGUF"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One set of weights of a run."""

    path: Path
    step: int | None
    """None: the weights at the end, in the run's own folder"""
    kind: Kind
    size_bytes: int
    """Of the weights alone"""
    eval_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A training's output_dir with something in it to export."""

    path: Path
    checkpoints: tuple[Checkpoint, ...]
    """The end first, then the newest step"""
    facts: RunFacts
    changed_at_s: float
    """When its last weights were written, Unix time"""


@dataclass(frozen=True, slots=True)
class Source:
    """What an export starts from."""

    kind: Kind
    path: Path
    facts: RunFacts
    """Empty where nobody recorded them"""
    base: str = ""
    """The base model of an adapter"""
    counts: Counts | None = None
    """How large its GGUF will be; None where its weights, or those under an adapter, cannot be read here"""
    own_type: str = ""
    """What the GGUF's type ``auto`` stands for; empty where nobody can tell yet"""
    told: RunFacts | None = None
    """What the conversion of a GGUF was told of its training; None where nobody told it anything"""

    @property
    def prompt(self) -> RunFacts:
        """What it is deployed as, unless a person says otherwise: what its GGUF says, else what was recorded."""
        return self.told or self.facts


def find_runs(workspace: Path, output_dirs: Iterable[Path] = ()) -> list[Run]:
    """Return the runs below ``workspace``/saves and in ``output_dirs`` (those of jobs), newest first."""
    places = {path.resolve(): path for path in (*_below(workspace / _SAVES, _DEPTH), *output_dirs)}
    runs = [run for path in places.values() if (run := read_run(path)) is not None]
    return sorted(runs, key=lambda run: run.changed_at_s, reverse=True)


def read_run(path: Path) -> Run | None:
    """Return the run in ``path``; None where it holds no weights."""
    state = checkpoint.inspect(path)
    folders: list[tuple[int | None, Path]] = [(None, path)] if state.has_weights else []
    folders += [(step, path / f"checkpoint-{step}") for step in reversed(state.checkpoints)]
    losses = _eval_losses(path, state)
    found = [
        Checkpoint(folder, step, kind, weight_bytes(folder), losses.get(step) if step is not None else None)
        for step, folder in folders
        if (kind := _kind_of(folder)) is not None
    ]
    if not found:
        return None
    changed = max(folder.path.stat().st_mtime for folder in found)
    return Run(path, tuple(found), read_facts(path), changed)


def read_source(path: Path) -> Source:
    """Recognise what lies at ``path``; raises RequestError where nothing can be exported from it.

    An output_dir or a checkpoint of an adapter, a model in Hugging Face's form, or a GGUF of a model.
    """
    if path.is_file():
        with path.open("rb") as stream:
            if stream.read(len(_GGUF_MAGIC)) == _GGUF_MAGIC:
                refuse_adapter(path)
                return Source("gguf", path, gguf_facts(path), told=told_facts(path))
        raise RequestError(
            _("{path} is no GGUF", path=str(path)),
            _("A GGUF begins with the letters GGUF."),
            _("Name a GGUF, a model's folder, or the output_dir of a training."),
        )
    kind = _kind_of(path) if path.is_dir() else None
    if kind is None:
        raise _nothing_there(path)
    from backend.export.foretold import of_merge, of_model  # noqa: PLC0415 - numpy comes with them

    base = base_of(path) if kind == "adapter" else ""
    return Source(kind, path, read_facts(path), base, *(of_merge(base) if kind == "adapter" else of_model(path)))


def refuse_adapter(gguf: Path) -> None:
    """Raise RequestError where a GGUF is an adapter, which is no model; what cannot be read is left to other checks."""
    try:
        is_adapter = read_header(gguf).is_adapter
    except AppError:
        return
    if is_adapter:
        raise RequestError(
            _("{file} is an adapter, and no model", file=gguf.name),
            _("It holds what a training changed, to be loaded beside its base: {path}", path=str(gguf)),
            _(
                "Name the output_dir of the training instead: it is merged first. For the adapter itself, write a "
                "Modelfile with FROM its base and ADAPTER this file, and give it to `ollama create`."
            ),
        )


def gguf_facts(gguf: Path) -> RunFacts:
    """Return what the training of a GGUF decided: by its sidecar, which is of this very file, else by its folder."""
    sidecar = read_sidecar(gguf)
    facts = facts_in(sidecar.get("run"), sidecar_of(gguf)) if sidecar is not None else RunFacts()
    return facts if facts.origin else read_facts(gguf.parent)


def told_facts(gguf: Path) -> RunFacts | None:
    """Return what the conversion to a GGUF was told of the training, by its sidecar; None where it was told nothing."""
    try:
        training = Training.read((read_sidecar(gguf) or {}).get("training"))
    except RequestError:
        return None
    if training is None:
        return None
    return RunFacts(
        training.template,
        training.enable_thinking,
        training.default_system,
        training.cutoff_len or None,
        training.tool_format,
        str(sidecar_of(gguf)),
        training.preserve_thinking,
    )


def weight_bytes(folder: Path) -> int:
    """Return the bytes of the safetensors directly in ``folder``."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _kind_of(folder: Path) -> Kind | None:
    if (folder / ADAPTER_CONFIG).is_file() and (folder / ADAPTER_WEIGHTS).is_file():
        return "adapter"
    if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        return "model"
    return None


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Yield folders with a recorded run or weights, at most ``depth`` deep and so many that a look stays cheap."""
    queue, seen = [(folder, 0)], 0
    while queue and seen < _MOST_FOLDERS:
        place, level = queue.pop()
        try:
            entries = [entry for entry in os.scandir(place) if entry.is_dir(follow_symlinks=True)]
        except OSError:
            continue
        seen += 1
        if level and checkpoint.inspect(place).holds_anything:
            yield place
        elif level < depth:
            queue += [(Path(entry.path), level + 1) for entry in entries]


def _eval_losses(path: Path, state: checkpoint.OutputDir) -> dict[int, float]:
    """Return the evaluation loss at each step that has one, from the newest trainer_state.json."""
    last = path / f"checkpoint-{state.last_checkpoint}" if state.last_checkpoint else path
    for folder in (path, last):
        try:
            value: object = parse_json((folder / "trainer_state.json").read_bytes())
        except (OSError, ValueError):
            continue
        history = cast("dict[str, object]", value).get("log_history") if isinstance(value, dict) else None
        losses: dict[int, float] = {}
        for entry in cast("list[object]", history) if isinstance(history, list) else []:
            match entry:
                case {"step": int(step), "eval_loss": float(loss)}:
                    losses[step] = loss
                case _:
                    pass
        return losses
    return {}


def _nothing_there(path: Path) -> RequestError:
    if not path.exists():
        return RequestError(
            _("There is nothing at {path}", path=str(path)),
            "",
            _("Name the output_dir of a training, a checkpoint in it, a model's folder, or a GGUF."),
        )
    found = checkpoint.inspect(path)
    if found.checkpoints:
        return RequestError(
            _("This run has checkpoints, but no weights at its end"),
            str(path),
            _("Name one of them: {path}", path=path / f"checkpoint-{found.last_checkpoint}"),
        )
    if any(path.glob("*.bin")):
        return RequestError(
            _("The weights in {path} are pickled", path=str(path)),
            _("A pickle runs whatever program its maker put into it when it is opened."),
            _("If you trust it, load it with transformers and save it again with save_pretrained: .safetensors."),
        )
    return RequestError(
        _("There are no weights in {path}", path=str(path)),
        _("It has neither adapter_model.safetensors nor a model's safetensors."),
        _("Name the output_dir of a training, a checkpoint in it, a model's folder, or a GGUF."),
    )


def training_of(facts: RunFacts, template: str | None = None) -> Training | None:
    """Return what a run's record says for its GGUF, its Modelfile and its proof; None where nobody names a template.

    ``template`` wins over the record. The one place where a record becomes a training.
    """
    name = template or facts.template
    if not name:
        return None
    return Training(
        template=name,
        default_system=facts.default_system,
        enable_thinking=facts.enable_thinking if facts.origin else True,  # as LLaMA-Factory takes it unsaid
        preserve_thinking=facts.preserve_thinking,
        tool_format=facts.tool_format,
        cutoff_len=facts.cutoff_len or 0,
    )
