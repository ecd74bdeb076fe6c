"""What the viewer of GGUFs lists, and what it says of the line that the cursor is on. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from data.gguf import facts
from data.i18n import Message, _
from data.size import size
from data.text import inert
from tui.inspecting import extent, short_value
from tui.widgets.cells import Parts, part
from tui.widgets.table import Column, Row
from tui.wording import fit

if TYPE_CHECKING:
    from tui.inspecting import Inspection

COLUMNS: Final = (Column(_("name"), 40), Column(_("type"), 14, from_width=78), Column(_("value")))
KEY: Final = "key:"
_SHAPE: Final = 13


def rows(seen: Inspection) -> list[Row]:
    """Return a row for all that the file has: problems first, then facts, keys and tensors.

    Reads the beginnings of arrays from the file: not on the screen's own thread.
    """
    made: list[Row] = []
    for heading, group in (
        (_("Problems"), _problems(seen)),
        (_("Summary"), _summary(seen)),
        (_("Tokenizer"), _tokenizer(seen)),
        (_("Metadata keys"), _keys(seen)),
        (_("Tensors"), _tensors(seen)),
    ):
        found = list(group)
        if found:
            title: Parts = ((str(heading), "title"), (f"  {len(found)}", "muted"))
            made += [Row(f"heading:{heading.english()}", (title,), str(heading), enabled=False), *found]
    return made


def _row(key: str, name: str, kind: str, value: Parts) -> Row:
    return Row(key, (part(inert(name)), part(kind, "muted"), value), f"{name} {kind} {_plain(value)}")


def _problems(seen: Inspection) -> Iterator[Row]:
    for number, problem in enumerate(seen.problems):
        yield _row(f"problem:{number}", f"✗ {problem.rule}", "", part(inert(str(problem.message)), "failed"))


def _summary(seen: Inspection) -> Iterator[Row]:
    header = seen.header
    shares = facts.shares_of(header)
    weights = f"{sum(share.weights for share in shares):,}"
    about: list[tuple[Message, str]] = [
        (_("File"), f"{size(header.size_bytes)}  GGUF {header.version}"),
        (_("Model"), f"{header.architecture or '–'}  {header.text('general.name')}"),
        (_("Weights"), str(_("{count} in {tensors} tensors", count=weights, tensors=len(header.tensors)))),
    ]
    if not seen.problems:
        about.append((_("Check"), str(_("✓ The file agrees with itself."))))
    about += _origin(seen.made)
    for name, text in about:
        yield _row(f"summary:{name.english()}", str(name), "", part(inert(text), "text"))
    for share in shares:
        words = _("{tensors} tensors, {size}", tensors=share.tensors, size=size(share.size_bytes))
        yield _row(f"share:{share.type_name}", f"  {share.type_name}", "", part(str(words), "text"))
    for name, text in facts.templates_of(header).items():
        key = f"{KEY}tokenizer.chat_template{'.' + name if name else ''}"
        # Another key than the row below Metadata keys, where it stands as well: a table's rows are known by their keys.
        yield _row(f"template:{key}", f"{_('Chat template')} {name}".rstrip(), "", part(str(extent(text)), "accent"))


def _origin(made: Mapping[str, object]) -> Iterator[tuple[Message, str]]:
    """Yield what the sidecar says about where the file comes from."""
    match made:
        case {"source": {"folder": str(folder)}}:
            yield _("Made from"), folder
        case _:
            pass
    match made:
        case {"script": {"program": str(program)}} | {"ollama": {"program": str(program)}}:
            yield _("Converted by"), program
        case _:
            pass
    match made:
        case {"base": {"name": str(base)}} | {"base": {"folder": str(base)}}:
            yield _("Base model"), base
        case _:
            pass
    match made:
        case {"run": {"job": str(job)}}:
            yield _("Trained by"), job
        case _:
            pass
    match made:
        case {"training": {"template": str(told)}, "run": {"template": str(trained)}} if told != trained:
            yield _("Template"), str(_("{used}, not {trained} as trained", used=told, trained=trained))
        case {"training": {"template": str(told)}, "run": None}:
            yield _("Template"), told
        case _:
            pass


def _tokenizer(seen: Inspection) -> Iterator[Row]:
    tokenizer = facts.tokenizer_of(seen.header)
    if tokenizer is None:
        return
    for name, text in (
        (_("Model"), f"{tokenizer.model or '–'}  {tokenizer.pre}"),
        (_("Tokens"), f"{tokenizer.tokens:,}"),
        (_("Merges"), f"{tokenizer.merges:,}"),
    ):
        yield _row(f"tokenizer:{name.english()}", str(name), "", part(inert(text), "text"))
    for each in tokenizer.specials:
        token = inert(repr(each.text or "")[1:-1]) or "–"
        yield _row(f"special:{each.role}", each.role, "", ((f"{each.id}  ", "muted"), (token, "text")))
    for name, value in tokenizer.flags:
        yield _row(f"flag:{name}", name, "", part(str(value).lower()))


def _keys(seen: Inspection) -> Iterator[Row]:
    for name in seen.header.keys:
        yield _row(KEY + name, name, seen.header.types[name], part(short_value(seen.header, name)))


def _tensors(seen: Inspection) -> Iterator[Row]:
    for tensor in seen.header.tensors:
        shape = " × ".join(map(str, tensor.shape))
        value: Parts = ((fit(shape, max(_SHAPE, len(shape))), "text"), (f"  {size(tensor.size_bytes)}", "muted"))
        yield _row(f"tensor:{tensor.name}", tensor.name, tensor.type.name, value)


def key_of(row: str) -> str:
    """Return the name of the key whose whole value the row stands for; "" for others."""
    row = row.removeprefix("template:")
    return row.removeprefix(KEY) if row.startswith(KEY) else ""


def about(seen: Inspection, row: Row | None) -> list[Parts]:
    """Return what is said of ``row`` in full."""
    if row is None:
        return []
    key = key_of(row.key)
    if key:
        value = seen.header.keys[key]
        text = inert(value[:1500]) if isinstance(value, str) else _plain(row.cells[2])
        head: Parts = ((inert(key), "accent"), (f"  {seen.header.types[key]}", "muted"))
        return [head, *(part(line) for line in text.split("\n"))]
    if row.key.startswith("problem:"):
        problem = seen.problems[int(row.key.removeprefix("problem:"))]
        return [
            (("✗ ", "failed"), (inert(str(problem.message)), "text")),
            (("→ ", "key"), (str(problem.remedy), "text")),
        ]
    name, kind, value_parts = row.cells
    head = tuple(one for one in (*name, ("  ", ""), *kind) if one[0])
    return [head, part(_plain(value_parts))]


def _plain(parts: Parts) -> str:
    return "".join(text for text, _role in parts)
