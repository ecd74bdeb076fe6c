"""What speaks against an export without making it impossible, said before its start. Looks at a few small files."""

from __future__ import annotations

from collections.abc import Iterator

from backend.export.plan import ExportPlan, training_params
from backend.export.proving import UNPROVEN
from backend.lf.find import LlamaFactory
from backend.lf.tokenizer import miscut, miscut_words
from backend.ollama.modelfile import parse
from backend.train.departure import other_bases, other_prompt
from backend.train.gptq import lacks
from backend.train.pushing import push_words
from data.errors import RequestError
from data.i18n import Message, _


def warnings(plan: ExportPlan, lf: LlamaFactory | None, *, has_gpu: bool) -> Iterator[Message]:
    """Yield what speaks against ``plan``; ``has_gpu`` counts for GPTQ only."""
    if plan.merge is not None and plan.merge.export_hub_model_id:
        yield push_words(plan.merge.export_hub_model_id)
    yield from other_bases(plan.adapters, plan.base, plan.workspace)
    if (folder := miscut(plan.adapters)) is not None:
        yield miscut_words(str(folder))
    yield from _prompt(plan)
    yield from _deployment(plan)
    if plan.deployment is not None and plan.template and lf is None:
        yield _("{why} The model gets its name without a proof.", why=UNPROVEN["llamafactory"])
    if plan.gptq is not None:
        for check in lacks(lf, has_gpu=has_gpu):
            yield _("{what}. {remedy}", what=check.message, remedy=check.remedy)


def _prompt(plan: ExportPlan) -> Iterator[Message]:
    facts = plan.source.facts
    yield from other_prompt(
        facts,
        {
            "template": plan.template or None,
            "enable_thinking": plan.thinking,
            "default_system": plan.default_system,
        },
    )
    if facts.origin and facts.cutoff_len and plan.cutoff_len != facts.cutoff_len:
        yield _length(facts.cutoff_len, plan.cutoff_len)


def _length(trained: int, now: int) -> Message:
    if not now:
        return _("The longest prompt is left open; the training saw {trained} tokens (cutoff_len).", trained=trained)
    if now > trained:
        return _(
            "Prompts may have {now} tokens, and nothing longer than {trained} was ever trained on (cutoff_len).",
            now=now,
            trained=trained,
        )
    return _(
        "Prompts are cut at {now} tokens, and the training saw up to {trained} (cutoff_len).",
        now=now,
        trained=trained,
    )


def _deployment(plan: ExportPlan) -> Iterator[Message]:
    if plan.deployment is None:
        return
    if not plan.template:
        yield _("The template is not known: Ollama may send another prompt than the model was trained with.")
    if plan.deployment.edited:
        yield _("The Modelfile is edited: it goes to Ollama as you wrote it.")
        twice = said_twice(plan.deployment.edited)
        if twice is not None:
            yield twice
        changed = _since_drafted(plan)
        if changed:
            yield _(
                "The Modelfile was edited before these were changed: {names}. It still says what was there; the "
                "editor can go back to the draft of now.",
                names=", ".join(changed),
            )
    if plan.deployment.unproven:
        yield _(
            "Unproven: {name} gets its name even where Ollama sends something else than was trained on.",
            name=plan.deployment.name,
        )


def said_twice(text: str) -> Message | None:
    """Return what does not count in the Modelfile ``text``, since a later command says it again.

    None where all counts, and where the text has a mistake: that is told elsewhere.
    """
    try:
        found = parse(text, needs_source=False).replaced
    except RequestError:
        return None
    if found is None:
        return None
    first, last = found
    what = f"{first.name.upper()} {first.key}".strip()
    return _(
        "{what} on line {line} does not count: line {last} says it again.", what=what, line=first.line, last=last.line
    )


def _since_drafted(plan: ExportPlan) -> list[str]:
    """Return what the edited Modelfile was drafted for and is otherwise now, the template by its names."""
    now, then = training_params(plan), plan.written_for
    if then is None:
        return []
    shown = {"template": f"template ({then.get('template') or '–'} → {now.get('template') or '–'})"}
    names = [*then, *(name for name in now if name not in then)]
    return [shown.get(name, name) for name in names if then.get(name) != now.get(name)]
