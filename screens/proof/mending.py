"""The one key that mends: a job that writes the Modelfile anew and proves it, then followed in Run."""

from __future__ import annotations

from data.i18n import _
from data.jobs.library import Job
from data.text import inert
from screens.choice import Choice, ChoiceDialog
from screens.export.templates import choose_template
from screens.job_lines import name_of
from screens.place import Place
from tui.proving import guess_of


async def mend(place: Place, job: Job) -> None:
    """Start the job that makes right what ``job`` has found to differ, and show it; asks before it goes by a guess."""
    template, guess = "", guess_of(job)
    if guess:
        answer = await _ask(place, job, guess)
        if answer == "name":
            template = await choose_template(place, _("Template of the training"), present=guess)
        if not answer or (answer == "name" and not template):
            return
    spec = await place.attempt(lambda: place.services.mending(job, template))
    if spec is None:
        return
    ids = await place.attempt(lambda: place.services.launch([spec]))
    if ids:
        await place.paddock.look()
        place.paddock.open_run(ids[0])


async def _ask(place: Place, job: Job, guess: str) -> str:
    return await place.choose(
        ChoiceDialog(
            _("Mend {model} for the template {name}?", model=name_of(job), name=inert(guess)),
            _(
                "That it was trained with {name} is a guess. If it was another one, the model may be right as it is, "
                "and a mend for the guess makes it wrong.",
                name=inert(guess),
            ),
            [
                Choice(
                    "name",
                    "t",
                    _("Name the template"),
                    _("Asks with which template it was trained, and mends what differs from that."),
                ),
                Choice(
                    "mend",
                    "g",
                    _("Mend it for {name}", name=inert(guess)),
                    _("Its Modelfile is written anew for the guess, and takes the place of the old one."),
                    danger=True,
                ),
            ],
        )
    )
