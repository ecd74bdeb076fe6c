"""Untrusted text made inert: escape sequences and control characters are shown or dropped, never obeyed."""

from __future__ import annotations

import re
import shlex
from typing import Final

# Colours and line clearing are noise of a terminal; whatever else was meant for one is made visible.
_NOISE: Final = re.compile(r"\x1b\[[0-9;:]*[mK]")
_BAR: Final = re.compile(r"^(?P<name>[^|]*?)\s*\d{1,3}%\s?\|")
# The rest of a bar (tqdm's form): its blocks, count of total, and times and rate in brackets.
_AFTER_BAR: Final = re.compile(r"^[^|]*?\d{1,3}%\s?\|[^|]*\|\s*\S+/\S+\s\[[^\[\]]*\](?P<rest>.*)$")
_SEQUENCE: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # nested bars end by moving the cursor up
_TAB: Final = 4
_CONTROLS: Final = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {0x7F: "␡"}
# Directional overrides reorder what follows them on the screen: a line could show what it does not say.
_REORDERING: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, 0xFEFF)
_PICTURES: Final = {
    **_CONTROLS,
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    **{code: f"\\u{code:04x}" for code in _REORDERING},
}
_SIGNS: Final = _CONTROLS | dict.fromkeys((*range(0x80, 0xA0), *_REORDERING), "\ufffd")


def inert(text: str) -> str:
    """Return ``text`` (which may have several lines) with no character that a terminal would obey.

    Colour sequences are dropped, tabs become spaces, every other control character becomes its picture (␛).
    """
    return _NOISE.sub("", text).replace("\r\n", "\n").expandtabs(_TAB).translate(_PICTURES)


def shell_word(value: object) -> str:
    """Return a path or a name as a word of a command that people copy: quoted where a shell would cut it."""
    return shlex.quote(inert(str(value)))


def signs(line: str) -> str:
    """Return ``line`` with one sign for each character that a terminal would obey: for an editor, which counts them."""
    return line.translate(_SIGNS)


def pasted(text: str) -> str:
    """Return what was pasted as text to be edited: line ends of one kind, colours dropped, nothing to be obeyed."""
    return _NOISE.sub("", text).replace("\r\n", "\n").replace("\r", "\n").translate(_PICTURES)


def one_line(text: str, newline: str = " ") -> str:
    """Return ``text`` for a field of one line: without blank ends, ``newline`` for each line end inside."""
    lines = [line.strip() if newline.isspace() else line for line in inert(pasted(text)).strip().split("\n")]
    return newline.join(lines)


def fold_returns(line: str) -> str:
    """Return what a terminal would show of a line that was overwritten by carriage returns: its last piece."""
    if "\r" not in line:
        return line
    for piece in reversed(line.split("\r")):
        if piece.strip():
            return piece
    return ""


def without_bar(line: str) -> str:
    """Return what a program wrote right behind a progress bar, which a terminal would show on the bar's line.

    A bar with nothing behind it stays as it is.
    """
    found = _AFTER_BAR.match(line)
    return found["rest"] if found and _SEQUENCE.sub("", found["rest"]).strip() else line


def bar_name(line: str) -> str | None:
    """Return the name of the progress bar (tqdm's form) that ``line`` shows; None for other lines."""
    found = _BAR.match(line)
    return found["name"].strip() if found else None


def fold_bars(lines: list[str], last: str | None = None) -> tuple[list[str], bool]:
    """Return ``lines`` without the progress bars that a later state of the same bar replaces.

    ``last`` is the line before them; the answer's second half says whether that one is replaced, too.
    """
    made: list[str] = [] if last is None else [last]
    for line in lines:
        name = bar_name(line)
        if made and name is not None and bar_name(made[-1]) == name:
            made[-1] = line
        else:
            made.append(line)
    if last is None:
        return made, False
    return made[1:] if made[0] == last else made, made[0] != last
