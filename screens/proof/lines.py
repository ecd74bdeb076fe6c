"""What the proof says: a row for each conversation, and text against text, token against token. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.cells import chop_cells

from data.i18n import Message, _
from data.text import inert
from tui.proving import mend_words, praise, shortfall
from tui.widgets.cells import Parts, fit_parts, part
from tui.widgets.table import Column, Row

if TYPE_CHECKING:
    from tui.proving import CaseView, ProofView

COLUMNS: Final = (Column(Message("")), Column(Message(""), 12, right=True))
SOURCES: Final = {"asked": _("as asked"), "record": _("recorded"), "guess": _("a guess")}
WHO_SAYS: Final = {
    "asked": _("As somebody said who asked for this proof."),
    "record": _("As its training recorded."),
    "guess": _("A guess by the model's own template and tokens: prove it with another one, if you know better."),
}
_BEFORE: Final = 60
_AFTER: Final = 160
_GAP: Final = 2


def rows(proof: ProofView) -> list[Row]:
    """Return a row for each conversation, and for each of what else was looked at."""
    same = _("{same} of {count} as trained", same=proof.same, count=len(proof.cases))
    if proof.departs:
        same = _("{same} of {count} as asked for", same=proof.same, count=len(proof.cases))
    if proof.guess:
        same = _("{same} of {count} as guessed", same=proof.same, count=len(proof.cases))
    if proof.skipped:
        same = _("{words}, {count} not compared", words=same, count=len(proof.skipped))
    made = [_heading("cases", str(_("Conversations")), str(same))]
    for case in proof.cases:
        tokens = str(_("{count} tokens", count=case.tokens)) if case.ok else str(_("differs"))
        role = "muted" if case.ok else "failed" if case.grave else "warn"
        made.append(Row(f"case:{case.name}", ((*_mark(case), (case.name, "text")), part(tokens, role)), case.name))
    for skipped, _tokens in proof.skipped:
        words = part(str(_("not compared")), "muted")
        made.append(Row(f"skipped:{skipped}", ((("· ", "muted"), (skipped, "text")), words), skipped))
    if proof.left_out:
        name = str(_("Left out"))
        made.append(Row("left_out", ((("· ", "muted"), (name, "text")), part(str(len(proof.left_out)), "muted")), name))
    made.append(_heading("rest", str(_("And besides")), ""))
    _bos, trained, sent, is_same = proof.bos
    if proof.template:
        value = part(str(SOURCES.get(proof.source, "")), "warn" if proof.guess else "muted")
        mark = ("! ", "warn") if proof.guess else ("✓ ", "done")
        made.append(Row("template", ((mark, (inert(proof.template), "text")), value), proof.template))
    if proof.changes:
        value = part(str(_("new")) if proof.mended else str(_("as it was")), "muted")
        made.append(Row("changes", ((("· ", "muted"), ("Modelfile", "text")), value), "Modelfile"))
    if proof.notes:
        name = str(_("Memory"))
        value = part(str(_("unloaded")), "muted")
        made.append(Row("notes", ((("! ", "warn"), (name, "text")), value), name))
    made += [
        _check("bos", ok=is_same, name="BOS", value=f"{sent} / {trained}"),
        _check("stops", ok=not proof.stops[1], name=str(_("Stops")), value=str(len(proof.stops[0]))),
        _check("num_ctx", ok=proof.num_ctx[2], name="num_ctx", value=str(proof.num_ctx[0] or "?")),
    ]
    return made


def _heading(key: str, title: str, words: str) -> Row:
    return Row(key, (((title, "title"), (f"  {words}", "muted")),), title, enabled=False)


def _mark(case: CaseView) -> Parts:
    return part("✓ ", "done") if case.ok else part("✗ ", "failed") if case.grave else part("! ", "warn")


def _check(key: str, *, ok: bool, name: str, value: str) -> Row:
    mark = ("✓ ", "done") if ok else ("✗ ", "failed")
    return Row(key, ((mark, (name, "text")), part(value, "muted" if ok else "failed")), name)


def headline(proof: ProofView) -> Parts:
    """Return what the proof comes to in one line."""
    if proof.ok:
        words = praise(len(proof.cases), proof.total, proof.departs, proof.guess)
        if proof.mended and not proof.skipped and not proof.departs and not proof.guess:
            words = _("The Modelfile is mended: Ollama now sends exactly what the model was trained on.")
        if proof.departs or proof.guess:
            return (("! ", "warn"), (str(words), "strong"))
        return (("✓ ", "done"), (str(words), "strong"))
    wrong = len(proof.cases) - proof.same
    words = shortfall(wrong, len(proof.cases), proof.problems, proof.departs, proof.guess)
    return (("! ", "warn") if proof.holds else ("✗ ", "failed"), (str(words), "strong"))


def about(proof: ProofView, key: str, width: int) -> list[Parts]:
    """Return what is said of the row ``key`` in lines of ``width`` cells."""
    if key.startswith("case:"):
        name = key.removeprefix("case:")
        case = next(case for case in proof.cases if case.name == name)
        return list(_case(case, width, is_guess=bool(proof.guess)))
    if key in ("left_out", "notes"):
        said = proof.left_out if key == "left_out" else proof.notes
        return [(("· ", "muted"), (inert(str(why)), "text")) for why in said]
    if key.startswith("skipped:"):
        tokens = dict(proof.skipped)[key.removeprefix("skipped:")]
        words = _("Its {count} tokens are more than the server keeps of a conversation.", count=tokens)
        return [(("· ", "muted"), (str(words), "text")), *_needed(proof, tokens)]
    return list(_rest(proof, key))


def _needed(proof: ProofView, tokens: int) -> Iterator[Parts]:
    if proof.needed is not None and tokens < proof.needed:
        yield (("→ ", "key"), (str(_("Give it a num_ctx of {needed}.", needed=str(proof.needed))), "text"))


def _rest(proof: ProofView, key: str) -> Iterator[Parts]:
    match key:
        case "template":
            words = WHO_SAYS.get(proof.source)
            yield (("template  ", "muted"), (inert(proof.template), "text"))
            yield part(str(words or ""), "warn" if proof.guess else "muted")
            return
        case "changes":
            yield part(str(mend_words(proof.changes, takes=proof.mended, reached=proof.reached)), "text")
            return
        case "bos":
            token, trained, sent, is_same = proof.bos
            words = _("Tokens at the very beginning: {sent} sent, {trained} trained.", sent=sent, trained=trained)
            yield (("✓ " if is_same else "✗ ", "done" if is_same else "failed"), (str(words), "text"))
            if token:
                yield part(inert(repr(token)[1:-1]), "accent")
        case "stops":
            due, missing = proof.stops
            for stop in due:
                is_there = stop not in missing
                yield (
                    ("✓ " if is_there else "✗ ", "done" if is_there else "failed"),
                    (inert(repr(stop)[1:-1]), "text"),
                )
        case _:
            given, wanted, _enough = proof.num_ctx
            yield (("num_ctx  ", "muted"), (str(given or "?"), "text"))
            yield (("cutoff_len  ", "muted"), (str(wanted or "?"), "text"))
    for why, remedy in proof.problems:
        yield ()
        yield (("✗ ", "failed"), (str(why), "text"))
        yield (("→ ", "key"), (remedy_words(remedy, is_guess=bool(proof.guess)), "text"))


def remedy_words(remedy: Message, *, is_guess: bool = False) -> str:
    """Return what is to be done; where that is an option of ``paddock verify``, the key that does the same here."""
    if "--mend" in remedy.english() and (is_guess or "--template" in remedy.english()):
        remedy = _("m asks with which template it was trained. It mends the model for the guess only if you say so.")
    elif "--mend" in remedy.english():
        remedy = _("m lets Paddock write the template anew, and proves it again.")
    return inert(str(remedy))


def _case(case: CaseView, width: int, *, is_guess: bool) -> Iterator[Parts]:
    if case.ok:
        yield (("✓ ", "done"), (str(_("The same {count} tokens.", count=case.tokens)), "text"))
        yield ()
        for line in _chopped(inert(case.expected), width):
            yield part(line, "muted")
        return
    if case.cause:
        yield (("✗ " if case.grave else "! ", "failed" if case.grave else "warn"), (inert(str(case.cause)), "text"))
    if case.remedy:
        yield (("→ ", "key"), (remedy_words(case.remedy, is_guess=is_guess), "text"))
    yield ()
    cell = (width - _GAP) // 2
    yield _two(part(str(_("trained")), "title"), part(str(_("sent by Ollama")), "title"), cell)
    if case.character is not None:
        yield from _texts(case, case.character, cell)
        yield ()
    for row in case.rows:
        role = "failed" if row.is_first else "text" if row.expected == row.actual else "warn"
        yield _two(_token(row.expected, role, first=row.is_first), _token(row.actual, role, first=row.is_first), cell)


def _texts(case: CaseView, at: int, cell: int) -> Iterator[Parts]:
    left, right = (_chopped(_around(text, at), cell) for text in (case.expected, case.actual))
    for index in range(max(len(left), len(right))):
        one, other = (part(side[index]) if index < len(side) else () for side in (left, right))
        yield _two(one, other, cell)


def _around(text: str, at: int) -> str:
    """Return ``text`` near the place where it parts from the other, which is marked."""
    before, after = text[max(0, at - _BEFORE) : at], text[at : at + _AFTER]
    start, end = "…" if at > _BEFORE else "", "…" if len(text) > at + _AFTER else ""
    return f"{start}{inert(before)}▸{inert(after)}{end}"


def _chopped(text: str, width: int) -> list[str]:
    """Return the lines of ``text`` with a sign for each newline, broken to the width."""
    lines = text.split("\n")
    shown = [f"{line}⏎" for line in lines[:-1]] + lines[-1:]
    return [piece for line in shown for piece in (chop_cells(line, width) or [""])]


def _token(token: tuple[int, str] | None, role: str, *, first: bool) -> Parts:
    mark = ("▸ " if first else "  ", "failed")
    if token is None:
        return (mark, ("–", "muted"))
    return (mark, (f"{token[0]:>6} ", "muted"), (inert(repr(token[1])[1:-1]), role))


def _two(left: Parts, right: Parts, cell: int) -> Parts:
    return (*fit_parts(left, cell), (" " * _GAP, ""), *fit_parts(right, cell))
