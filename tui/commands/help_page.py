"""Click's help pages, with Chinese wrapped by the cells that it takes."""

from __future__ import annotations

from collections.abc import Iterable

import click

from data.i18n import active_language


class HelpPage(click.HelpFormatter):
    """Click's formatter counts characters; a Chinese one is two cells wide, and its lines break without spaces."""

    def write_text(self, text: str) -> None:
        """Write one paragraph."""
        if active_language() == "en":
            super().write_text(text)
            return
        self._write_lines(text, self.width - self.current_indent, " " * self.current_indent)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms, which are ASCII, and what they mean beside them."""
        if active_language() == "en":
            super().write_dl(list(rows), col_max, col_spacing)
            return
        pairs = list(rows)
        column = min(max(len(term) for term, _text in pairs), col_max) + col_spacing
        margin = " " * (self.current_indent + column)
        for term, text in pairs:
            beside = len(term) <= column - col_spacing
            start = " " * self.current_indent + (term.ljust(column) if beside else f"{term}\n{margin}")
            self.write(start)
            self._write_lines(text, self.width - len(margin), margin, begun=True)

    def _write_lines(self, text: str, width: int, margin: str, *, begun: bool = False) -> None:
        from tui.wording import wrap  # noqa: PLC0415 - Rich knows the cells, and English help needs none of it

        lines = wrap(text, max(width, 10))
        self.write(("" if begun else margin) + f"\n{margin}".join(lines) + "\n")
