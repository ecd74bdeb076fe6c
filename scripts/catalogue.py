"""Keep the message catalogues in step with the code.

    python scripts/catalogue.py update    add new messages, drop those that are gone, compile
    python scripts/catalogue.py check     say what is missing; the status is 1 when something is
    python scripts/catalogue.py compile   write the .mo files only

The .po files hold no dates and no places in the code, and are sorted, so that a rerun changes nothing and branches
merge. A message whose English changed is a new message: a guess at its translation would be wrong unseen.
"""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("tui", "screens", "backend", "data")
HEADER = """\
msgid ""
msgstr ""
"Project-Id-Version: Paddock\\n"
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def main(words: list[str]) -> int:
    """Do what the one word asks for; return the exit status."""
    match words:
        case ["update"]:
            update(ROOT)
            compile_all(ROOT)
            report(ROOT)
            return 0
        case ["check"]:
            return report(ROOT)
        case ["compile"]:
            compile_all(ROOT)
            return 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def templates(root: Path) -> set[str]:
    """Return every template that the code marks with ``_()``."""
    return {template for room in ROOMS for path in (root / room).rglob("*.py") for template in _marked(path)}


def _marked(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        match node:
            case ast.Call(func=ast.Name(id="_"), args=[ast.Constant(value=str(template))]):
                yield template
            case ast.Call(func=ast.Name(id="_")):
                sys.exit(f"{path}:{node.lineno}: a message has to be a literal, with its values by name")
            case _:
                pass


def catalogues(root: Path) -> dict[str, Path]:
    """Return the .po file of each language."""
    return {path.parent.parent.name: path for path in sorted((root / "data" / "locale").glob("*/LC_MESSAGES/*.po"))}


def translations(path: Path) -> dict[str, str]:
    """Return what a .po file translates, without guesses."""
    with path.open("rb") as stream:
        catalogue = read_po(stream)
    return {str(m.id): str(m.string) for m in catalogue if m.id and m.string and not m.fuzzy}


def render(language: str, messages: dict[str, str]) -> str:
    """Return the text of a .po file."""
    catalogue = Catalog()
    for template, translation in messages.items():
        catalogue.add(template, translation)
    stream = io.BytesIO()
    write_po(stream, catalogue, width=0, no_location=True, omit_header=True, sort_output=True)
    return HEADER.format(language=language) + stream.getvalue().decode("utf-8")


def update(root: Path) -> None:
    """Bring the .po files up to date; a file that is so already stays untouched."""
    wanted = templates(root)
    for language, path in catalogues(root).items():
        known = translations(path)
        text = render(language, {template: known.get(template, "") for template in wanted})
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def report(root: Path) -> int:
    """Print what the catalogues lack and what they hold in vain; return the exit status."""
    wanted = templates(root)
    status = 0
    for language, path in catalogues(root).items():
        known = translations(path)
        missing, extra = sorted(wanted - known.keys()), sorted(known.keys() - wanted)
        for word, found in (("missing", missing), ("obsolete", extra)):
            for template in found:
                print(f"{language}: {word}: {template!r}")
        print(f"{language}: {len(wanted)} messages, {len(missing)} missing, {len(extra)} obsolete")
        status = 1 if missing or extra else status
    return status


def compile_all(root: Path) -> None:
    """Write the .mo files, as the build does."""
    sys.path.insert(0, str(root))
    from hatch_build import compile_catalogues  # noqa: PLC0415 - its folder is on the path from here on

    compile_catalogues(root)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
