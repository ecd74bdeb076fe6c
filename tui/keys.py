"""Keys of the actions: Textual's bindings, the settings' own keys and their conflicts, the printed reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from data.errors import RequestError
from data.i18n import Message, _
from tui.action import Action
from tui.actions import ACTIONS, BY_ID, WHERE

if TYPE_CHECKING:
    from textual.binding import Binding, BindingType


# Places whose keys are alive at the same time: within one of these groups no key may be given twice.
_TOGETHER: Final[Sequence[frozenset[str]]] = (
    frozenset({"app", "home", "list"}),
    frozenset({"app", "run", "list", "log"}),
    frozenset({"app", "run", "chart"}),
    frozenset({"app", "chat"}),
    frozenset({"app", "export", "list"}),
    frozenset({"app", "gguf", "list"}),
    frozenset({"app", "proof", "list"}),
    frozenset({"app", "modelfile"}),
    frozenset({"app", "form", "list"}),
    frozenset({"dialog", "list"}),
)

# Why these can never be given: they belong to flow control, tmux, or do not arrive everywhere.
_REFUSED: Final[Mapping[str, Message]] = {
    "ctrl+q": _("the terminal's flow control"),
    "ctrl+s": _("the terminal's flow control"),
    "ctrl+b": _("tmux's own prefix"),
    "ctrl+z": _("the shell's job control"),
}

_SHOWN: Final[Mapping[str, str]] = {
    "question_mark": "?",
    "slash": "/",
    "escape": "esc",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
}
_ARROWS: Final = frozenset({"left", "right", "up", "down"})
_TYPED: Final[Mapping[str, str]] = {
    shown: key for key, shown in _SHOWN.items() if len(shown) == 1 and key not in _ARROWS
}


def bindings(*places: str, only: Sequence[str] = ()) -> list[BindingType]:
    """Return Textual's bindings of the actions in ``places`` (all, or those in ``only``), under their ids."""
    from textual.binding import Binding as TextualBinding  # noqa: PLC0415 - the key reference needs no Textual

    made: list[BindingType] = []
    for action in ACTIONS:
        if not set(places).intersection(action.where) or (only and action.id not in only):
            continue
        # Not translated here: what a person reads is looked up by id in the language of the moment.
        made.append(
            TextualBinding(
                ",".join(action.keys),
                f"app.{action.call}" if action.where == ("app",) else action.call,
                action.title.english(),
                show=action.footer,
                priority=action.priority,
                id=action.id,
            )
        )
    return made


def action_of(binding: Binding) -> Action | None:
    """Return the action that ``binding`` was made from; None for Textual's own."""
    return BY_ID.get(binding.id or "")


def key_name(key: str) -> str:
    """Return ``key`` as it is printed on a keyboard: "question_mark" is "?", "ctrl+p" stays."""
    return _SHOWN.get(key, key)


def is_typed(key: str) -> bool:
    """Say whether ``key`` writes a character where there is a field to write in."""
    return len(key) == 1 or key in _TYPED.values() or key == "space"


def parse_keys(text: str) -> tuple[str, ...]:
    """Return the keys that a person writes in the settings ("x", "?", "ctrl+d, delete") by Textual's names."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(_TYPED.get(name, name) for name in names)


def resolve(chosen: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the keys of every action, with those of the settings in place of the table's.

    Raises RequestError for an unknown action, a key that cannot be used, and a key that is taken.
    """
    keys = {action.id: action.keys for action in ACTIONS}
    for name, text in chosen.items():
        if name not in keys:
            raise RequestError(
                _("The setting keys names an unknown action: {name}", name=name),
                _("There is no such action."),
                _("Actions: {names}", names=", ".join(keys)),
            )
        keys[name] = parse_keys(text)
        _refuse_unusable(name, keys[name])
    for group in _TOGETHER:
        _refuse_double(group, keys)
    return keys


def _refuse_unusable(name: str, keys: tuple[str, ...]) -> None:
    hint = _("Choose a letter, a sign, or ctrl with a letter.")
    if not keys:
        raise RequestError(_("The setting keys gives no key to {name}", name=name), "", hint)
    for key in keys:
        reason = _REFUSED.get(key)
        if reason is None and key.startswith("alt+"):
            reason = _("alt does not arrive in every terminal")
        if reason is None and key[:1] == "f" and key[1:].isdigit():
            reason = _("function keys do not arrive in every terminal")
        if reason is not None:
            raise RequestError(_("The key {key} cannot be used for {name}", key=key, name=name), reason, hint)


def _refuse_double(group: frozenset[str], keys: Mapping[str, tuple[str, ...]]) -> None:
    owner: dict[str, str] = {}
    for action in ACTIONS:
        if not group.intersection(action.where):
            continue
        for key in keys[action.id]:
            other = owner.setdefault(key, action.id)
            if other != action.id:
                raise RequestError(
                    _("The key {key} is given to two actions", key=key_name(key)),
                    _("{first} and {second} are used in the same place.", first=other, second=action.id),
                    _("Give one of them another key in the settings, under [keys]."),
                )


def keymap(chosen: Mapping[str, str]) -> dict[str, str]:
    """Return Textual's keymap for the keys of the settings; raises RequestError as ``resolve`` does."""
    keys = resolve(chosen)
    return {name: ",".join(keys[name]) for name in chosen}


def reference() -> str:
    """Return the key reference of the user guide, as Markdown, in the active language."""
    lines: list[str] = []
    for place, title in WHERE.items():
        lines += [f"## {title}", "", f"| {_('key')} | {_('action')} | {_('what it does')} | id |", "|---|---|---|---|"]
        for action in ACTIONS:
            if place in action.where:
                shown = " ".join(f"`{key_name(key)}`" for key in action.keys)
                lines.append(f"| {shown} | {action.title} | {action.help} | `{action.id}` |")
        lines.append("")
    return "\n".join(lines)
