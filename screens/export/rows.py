"""What Export lists: runs with their checkpoints, the room that an export takes, the steps. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from data.i18n import Message, _
from data.size import size
from data.text import inert
from tui.widgets.cells import Parts, part
from tui.widgets.table import Column, Row
from tui.wording import age, home_relative, work_word

if TYPE_CHECKING:
    from backend.export.source import Checkpoint, Run, Source
    from tui.exporting import Prospect

COLUMNS: Final = (
    Column(_("weights")),
    Column(_("size"), 8, right=True),
    Column(_("eval loss"), 9, right=True, from_width=50),
)
_RUN: Final = "run:"
_ELSEWHERE: Final = "elsewhere:"
_KINDS: Final[Mapping[str, Message]] = {
    "adapter": _("adapter"),
    "model": _("whole model"),
    "gguf": _("GGUF"),
}


def weight_rows(runs: Sequence[Run], chosen: Collection[Path], workspace: Path, moment: datetime) -> list[Row]:
    """Return a heading for each run, and a row for each of its weights under it."""
    rows: list[Row] = []
    for run in runs:
        changed = datetime.fromtimestamp(run.changed_at_s, moment.tzinfo)
        words = _("{name} · {age} ago", name=inert(run.facts.template or "–"), age=age(changed, moment))
        heading: Parts = ((inert(_short(run.path, workspace)), "strong"), ("  ", ""), (str(words), "muted"))
        rows.append(Row(f"{_RUN}{run.path}", (heading,), enabled=False))
        rows += [_weights(checkpoint, chosen, str(run.path)) for checkpoint in run.checkpoints]
    return rows


def elsewhere_rows(opened: Iterable[Source], chosen: Collection[Path], home: str) -> list[Row]:
    """Return a heading, and a row for each folder and file that was opened by its path; nothing where there is none."""
    rows = [
        Row(
            str(source.path),
            (_named(inert(source.path.name), _KINDS[source.kind], is_chosen=source.path in chosen), (), ()),
            home_relative(str(source.path), home),
        )
        for source in opened
    ]
    heading = Row(_ELSEWHERE, (part(str(_("From elsewhere")), "strong"),), enabled=False)
    return [heading, *rows] if rows else []


def _named(name: str, kind: Message, *, is_chosen: bool) -> Parts:
    mark = ("● ", "accent") if is_chosen else ("○ ", "faint")
    return (mark, (name, "text"), ("  ", ""), (str(kind), "muted"))


def _weights(checkpoint: Checkpoint, chosen: Collection[Path], run: str) -> Row:
    name = str(_("final weights")) if checkpoint.step is None else f"checkpoint-{checkpoint.step}"
    loss = "" if checkpoint.eval_loss is None else f"{checkpoint.eval_loss:.4f}"
    return Row(
        str(checkpoint.path),
        (
            _named(name, _KINDS[checkpoint.kind], is_chosen=checkpoint.path in chosen),
            part(size(checkpoint.size_bytes), "muted"),
            part(loss, "text"),
        ),
        f"{run} {name}",
    )


def _short(path: Path, workspace: Path) -> str:
    """Return the end of a run's path: below saves/ all of it (LLaMA Board's MODEL/METHOD/RUN), else three parts."""
    for place in (workspace / "saves", workspace):
        if path.is_relative_to(place) and path != place:
            return str(path.relative_to(place))
    return "/".join(path.parts[-3:])


def empty_lines() -> list[Parts]:
    """Return what is said where there is nothing to export."""
    return [
        (),
        part(str(_("No training has left weights here yet.")), "strong"),
        (),
        part(
            str(_("Export merges an adapter into its base, turns the model into GGUF, and puts it into Ollama.")),
            "muted",
        ),
        (),
        (("o   ", "key"), (str(_("Export a folder or a GGUF from elsewhere")), "text")),
        (("1   ", "key"), (str(_("Back to Home: `d` there trains a small real model")), "text")),
    ]


def disk_lines(prospect: Prospect, home: str) -> list[Parts]:
    """Return a line a file system: what is needed of what is free; and whose room nobody here can see."""
    lines: list[Parts] = []
    for disk in prospect.disks:
        mark = ("✓ ", "done") if disk.has_room else ("✗ ", "failed")
        words = _("{needed} of {free} free", needed=size(disk.needed_bytes), free=size(disk.free_bytes))
        lines.append((mark, (str(words), "text" if disk.has_room else "failed")))
        lines.append((("  ", ""), (inert(home_relative(str(disk.folders[0]), home)), "muted")))
    if prospect.unseen:
        lines.append((("? ", "warn"), (str(_("{host}: room not known", host=prospect.unseen)), "text")))
    if not lines and all(spec.kind == "check" for spec in prospect.specs):
        return [part(str(_("Nothing is written.")), "muted")]
    return lines or [part(str(_("Not known before the weights are here.")), "muted")]


def prospect_lines(prospect: Prospect, home: str) -> list[Parts]:
    """Return what starting will do: the steps, what speaks against it, and the room."""
    steps: Parts = ()
    for spec in prospect.specs:
        if steps:
            steps += ((" → ", "faint"),)
        steps += ((work_word(spec), "text"),)
    lines: list[Parts] = [steps, *_places(prospect), ()]
    notes: list[Message] = [*prospect.warnings]
    if prospect.replaces:
        notes.insert(0, _("A model of that name is there; it stays until the new one is whole, then it is replaced."))
    if notes:  # before the room: on a low terminal what comes last has to be paged to
        lines += [*((("! ", "warn"), (str(note), "text")) for note in notes), ()]
    return [*lines, *disk_lines(prospect, home)]


def _places(prospect: Prospect) -> list[Parts]:
    """Return a line for the GGUF, whose name says its type, and for each place that the model gets a name in."""
    plan = prospect.plan
    if plan is None:
        return []
    found: list[tuple[Message, str, str]] = []
    if "convert" in plan.steps and plan.gguf is not None:
        found.append((_("GGUF"), plan.gguf.name, ""))
    if plan.merge is not None and plan.merge.export_hub_model_id:
        found.append((_("On the hub"), plan.merge.export_hub_model_id, ""))
    if plan.deployment is not None:
        found.append((_("In Ollama"), plan.deployment.name, plan.deployment.host))
    return [
        ((f"{place}  ", "muted"), (inert(name), "strong"), (f"  {inert(host)}" if host else "", "muted"))
        for place, name, host in found
    ]
