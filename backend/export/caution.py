"""What speaks against an export without making it impossible, said before its start. Looks at a few small files."""

from __future__ import annotations

from collections.abc import Iterator

from backend.export.plan import ExportPlan
from backend.lf.find import LlamaFactory
from backend.train.gptq import lacks
from data.i18n import Message, _


def warnings(plan: ExportPlan, lf: LlamaFactory | None, *, has_gpu: bool) -> Iterator[Message]:
    """Yield what speaks against ``plan``; ``has_gpu`` counts for GPTQ only."""
    yield from _prompt(plan)
    if plan.gptq is not None:
        for check in lacks(lf, has_gpu=has_gpu):
            yield _("{what}. {remedy}", what=check.message, remedy=check.remedy)


def _prompt(plan: ExportPlan) -> Iterator[Message]:
    facts = plan.source.facts
    changed = [
        name
        for name, recorded, now in (
            ("template", facts.template, plan.template or None),
            ("enable_thinking", facts.enable_thinking, plan.thinking),
            ("default_system", facts.default_system, plan.default_system),
        )
        if facts.origin and recorded != now
    ]
    if changed:
        yield _("Not as it was trained: {names}. The model will answer worse.", names=", ".join(changed))
    if facts.origin and facts.cutoff_len and plan.cutoff_len != facts.cutoff_len:
        yield _length(facts.cutoff_len, plan.cutoff_len)
    if plan.deployment and not plan.template:
        yield _("The template is not known: Ollama may send another prompt than the model was trained with.")


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
