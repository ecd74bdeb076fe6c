"""A text that is read, not followed: lines that stay, searched downwards, with nothing coloured for its words."""

from __future__ import annotations

from collections.abc import Sequence

from tui.widgets.log_view import LogView


class TextView(LogView):
    """Takes lines that are inert already."""

    def show(self, lines: Sequence[str]) -> None:
        """Show ``lines`` from the first on."""
        self.clear()
        self.lines = list(lines)
        self.follow = False
        self._measure(self.lines)
        self.scroll_home(animate=False)

    def role_of(self, line: str) -> str:
        """Return the role of plain text."""
        return "text"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer no following: nothing comes."""
        return False if action == "follow" else super().check_action(action, parameters)

    def find(self, needle: str) -> bool:
        """Search ``needle`` downwards from what is in view, and on from the beginning; say whether it is there."""
        self.needle, self.match = needle, -1
        folded, top = needle.casefold(), self.scroll_offset.y
        for index in (*range(top, self.count), *range(top)):
            if folded and folded in self.line_at(index).casefold():
                self.show_match(index)
                return True
        self.refresh()
        return False
