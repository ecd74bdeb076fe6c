"""The terminal as we read and write it: what is pasted is never a key, no byte ends the reading, `2>log` is no harm.

What a library prints past Python, as those in Rust do where they panic, is not drawn over the screen.
"""

from __future__ import annotations

import os
import selectors
import sys
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Final

from textual import events
from textual._xterm_parser import XTermParser  # pyright: ignore[reportPrivateUsage] - keys and mouse are read by Textual's
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

_BEGIN: Final = "\x1b[200~"
_END: Final = "\x1b[201~"
_UNCLEAR: Final = tuple(_BEGIN[:length] for length in range(len(_BEGIN) - 1, 0, -1))
"""What may be the beginning of ``_BEGIN``, cut off by the end of a reading"""
_ESCAPE: Final = _BEGIN[0]
_CHUNK_BYTES: Final = 1 << 16
_TICK_S: Final = 0.1
_ERRORS: Final = 2


class Pastes:
    """Takes pastes out of what a terminal sends.

    Textual looks for keys in them, too: an escape sequence that was pasted would leave the place, and the letters
    behind it would be commands.
    """

    def __init__(self) -> None:
        self._pasted: list[str] | None = None
        """The pieces of a paste that has begun"""
        self._ending = ""
        """Its last letters, among which the mark of its end may begin"""
        self._held = ""

    def split(self, text: str) -> Iterator[tuple[str, bool]]:
        """Yield the pieces of ``text`` in order, each with whether it is a whole paste; call with "" in each pause."""
        held, self._held = self._held, ""
        is_whole = text in ("", _ESCAPE)  # a pause, or the key, which is sent alone and must not be late
        text = held + text
        while text:
            if self._pasted is None:
                before, mark, text = text.partition(_BEGIN)
                if mark:
                    self._pasted = []
                elif not is_whole:
                    self._held = next((cut for cut in _UNCLEAR if before.endswith(cut)), "")
                    before = before[: len(before) - len(self._held)]
                if before:
                    yield before, False
                continue
            self._pasted.append(text)
            ending = self._ending + text
            self._ending = ending[1 - len(_END) :]
            if _END not in ending:
                return
            pasted, _mark, text = "".join(self._pasted).partition(_END)
            self._pasted, self._ending = None, ""
            yield pasted, True


class TerminalDriver(LinuxDriver):
    """Textual's driver, with a reading of our own."""

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)  # pyright: ignore[reportUnknownMemberType] - Textual leaves the app's result open
        if not (sys.__stderr__ and sys.__stderr__.isatty()) and sys.__stdout__ and sys.__stdout__.isatty():
            self._file = sys.__stdout__  # Textual draws on the error output, which goes elsewhere: `paddock 2>log`
        elif sys.__stderr__:
            own = os.dup(sys.__stderr__.fileno())
            self._file = os.fdopen(own, "w", encoding=sys.__stderr__.encoding, errors=sys.__stderr__.errors)
        self._errors: int | None = None
        """The error output, while the app has the terminal"""

    def start_application_mode(self) -> None:
        """Take the terminal, for the app alone: what others write to the error output is not seen."""
        if self._errors is None and os.isatty(_ERRORS):
            self._errors = os.dup(_ERRORS)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, _ERRORS)
            os.close(nowhere)
        super().start_application_mode()

    def stop_application_mode(self) -> None:
        """Give the terminal back."""
        try:
            super().stop_application_mode()
        finally:
            if self._errors is not None:
                os.dup2(self._errors, _ERRORS)
                os.close(self._errors)
                self._errors = None

    def run_input_thread(self) -> None:
        """Read what the terminal sends until the app ends or the terminal is gone."""
        decode = getincrementaldecoder("utf-8")(errors="replace").decode  # Chinese of a GBK terminal is no end either
        parser, pastes = XTermParser(self._debug), Pastes()
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                text = ""
                if selector.select(_TICK_S):
                    try:
                        sent = os.read(self.fileno, _CHUNK_BYTES)
                    except OSError:
                        return
                    if not sent:
                        return
                    text = decode(sent)
                for piece, is_paste in pastes.split(text):
                    for message in (events.Paste(piece),) if is_paste else parser.feed(piece):
                        self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)
