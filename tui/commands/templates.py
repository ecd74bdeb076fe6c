"""``paddock templates``: the chat templates of LLaMA-Factory by their names, of which a training has one."""

from __future__ import annotations

from backend.lf.find import find
from backend.lf.schema import template_remedy
from backend.parity.template import Template, templates_for
from data.errors import RequestError
from data.i18n import Message, _
from data.text import inert
from tui.commands.console import columns
from tui.commands.form import argument, command
from tui.commands.session import Session
from tui.wording import clip


@command(
    "templates",
    _(
        "List the chat templates of LLaMA-Factory.\n\nWith PART only those that have it in their names. A training "
        "names one of them as `template`; what is deployed or proven has to name the same."
    ),
    argument("part", optional=True),
)
def templates(session: Session, part: str | None) -> int:
    """Print the templates of the LLaMA-Factory that jobs would use, else of the version that Paddock installs."""
    console, services = session.console, session.services()
    known = templates_for(find(services.settings, services.paths, services.workspace, services.environ), services.paths)
    wanted = (part or "").casefold()
    found = [known.by_name[name] for name in sorted(known.by_name) if wanted in name.casefold()]
    if not found:
        raise RequestError(
            _("No template has {part} in its name", part=repr(part)), "", template_remedy(wanted, known.by_name)
        )
    console.emit({"llamafactory": known.llamafactory, "exact": known.exact, "templates": list(map(_as_json, found))})
    for line in columns((one.name, _notes(one)) for one in found):
        console.say(clip(line, console.width()) if console.out.isatty() else line.rstrip())
    if not known.exact:
        console.say(
            _("These are of LLaMA-Factory {version}; the installed one may have others.", version=known.llamafactory)
        )
    return 0


def _as_json(one: Template) -> dict[str, object]:
    return {
        "name": one.name,
        "thinking": one.kind == "reasoning",
        "media": one.has_media,
        "tool_format": one.tool_format.name if one.tool_format else None,
        "default_system": one.default_system,
    }


def _notes(one: Template) -> str:
    words: list[Message | str] = []
    if one.kind == "reasoning":
        words.append(_("thinks"))
    if one.has_media:
        words.append(_("images, sound or video"))
    if one.default_system:
        words.append(_("system: {text}", text=inert(" ".join(one.default_system.split()))))
    return " · ".join(map(str, words))
