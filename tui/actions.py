"""One table of actions, from which bindings, footer, palette, help screen and the key reference are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from data.i18n import Message, _
from tui.action import Action
from tui.place_actions import CHAT, EXPORT, GGUF, HOME, JOB, MODELFILE, PROOF, RUN

WHERE: Final[Mapping[str, Message]] = {
    "app": _("Everywhere"),
    "list": _("In lists and in the log"),
    "home": _("Home"),
    "run": _("Run"),
    "proof": _("In a proof"),
    "chart": _("In the chart"),
    "log": _("In the log"),
    "chat": _("Chat"),
    "export": _("Export"),
    "modelfile": _("In the Modelfile"),
    "gguf": _("In the viewer of GGUFs"),
    "form": _("In forms"),
    "dialog": _("In dialogs"),
}
"""Places of actions in the order of the help screen."""

_EVERYWHERE: Final[tuple[Action, ...]] = (
    Action(
        "app.help",
        _("Help"),
        ("question_mark",),
        ("app",),
        _("Shows every key of every place, and what the states mean."),
        "help",
        footer=True,
    ),
    Action(
        "app.palette",
        _("Find an action"),
        ("ctrl+p",),
        ("app",),
        _("Lists what can be done here; type some letters of it."),
        "palette",
        footer=True,
        palette=False,
        priority=True,
    ),
    Action("app.home", _("Go to Home"), ("1",), ("app",), _("All jobs, and what to do next."), "go('home')"),
    Action("app.run", _("Go to Run"), ("2",), ("app",), _("The job that was opened last, or the newest."), "go('run')"),
    Action("app.chat", _("Go to Chat"), ("3",), ("app",), _("Talk with a model that Ollama has."), "go('chat')"),
    Action(
        "app.export",
        _("Go to Export"),
        ("4",),
        ("app",),
        _("Merge a training, turn it into GGUF, and put it into Ollama."),
        "go('export')",
    ),
    Action(
        "app.gguf",
        _("Look into a GGUF"),
        ("I",),
        ("app",),
        _("Asks for a file, and shows its keys, tensors, chat template and tokenizer."),
        "ask_gguf",
    ),
    Action(
        "app.theme",
        _("Light or dark"),
        ("T",),
        ("app",),
        _("Changes the theme until the app is closed; the setting `theme` keeps it."),
        "other_theme",
    ),
    Action(
        "app.language",
        _("English or 中文"),
        ("L",),
        ("app",),
        _("Changes the language until the app is closed; the setting `language` keeps it."),
        "other_language",
    ),
    Action(
        "app.mouse",
        _("Release the mouse"),
        ("M",),
        ("app",),
        _("Gives the mouse to the terminal, so that it can select text; again takes it back."),
        "mouse",
    ),
    Action(
        "app.back",
        _("Back"),
        ("q", "escape"),
        ("app",),
        _("Goes back to where you came from; on Home, `q` closes the app. Jobs go on in any case."),
        "back",
        footer=True,
    ),
    Action("list.down", _("Down"), ("j", "down"), ("list",), _("One line down."), "cursor_down", palette=False),
    Action("list.up", _("Up"), ("k", "up"), ("list",), _("One line up."), "cursor_up", palette=False),
    Action("list.first", _("First"), ("g", "home"), ("list",), _("To the first line."), "first", palette=False),
    Action("list.last", _("Last"), ("G", "end"), ("list",), _("To the last line."), "last", palette=False),
    Action(
        "list.page_down",
        _("Page down"),
        ("pagedown", "ctrl+f"),
        ("list",),
        _("One page down."),
        "page(1)",
        palette=False,
    ),
    Action("list.page_up", _("Page up"), ("pageup", "ctrl+u"), ("list",), _("One page up."), "page(-1)", palette=False),
    Action(
        "list.search", _("Search"), ("slash",), ("list",), _("Finds text; enter goes to the first match."), "search"
    ),
    Action("list.next", _("Next match"), ("n",), ("list",), _("To the next match."), "next_match(1)", palette=False),
    Action(
        "list.previous",
        _("Previous match"),
        ("N",),
        ("list",),
        _("To the previous match."),
        "next_match(-1)",
        palette=False,
    ),
)

_FORMS: Final[tuple[Action, ...]] = (
    Action(
        "form.edit",
        _("Change"),
        ("enter",),
        ("form",),
        _("Opens a text, turns a switch, takes the next choice."),
        "edit_field",
        footer=True,
        palette=False,
    ),
    Action(
        "form.next",
        _("Next choice"),
        ("right", "l", "space"),
        ("form",),
        _("Takes the next choice."),
        "turn_field(1)",
        palette=False,
    ),
    Action(
        "form.previous",
        _("Previous choice"),
        ("left", "h"),
        ("form",),
        _("Takes the previous choice."),
        "turn_field(-1)",
        palette=False,
    ),
    Action(
        "dialog.choose",
        _("Choose"),
        ("enter",),
        ("dialog",),
        _("Does what the cursor is on."),
        "choose",
        footer=True,
        palette=False,
    ),
    Action(
        "dialog.close",
        _("Close"),
        ("escape", "q"),
        ("dialog",),
        _("Closes the dialog; nothing is done."),
        "dismiss",
        footer=True,
        palette=False,
    ),
)

ACTIONS: Final[tuple[Action, ...]] = (
    *_EVERYWHERE,
    *HOME,
    *JOB,
    *RUN,
    *CHAT,
    *EXPORT,
    *GGUF,
    *PROOF,
    *MODELFILE,
    *_FORMS,
)

BY_ID: Final[Mapping[str, Action]] = {action.id: action for action in ACTIONS}
