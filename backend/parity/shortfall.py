"""How many conversations differ, and from what: a training that is known, what was asked for, or a guess."""

from __future__ import annotations

from collections.abc import Sequence

from data.i18n import Message, _


def differing(wrong: int, count: int, departs: Sequence[str], guess: str) -> Message:
    """Return that ``wrong`` of ``count`` conversations differ.

    ``departs`` as in ``Trained``; ``guess`` is the template where nobody knows with which one the model was trained.
    """
    if guess:
        return _(
            "{wrong} of {count} conversations differ from the template {name}, which is a guess.",
            wrong=wrong,
            count=count,
            name=guess,
        )
    if departs:
        return _("{wrong} of {count} conversations differ from what was asked for.", wrong=wrong, count=count)
    return _("{wrong} of {count} conversations differ from the training.", wrong=wrong, count=count)
