"""Write the references of the user guide: keys from the action table, settings from their model, in both languages.

    python scripts/keys.py          renew the tables in docs/guide
    python scripts/keys.py check    say which are stale; the status is 1 when any is

A page keeps its own words; the tables stand between two comments.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from data import i18n, settings  # noqa: E402 - after the path
from tui import keys  # noqa: E402 - as above

LANGUAGES = {"en": "en", "zh": "zh_CN"}
"""Folder of the guide and language of its tables"""
TABLES = {"keys.md": keys.reference, "settings.md": settings.reference}
BETWEEN = re.compile(r"(<!-- made by `make keys` -->\n).*(<!-- end -->)", re.DOTALL)


def renewed(root: Path) -> dict[Path, str]:
    """Return the text of each page with a table, as it should be; raises ValueError where the comments are missing."""
    pages: dict[Path, str] = {}
    before = i18n.active_language()
    try:
        for folder, language in LANGUAGES.items():
            i18n.activate(language)
            for name, reference in TABLES.items():
                page = root / "docs" / "guide" / folder / name
                text = page.read_text(encoding="utf-8")
                table = f"\n{reference().strip()}\n\n"
                fresh, count = BETWEEN.subn(lambda found, table=table: f"{found[1]}{table}{found[2]}", text)
                if count != 1:
                    message = f"{page}: the comments around the table are missing"
                    raise ValueError(message)
                pages[page] = fresh
    finally:
        i18n.activate(before)
    return pages


def main(words: list[str]) -> int:
    """Renew the pages, or with ``check`` say which are stale; return the exit status."""
    if words not in ([], ["check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = [page for page, text in renewed(ROOT).items() if page.read_text(encoding="utf-8") != text]
    for page in stale:
        print(page.relative_to(ROOT))
        if not words:
            page.write_text(renewed(ROOT)[page], encoding="utf-8")
    return 1 if words and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
