"""Where a merge departs from what its training recorded: another base under the adapter, another prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from backend.lf.checks import Check
from backend.lf.hub import local_model
from backend.lf.lists import names_in
from backend.lf.peft import base_of
from backend.lf.tokenizer import TRAIN_AGAIN, miscut, miscut_words
from backend.train.record import RunFacts, read_facts
from backend.train.work import run_of_export
from data.i18n import Message, _

_PROMPT: Final = ("template", "enable_thinking", "default_system")


def departures(args: Mapping[str, object], workspace: Path) -> Iterator[Check]:
    """Yield a warning for each departure of an export with ``args``: what they leave out contradicts nothing."""
    adapters = [workspace / name for name in names_in(args.get("adapter_name_or_path"))]
    for message in other_bases(adapters, str(args.get("model_name_or_path") or ""), workspace):
        remedy = _("Set model_name_or_path to the base of the adapter's training.")
        yield Check("adapter.base", "warning", message, remedy)
    if (folder := miscut(adapters)) is not None:
        yield Check("adapter.tokenizer", "warning", miscut_words(str(folder)), TRAIN_AGAIN)
    facts = read_facts(workspace / run_of_export(args))
    said = {name: args[name] for name in _PROMPT if args.get(name) is not None}
    for message in other_prompt(facts, said):
        recorded = ", ".join(f"{name}={getattr(facts, name)}" for name in _changed(facts, said))
        remedy = _("{file} says: {values}.", file=facts.origin, values=recorded)
        yield Check("prompt.recorded", "warning", message, remedy)


def other_bases(adapters: Iterable[Path], base: str, workspace: Path) -> Iterator[Message]:
    """Yield each adapter whose training had another base: one of the same shapes takes it, and nothing tells later."""
    for adapter in adapters if base else ():
        trained_on = base_of(adapter)
        if trained_on and not _is_same(trained_on, base, workspace):
            yield _(
                "{adapter} was trained on {trained}, and is merged into {base}. In another model than its own an "
                "adapter does harm.",
                adapter="/".join(adapter.parts[-2:]),  # tells it from the others of its run, or the run from others
                trained=trained_on,
                base=base,
            )


def other_prompt(facts: RunFacts, said: Mapping[str, object]) -> Iterator[Message]:
    """Yield what of the prompt is ``said`` (LLaMA-Factory's arguments) otherwise than the training recorded it."""
    changed = _changed(facts, said)
    if changed:
        yield _("Not as it was trained: {names}. The model will answer worse.", names=", ".join(changed))


def _changed(facts: RunFacts, said: Mapping[str, object]) -> list[str]:
    return [name for name in _PROMPT if facts.origin and name in said and getattr(facts, name) != said[name]]


def _is_same(one: str, other: str, workspace: Path) -> bool:
    folders = [local_model(str(workspace / name)) or local_model(name) for name in (one, other)]
    if None in folders:  # not both are here: only their names can be compared
        return one.rstrip("/") == other.rstrip("/")
    first, second = (folder.resolve() for folder in folders if folder is not None)
    return first == second
