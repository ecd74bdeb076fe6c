"""A proof as lines of text: what is right, and what differs, side by side at the first parting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from backend.parity.compare import Verdict
from backend.parity.parting import Token, rows
from backend.parity.proof import Proof
from data.i18n import Message, _
from data.text import inert
from tui.commands.console import Console
from tui.proving import praise, shortfall
from tui.wording import fit, wrap

_TEXT: Final = 24


def lines(
    proof: Proof, console: Console, *, source: Message, mend: Callable[[str], Message] | None
) -> Iterator[Message | str]:
    """Yield the report of ``paddock verify``; ``mend`` says how it is mended, for a template; None: that was tried."""
    title = _(
        "{model} on Ollama {version}, trained with the template {name} ({source})",
        model=proof.model,
        version=proof.served.version,
        name=proof.trained.template,
        source=source,
    )
    yield from _wrapped(str(title), console)
    told: dict[str, str] = {}
    for verdict in proof.verdicts:
        cause, name = verdict.cause, verdict.case.name
        said: Message | str = _("{count} tokens", count=len(verdict.expected.ids)) if verdict.ok else ""
        if cause is not None and cause.id in told:
            said = _("for the same reason as {name}", name=told[cause.id])
        yield f"  {_mark(console, ok=verdict.ok)} {name:<20} {said}".rstrip()
        if cause is not None and cause.id not in told:
            told[cause.id] = name
            yield from (f"      {line}" for line in _explained(verdict, proof, console))
    for one in proof.skipped:
        yield f"  · {one.name:<20} {_('not compared: {count} tokens', count=one.tokens)}"
    if proof.verdicts:
        yield _bos(proof, console)
    stops = ", ".join(proof.expected.stops)
    yield f"  {_mark(console, ok=not proof.missing_stops)} " + str(_("stops at {stops}", stops=inert(stops)))
    yield f"  {_mark(console, ok=proof.context_is_enough)} num_ctx {proof.served.context or '?'}" + (
        f" (cutoff_len {proof.trained.cutoff_len})" if proof.trained.cutoff_len else ""
    )
    wrong = sum(1 for verdict in proof.verdicts if not verdict.ok)
    for why, _remedy in proof.problems()[not wrong :]:  # what is wrong with no conversation is the last line
        yield from (f"      {line}" for line in _wrapped(str(why), console))
    if proof.trained.departs and not proof.ok:  # else the last line says it
        names = ", ".join(proof.trained.departs)
        words = _("Judged as asked for, not as the training recorded: {names}.", names=names)
        yield from _noted("!", str(words), console)
    for mark, notes in (("·", proof.all_left_out()), ("!", proof.notes)):
        yield from (line for note in notes for line in _noted(mark, str(note), console))
    yield _summary(proof, wrong)
    if proof.can_be_mended:
        if mend is not None:
            yield mend(proof.trained.template)
    elif not wrong and proof.problems():
        yield from _wrapped(f"→ {proof.problems()[0][1]}", console)


def _bos(proof: Proof, console: Console) -> str:
    bos = proof.bos()
    counts = _(
        "BOS {token}: {sent} sent, {trained} trained",
        token=inert(str(bos["token"])),
        sent=str(bos["actual"]),
        trained=str(bos["expected"]),
    )
    return f"  {_mark(console, ok=bool(bos['ok']))} {counts if bos['token'] else _('no BOS')}"


def _summary(proof: Proof, wrong: int) -> Message:
    if proof.ok:
        return praise(len(proof.verdicts), proof.total, proof.trained.departs, proof.trained.guess)
    return shortfall(wrong, len(proof.verdicts), proof.problems(), proof.trained.departs, proof.trained.guess)


def _mark(console: Console, *, ok: bool) -> str:
    return console.paint("✓", "good") if ok else console.paint("✗", "bad")


def _explained(verdict: Verdict, proof: Proof, console: Console) -> Iterator[str]:
    cause = verdict.cause
    assert cause is not None  # noqa: S101 - the caller has looked
    if verdict.actual.error is None and not verdict.expected.error and verdict.parting is not None:
        yield from _side_by_side(verdict, proof, console)
    yield from _wrapped(str(cause.message), console)
    if not cause.mends:  # what mends the others is said once, at the end
        yield from _wrapped(f"→ {cause.remedy}", console)


def _wrapped(text: str, console: Console) -> list[str]:
    return wrap(inert(text), max(40, console.width() - 7))


def _noted(mark: str, text: str, console: Console) -> Iterator[str]:
    """Yield a note, its mark before the first line alone."""
    for number, line in enumerate(_wrapped(text, console)):
        yield f"  {mark if number == 0 else ' '} {line}"


def _side_by_side(verdict: Verdict, proof: Proof, console: Console) -> Iterator[str]:
    parting = verdict.parting
    assert parting is not None  # noqa: S101 - the caller has looked
    width = max(20, (console.width() - 12) // 2)
    texts: list[tuple[Message | str, Message | str]] = [(_("trained"), _("sent by Ollama"))]
    if parting.character is not None:
        texts.append(
            (_around(verdict.expected.text, parting.character), _around(verdict.actual.text, parting.character))
        )
    yield from (f"{fit(str(left), width)}  {right}".rstrip() for left, right in texts)
    for row in rows(verdict, proof.runner):
        mark = ">" if row.is_first else " "
        yield f"{mark} {fit(_token(row.expected), width - 2)}  {_token(row.actual)}".rstrip()


def _token(token: Token | None) -> str:
    return f"{token.id:>7} {inert(repr(token.text))}" if token else ""


def _around(text: str, at: int) -> str:
    before, after = text[max(0, at - _TEXT) : at], text[at : at + _TEXT]
    return ("…" if at > _TEXT else "") + inert(repr(before)[1:-1] + "▸" + repr(after)[1:-1])
