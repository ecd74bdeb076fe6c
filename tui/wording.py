"""How values are said in both faces: states, kinds of job, durations; text cut by cells, never by characters."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, cast

from rich.cells import cell_len, chop_cells, set_cell_size

from data.i18n import Message, _
from data.jobs.spec import Chain, JobSpec
from data.jobs.status import Progress, Status
from data.size import size
from data.text import inert

# None of these is "ambiguous" in Unicode's East Asian Width: they take one cell in Chinese terminals too.
STATUS_GLYPHS: Final[Mapping[Status, str]] = {
    Status.WAITING: "◦",
    Status.RUNNING: "▸",
    Status.STOPPING: "▾",
    Status.SUCCEEDED: "✓",
    Status.FAILED: "✗",
    Status.STOPPED: "▪",
    Status.LOST: "?",
    Status.UNSUPERVISED: "!",
    Status.UNREACHABLE: "~",
}

STATUS_MEANINGS: Final[Mapping[Status, Message]] = {
    Status.WAITING: _("laid down; starts when what it waits for is there"),
    Status.RUNNING: _("its program works"),
    Status.STOPPING: _("a stop was asked for and is on its way"),
    Status.SUCCEEDED: _("ended well"),
    Status.FAILED: _("ended with an error; the reason is shown"),
    Status.STOPPED: _("ended because somebody stopped it"),
    Status.LOST: _("ended without a word (power, kill -9); can be resumed"),
    Status.UNSUPERVISED: _("its program lives, its supervisor does not; Paddock takes it over"),
    Status.UNREACHABLE: _("runs on another machine or in another container; cannot be asked from here"),
}

KIND_WORDS: Final[Mapping[str, Message]] = {
    "train": _("training"),
    "export": _("merge"),
    "check": _("merge check"),
    "convert": _("GGUF"),
    "deploy": _("deployment"),
    "prove": _("proof"),
    "push": _("push to the hub"),
    "ask": _("question"),
    "base": _("base model"),
    "serve": _("Ollama server"),
    "setup": _("set-up"),
    "command": _("command"),
}

_UNIT_WORDS: Final[Mapping[str, Message]] = {
    "steps": _("steps"),
    "packages": _("packages"),
    "shards": _("shards"),
    "files": _("files"),
    "tensors": _("tensors"),
    "rows": _("rows"),
    "tokens": _("tokens"),
    "conversations": _("conversations"),
    "blocks": _("blocks"),
}


# What Paddock itself calls pipelines and their steps; every other name is somebody's own.
_OWN_NAMES: Final[Mapping[str, Message]] = {
    "demo": _("demo"),
    "deploy": _("deploy"),
    "merge": _("merge"),
    "save again": _("save again"),
    "merge check": _("merge check"),
    "what is missing": _("what is missing"),
}
_OWN_FORMS: Final[tuple[tuple[str, Message], ...]] = (
    (r"export (?P<name>.+)", _("export {name}")),
    (r"GPTQ (?P<bits>\d) bit", _("GPTQ {bits} bit")),
)
"""Those with something in them that is not ours"""
_ARTIFACT_WORDS: Final[Mapping[str, Message]] = {
    "adapter": _("adapter"),
    "base model": _("base model"),
    "checkpoint": _("checkpoint"),
    "environment": _("environment"),
    "gguf": _("GGUF"),
    "model": _("model"),
    "sidecar": _("sidecar"),
}


def job_name(spec: JobSpec) -> str:
    """Return the name of a job; a name that Paddock gave is in the reader's language."""
    return _own_name(spec.name) if spec.chain else spec.name


def chain_title(chain: Chain) -> str:
    """Return the title of a pipeline, as ``job_name`` does."""
    return _own_name(chain.title)


def _own_name(name: str) -> str:
    if name in _OWN_NAMES:
        return str(_OWN_NAMES[name])
    for form, words in _OWN_FORMS:
        found = re.fullmatch(form, name, re.DOTALL)
        if found is not None:
            return str(Message(words.template, found.groupdict()))
    return name


def artifact_word(what: str) -> str:
    """Return the word for a kind of thing that a job makes; an unknown one is its own word."""
    return str(_ARTIFACT_WORDS.get(what, what))


def kind_word(kind: str) -> str:
    """Return the word for a kind of job; an unknown kind is its own word."""
    return str(KIND_WORDS[kind]) if kind in KIND_WORDS else kind


def work_word(spec: JobSpec) -> str:
    """Return the word for what a job does; an export that quantises, or has no adapter, merges nothing."""
    given = spec.params.get("args")
    if spec.kind == "export" and isinstance(given, dict):
        args = cast("Mapping[str, object]", given)
        if args.get("export_quantization_bit"):
            return str(_("quantisation"))
        if args.get("model_name_or_path") and not args.get("adapter_name_or_path"):
            return str(_("save again"))
    return kind_word(spec.kind)


def job_title(spec: JobSpec) -> str:
    """Return what a job is and its name, as the beginning of a line."""
    return str(_("{kind}: {name}", kind=work_word(spec), name=job_name(spec)))


def job_warnings(result: Mapping[str, object]) -> list[str]:
    """Return what the work of a job has said of its result that is odd, and no failure."""
    found = result.get("warnings")
    return (
        [inert(str(Message.from_json(one))) for one in cast("list[object]", found)] if isinstance(found, list) else []
    )


def duration(seconds: float) -> str:
    """Return ``seconds`` to two places: 41 s, 3 min 05 s, 2 h 10 min, 3 d 4 h."""
    if not math.isfinite(seconds):
        return "–"
    if 0 < seconds < 9.95:
        return str(_("{seconds} s", seconds=f"{seconds:.1f}"))
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    if whole < 60:
        return str(_("{seconds} s", seconds=whole))
    if hours == 0:
        return str(_("{minutes} min {seconds} s", minutes=minutes, seconds=f"{rest:02d}"))
    if hours < 24:
        return str(_("{hours} h {minutes} min", hours=hours, minutes=f"{minutes_left:02d}"))
    return str(_("{days} d {hours} h", days=hours // 24, hours=hours % 24))


def clock_span(seconds: float | None) -> str:
    """Return ``seconds`` in the width of a table: 0:41, 13:05, 2:10:00, 13h57m, 3d04h; "" for None."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24}d{hours % 24:02d}h"
    if hours >= 10:
        return f"{hours}h{minutes:02d}m"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def age(then: datetime, now: datetime) -> str:
    """Return how long ago ``then`` was, in the width of a table: 5 s, 12 min, 3 h, 2 d."""
    seconds = max(0.0, (now - then).total_seconds())
    if seconds < 60:
        return str(_("{seconds} s", seconds=int(seconds)))
    if seconds < 3600:
        return str(_("{minutes} min", minutes=int(seconds // 60)))
    if seconds < 86400:
        return str(_("{hours} h", hours=int(seconds // 3600)))
    return str(_("{days} d", days=int(seconds // 86400)))


def number(value: float) -> str:
    """Return a metric to four significant digits: 1.234, 0.0518, 1.8e-05, nan."""
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        text = f"{value:.4g}"
        return text if "e" not in text else f"{value:.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def amount(done: float, total: float | None, unit: str) -> str:
    """Return a count of what is done, in its unit: "13 of 32 steps", "98.1 MB of 270 MB", "4 files"."""
    if unit == "bytes":
        if total is None:
            return size(done)
        return str(_("{done} of {total}", done=size(done), total=size(total)))
    word = str(_UNIT_WORDS[unit]) if unit in _UNIT_WORDS else unit
    if total is None:
        return f"{done:g} {word}"
    return str(_("{done} of {total} {unit}", done=f"{done:g}", total=f"{total:g}", unit=word))


def fraction(progress: Progress | None) -> float | None:
    """Return how far ``progress`` is, 0 to 1; None when it cannot be known."""
    if progress is None or not progress.total:
        return None
    return min(1.0, max(0.0, progress.done / progress.total))


def bar(part: float, width: int) -> tuple[str, str]:
    """Return the filled and the empty piece of a bar of ``width`` cells; they differ in shape, not only in colour."""
    halves = round(min(1.0, max(0.0, part)) * width * 2)
    filled = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return filled, "─" * (width - len(filled))


def clip(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` cells; what was cut off is marked with "…"."""
    if cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    return set_cell_size(text, width - 1).rstrip() + "…"


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return ``text`` in exactly ``width`` cells."""
    text = clip(text, width)
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


# A line may end between two wide characters, too; it neither begins with a closing sign nor ends with an opening one.
_OPENING: Final = "（「『《【"
_CLOSING: Final = "，。、；：！？）」』》】"
_WIDE: Final = "\u2e80-\u2fff\u3040-\u9fff\uac00-\ud7a3\uf900-\ufaff"
# Text, which re compiles at the first use and keeps: that takes 8 ms, and what is drawn first needs no breaking.
_PIECE: Final = (
    rf"( *)([{_OPENING}]*(?:[{_WIDE}][{_CLOSING}…!?,.;:)%]*|[^ {_WIDE}{_OPENING}{_CLOSING}]+[{_CLOSING}]*"
    rf"|[{_CLOSING}]+)|[{_OPENING}]+|$)"
)


def wrap(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` cells, broken at spaces and in Chinese between characters."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        if cell_len(paragraph) <= width:
            lines.append(paragraph.lstrip(" "))
            continue
        line = ""
        for gap, piece in re.findall(_PIECE, paragraph):
            joined = f"{line}{gap}{piece}" if line else piece
            if cell_len(joined) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            pieces = chop_cells(piece, width)
            lines.extend(pieces[:-1])
            line = pieces[-1] if pieces else ""
        lines.append(line)
    return lines


def home_relative(path: str, home: str) -> str:
    """Return ``path`` with the home directory as "~"."""
    return "~" + path[len(home) :] if home not in ("", "/") and (path == home or path.startswith(home + "/")) else path
