"""Causes that lie in system prompts: one that is missing, one that was never trained, one in another place."""

from __future__ import annotations

from typing import Final

from backend.parity.compare import Cause
from backend.parity.evidence import Evidence, because, between, short
from data.i18n import _

_TELLING: Final = 3  # letters


def system(e: Evidence) -> Cause | None:
    """Return the cause in a system prompt: the training's default, the model's own, or the conversation's."""
    default, trained, sent = e.expected.default_system, e.trained.text, e.sent.text
    if _lacks_default(e) and _has_same_turns(e):
        message = _("The default system prompt of the training is missing: {text}", text=short(default))
        return because("no-default-system", message)
    if _has_other(e) and _has_same_turns(e):
        message = _("The model has a system prompt that it was not trained with: {text}", text=short(e.served.system))
        return because("other-system", message)
    text = e.case.system.strip()
    if not text or text not in trained:
        return None
    if text not in sent:
        return because("no-system", _("The system prompt is not sent at all."))
    if _comes_earlier(text if e.case.system not in sent else e.case.system, trained, sent):
        return because(
            "system-place",
            _(
                "The system prompt stands before the first turn of the user, where the training had it "
                "inside that turn."
            ),
        )
    return None


def is_all(e: Evidence) -> bool:
    """Say whether a system prompt of the training or of the model is all that differs."""
    default, own = e.expected.default_system, e.served.system
    lacks, has = _lacks_default(e), _has_other(e)
    trained, sent = between(e.trained.text, e.sent.text)
    if lacks and has:
        return e.trained.text.replace(default, own, 1) == e.sent.text
    return (lacks and not sent and default in trained) or (has and not trained and own in sent)


def _lacks_default(e: Evidence) -> bool:
    default = e.expected.default_system
    return bool(default) and not e.case.system and default in e.trained.text and default not in e.sent.text


def _has_other(e: Evidence) -> bool:
    own = e.served.system
    return bool(own) and not e.case.system and own in e.sent.text and own not in e.trained.text


def _has_same_turns(e: Evidence) -> bool:
    """Say whether what follows the last turn's text begins alike: else the whole template is another."""
    said, texts = e.case.turns[-1].text, (e.trained.text, e.sent.text)
    if not said or not all(said in text for text in texts):  # nothing tells where the turn ends
        return True
    one, other = ("".join(text.rpartition(said)[2].split())[:_TELLING] for text in texts)
    return one == other


def _comes_earlier(text: str, trained: str, sent: str) -> bool:
    """Say whether the same letters are sent in another order, with ``text`` before where it was; blanks aside."""
    one, other = ("".join(whole.split()) for whole in (trained, sent))
    before = [len("".join(whole.partition(text)[0].split())) for whole in (trained, sent)]
    return one != other and sorted(one) == sorted(other) and before[1] < before[0]
