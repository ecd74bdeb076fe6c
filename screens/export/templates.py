"""The template of a training, chosen among those that LLaMA-Factory has."""

from __future__ import annotations

from typing import Final

from data.i18n import Message, _
from data.text import inert
from screens.finder import Finder
from screens.place import Place
from tui import exporting
from tui.exporting import TemplateOffers
from tui.widgets.cells import part
from tui.widgets.entry import LINE_END
from tui.widgets.table import Row

NONE: Final = "-"
"""The answer that no template is known"""
_NAME_CELLS: Final = 24


async def offers(place: Place, *, asks: bool = False) -> TemplateOffers | None:
    """Return the templates of the LLaMA-Factory that jobs would use; None where that failed, which was said."""
    mine = place.services
    return await place.attempt(
        lambda: exporting.templates(mine.paths, mine.settings, mine.workspace, mine.environ, asks=asks)
    )


async def choose_template(place: Place, title: Message, *, present: str = "", can_be_none: bool = False) -> str:
    """Ask for a template, the cursor on ``present``; "" for no choice, and ``NONE`` for none where that can be."""
    known = await offers(place)
    if known is not None and not known.exact:
        place.say(_("LLaMA-Factory is asked once for its templates, which takes 10 to 30 s …"))
        known = await offers(place, asks=True) or known
    if known is None:
        return ""
    rows = [
        Row(
            one.name,
            (part(inert(one.name), "strong"), part(inert(one.turn).replace("\n", LINE_END), "muted"), ()),
            inert(one.name),
        )
        for one in known.all
    ]
    if can_be_none:
        name = str(_("not known"))
        rows.append(Row(NONE, (part(name, "muted"), part(str(_("Nothing is proven then.")), "muted"), ()), name))
    return await place.choose(
        Finder(title, _("Type a part of its name"), rows, name_cells=_NAME_CELLS, present=present)
    )
