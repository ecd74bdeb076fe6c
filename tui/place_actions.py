"""The actions of the places, in the order of the places: a table each."""

from __future__ import annotations

from typing import Final

from data.i18n import _
from tui.action import Action

HOME: Final[tuple[Action, ...]] = (
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
)

JOB: Final[tuple[Action, ...]] = (
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
        "job.export",
        _("Export"),
        ("E",),
        ("home", "run"),
        _("Takes what the training made to Export: merge, GGUF, Ollama."),
        "export_job",
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
)

RUN: Final[tuple[Action, ...]] = (
    Action(
        "run.inspect",
        _("Look inside"),
        ("v",),
        ("run",),
        _("Shows keys, tensors, chat template and tokenizer of the GGUF that the job made."),
        "inspect",
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
        "log.left", _("To the left"), ("left", "h"), ("log",), _("Shows the beginning of long lines."), "sideways(-1)"
    ),
    Action("log.right", _("To the right"), ("right", "l"), ("log",), _("Shows the rest of long lines."), "sideways(1)"),
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
)

CHAT: Final[tuple[Action, ...]] = (
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
)

EXPORT: Final[tuple[Action, ...]] = (
    Action(
        "export.start",
        _("Start"),
        ("s",),
        ("export",),
        _("Says what the export writes and where, then starts it; every step is a job."),
        "start",
        footer=True,
    ),
    Action(
        "export.choose",
        _("Choose"),
        ("enter",),
        ("export",),
        _("Exports the weights that the cursor is on."),
        "choose_weights",
        footer=True,
    ),
    Action(
        "export.add",
        _("Merge too"),
        ("space",),
        ("export",),
        _("Merges this adapter as well, one after the other; again leaves it out."),
        "add_weights",
    ),
    Action(
        "export.open",
        _("Another path"),
        ("o",),
        ("export",),
        _("Exports a folder or a GGUF that is not in the list."),
        "open_path",
        footer=True,
    ),
    Action(
        "export.inspect",
        _("Look inside"),
        ("v",),
        ("export",),
        _("Shows keys, tensors, chat template and tokenizer of the GGUF."),
        "inspect",
        footer=True,
    ),
    Action(
        "export.unlock",
        _("Unlock"),
        ("u",),
        ("export",),
        _("Lets you change what the training decided; it is marked."),
        "unlock",
        footer=True,
    ),
)

GGUF: Final[tuple[Action, ...]] = (
    Action(
        "gguf.value",
        _("Whole value"),
        ("enter",),
        ("gguf",),
        _("Shows all of a long key: a chat template, the tokens, the merges."),
        "whole_value",
        footer=True,
    ),
)
