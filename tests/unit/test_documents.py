"""The documents are whole: links lead somewhere, names of code in the decisions exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for page in (ROOT / "docs").rglob("*.md") if page.name != "plan.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
OUR_TREE = [page for page in PAGES if "guide" not in page.parts]
"""Pages that speak of this tree; the guide speaks of the reader's own folders, which also have a ``data``."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    broken: list[str] = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("https://", "http://")):
            continue
        name, _hash, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_decision_is_in_the_list_and_every_number_is_used_once() -> None:
    folder = ROOT / "docs" / "adr"
    names = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert sorted(LINK.findall((folder / "README.md").read_text(encoding="utf-8"))) == names
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for name in names:
        assert (folder / name).read_text(encoding="utf-8").startswith(f"# {int(name[:4])}. ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_holds_what_a_merge_left(page: Path) -> None:
    assert re.findall(r"^(?:<{7}|>{7}) .*$", page.read_text(encoding="utf-8"), re.MULTILINE) == []


@pytest.mark.parametrize("page", OUR_TREE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_of_the_tree_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(
        re.findall(r"(?<![\w./~-])((?:tui|screens|backend|data|tests|scripts)/[\w/.-]+\.(?:py|sh|json|tcss))", text)
    )
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_both_guides_have_the_same_pages() -> None:
    guide = ROOT / "docs" / "guide"
    assert [path.name for path in sorted((guide / "en").iterdir())] == [
        p.name for p in sorted((guide / "zh").iterdir())
    ]
