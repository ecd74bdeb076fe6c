"""The least that a Textual app can be: one line of text. The rival of Paddock's start and memory."""

from textual.app import App, ComposeResult
from textual.widgets import Static


class Bare(App[None]):
    """One line."""

    def compose(self) -> ComposeResult:
        """Show it."""
        yield Static("bare-first-frame")


Bare().run()
