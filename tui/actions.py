"""One table of actions, from which bindings, footer, palette, help screen and the key reference are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from data.i18n import Message, _


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a person can do. ``keys`` are Textual's names; the first is the one that is shown."""

    id: str
    title: Message
    keys: tuple[str, ...]
    where: tuple[str, ...]
    help: Message
    call: str
    """Textual's action: the method is ``action_<call>`` of what has the focus, its screen, or the app"""
    footer: bool = False
    palette: bool = True
    priority: bool = False
    """Works before the focused field gets the key"""


WHERE: Final[Mapping[str, Message]] = {
    "app": _("Everywhere"),
    "list": _("In lists and in the log"),
    "home": _("Home"),
    "run": _("Run"),
    "chart": _("In the chart"),
    "log": _("In the log"),
    "chat": _("Chat"),
    "dialog": _("In dialogs"),
}
"""Places of actions in the order of the help screen."""

ACTIONS: Final[tuple[Action, ...]] = (
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
    Action("home.open", _("Open"), ("enter",), ("home",), _("Opens the job in Run."), "open_job", footer=True),
    Action(
        "home.fold",
        _("Fold"),
        ("space",),
        ("home",),
        _("Shows or hides the steps of a pipeline."),
        "fold",
    ),
    Action(
        "home.demo",
        _("Demo"),
        ("d",),
        ("home",),
        _("Trains, merges, converts and deploys a small real model; first says what it installs."),
        "demo",
        footer=True,
    ),
    Action(
        "job.chat",
        _("Chat"),
        ("c",),
        ("run",),
        _("Talks with the model that this job, or its pipeline, has deployed."),
        "chat",
        footer=True,
    ),
    Action(
        "job.stop",
        _("Stop"),
        ("s",),
        ("home", "run"),
        _("Asks how to stop the job, and says what a resume would lose."),
        "stop_job",
        footer=True,
    ),
    Action(
        "job.resume",
        _("Resume"),
        ("r",),
        ("home", "run"),
        _("Runs an ended job again from where it was; first says what that means."),
        "resume_job",
        footer=True,
    ),
    Action(
        "job.remove",
        _("Remove"),
        ("x",),
        ("home", "run"),
        _("Removes a job; what it made is kept unless you say otherwise."),
        "remove_job",
        footer=True,
    ),
    Action(
        "job.copy",
        _("Copy"),
        ("y",),
        ("home", "run"),
        _("Copies the failure, or the end of the log, to the clipboard, and writes it to a file."),
        "copy_job",
        footer=True,
    ),
    Action(
        "run.next",
        _("Next step"),
        ("right_square_bracket",),
        ("run",),
        _("Shows the next job of the pipeline."),
        "step(1)",
    ),
    Action(
        "run.previous",
        _("Previous step"),
        ("left_square_bracket",),
        ("run",),
        _("Shows the previous job of the pipeline."),
        "step(-1)",
    ),
    Action(
        "run.zoom",
        _("Whole screen"),
        ("z",),
        ("run",),
        _("Gives the focused pane the whole screen; again gives it back."),
        "zoom",
    ),
    Action("log.follow", _("Follow"), ("f",), ("log",), _("Keeps the end of the log in view."), "follow", footer=True),
    Action(
        "chart.in",
        _("Zoom in"),
        ("plus", "equals_sign"),
        ("chart",),
        _("Shows half as many steps."),
        "zoom_in",
        footer=True,
    ),
    Action(
        "chart.out", _("Zoom out"), ("minus",), ("chart",), _("Shows twice as many steps."), "zoom_out", footer=True
    ),
    Action("chart.all", _("All"), ("0",), ("chart",), _("Shows all steps."), "zoom_all", footer=True),
    Action("chart.left", _("Earlier"), ("left", "h"), ("chart",), _("Moves to earlier steps."), "pan(-1)"),
    Action("chart.right", _("Later"), ("right", "l"), ("chart",), _("Moves to later steps."), "pan(1)"),
    Action(
        "chart.log",
        _("Log scale"),
        ("o",),
        ("chart",),
        _("Changes between a linear and a logarithmic axis."),
        "log_scale",
        footer=True,
    ),
    Action("chart.smooth", _("Smoothing"), ("e",), ("chart",), _("Shows or hides the smoothed line."), "smoothing"),
    Action(
        "chat.send",
        _("Send"),
        ("enter",),
        ("chat",),
        _("Sends what is written."),
        "send",
        footer=True,
        palette=False,
        priority=True,
    ),
    Action(
        "chat.newline",
        _("New line"),
        ("ctrl+j",),
        ("chat",),
        _("Begins a new line in the message."),
        "newline",
        footer=True,
        palette=False,
        priority=True,
    ),
    Action(
        "chat.stop",
        _("Stop the reply"),
        ("ctrl+c",),
        ("chat",),
        _("Stops the reply; what has come is kept."),
        "stop_reply",
        footer=True,
        priority=True,
    ),
    Action(
        "chat.retry",
        _("Again"),
        ("ctrl+r",),
        ("chat",),
        _("Asks for the last reply once more."),
        "retry",
        footer=True,
        priority=True,
    ),
    Action(
        "chat.clear",
        _("Clear"),
        ("ctrl+l",),
        ("chat",),
        _("Begins a new conversation."),
        "clear",
        footer=True,
        priority=True,
    ),
    Action(
        "chat.copy",
        _("Copy reply"),
        ("ctrl+y",),
        ("chat",),
        _("Copies the last reply to the clipboard, and writes it to a file."),
        "copy_reply",
        priority=True,
    ),
    Action(
        "chat.model",
        _("Model"),
        ("ctrl+o",),
        ("chat",),
        _("Chooses another model."),
        "choose_model",
        footer=True,
        priority=True,
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

BY_ID: Final[Mapping[str, Action]] = {action.id: action for action in ACTIONS}
