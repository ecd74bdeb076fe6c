"""An Ollama model as the start: which one, and with which template it was trained."""

from __future__ import annotations

from typing import Final

from data.errors import AppError
from data.i18n import _
from data.jobs.spec import JobSpec
from data.size import size
from data.text import inert
from screens.choice import Choice, ChoiceDialog
from screens.export.templates import choose_template
from screens.finder import Finder
from screens.place import Place
from tui.chatting import ModelOffer
from tui.widgets.cells import part, width_of
from tui.widgets.table import Row

_NAME_CELLS: Final = 30


async def model_to_prove(place: Place) -> JobSpec | None:
    """Ask which model is to be proven, and for what; return the job, None where a person only looked, or left."""
    offers = await place.attempt_async(place.services.model_offers())
    if offers is None:
        return None
    if not offers:
        place.paddock.fail(
            AppError(
                _("Ollama has no models"),
                _("No server runs here, or it has none."),
                _("Start it with `ollama serve`, or export something: then it has one."),
            )
        )
        return None
    offer = await _model(place, offers)
    if offer is None:
        return None
    answer = await place.choose(
        ChoiceDialog(
            _("Prove {model}?", model=inert(offer.name)),
            _(
                "Conversations are encoded by LLaMA-Factory as for a training, and rendered by Ollama; their tokens "
                "are compared. The model stays as it is."
            ),
            [
                Choice("prove", "p", _("Prove"), _("With the template that its training recorded, else a guess.")),
                Choice("name", "t", _("Name the template"), _("Asks with which template it was trained.")),
                Choice("look", "v", _("Look into it"), _("Shows the keys and tensors of its GGUF; proves nothing.")),
            ],
            leave=_("Not now"),
        )
    )
    if answer == "look":
        file = await place.attempt_async(place.services.gguf_of(offer))
        if file is not None:
            await place.paddock.open_gguf(str(file))
        return None
    template = ""
    if answer == "name":
        template = await choose_template(place, _("Template of the training"))
    if not answer or (answer == "name" and not template):
        return None
    return await place.attempt(lambda: place.services.proving(offer, template))


async def _model(place: Place, offers: list[ModelOffer]) -> ModelOffer | None:
    rows = [
        Row(
            str(index),
            (part(inert(offer.name), "strong"), part(offer.host, "muted"), part(size(offer.size_bytes), "muted")),
            f"{inert(offer.name)} {offer.host}",
        )
        for index, offer in enumerate(offers)
    ]
    wanted = max(width_of(row.cells[0]) for row in rows)
    cells = min(max(_NAME_CELLS, wanted), place.size.width // 2)
    answer = await place.choose(
        Finder(_("Prove which model?"), _("Type a part of its name"), rows, name_cells=cells, present="")
    )
    return offers[int(answer)] if answer else None
