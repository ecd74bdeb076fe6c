"""What LLaMA-Factory makes of the conversations with every template: recorded from the real one, or asked anew.

python -P -m tests.prompts  records them again, with the installed LLaMA-Factory.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.lf.find import find
from backend.parity.template import Template, snapshot
from data.paths import Paths
from data.settings import load_settings
from tests.conversations import CASES, Case

RECORDED = Path(__file__).parent / "data" / "llamafactory-0.9.5-templates-prompts.json.gz"
PROGRAM = Path(__file__).parent / "programs" / "lf_prompts.py"
BOS, EOS, DATE = "<BOS>", "<EOS>", "<DATE>"
"""How both tokens, and today's date, are written there"""

Prompts = Mapping[str, Mapping[str, Mapping[str, str | None]]]
"""By template, case, and "on" or "off" (thinking); None where LLaMA-Factory refuses the conversation"""


def cases_of(template: Template) -> list[Case]:
    """Return the conversations that a template is tried with."""
    return [case for case in CASES if template.kind == "reasoning" or not case.has_thoughts]


def modes_of(template: Template) -> tuple[str, ...]:
    """Return "on", and "off" where thinking can be switched off."""
    return ("on", "off") if template.kind == "reasoning" else ("on",)


@dataclass(frozen=True)
class Asked:
    """An answer of LLaMA-Factory; see tests/programs/lf_prompts.py."""

    prompts: Prompts
    ids: Mapping[str, Mapping[str, Mapping[str, Sequence[int] | None]]]
    """By template, case and mode, for the templates whose tokenizers were given"""
    pieces: Mapping[str, Mapping[str, Mapping[str, Sequence[str] | None]]]
    """As ``ids``: the texts that are encoded one by one"""
    own: Mapping[str, Mapping[str, str | None]]
    """LLaMA-Factory's own TEMPLATE ("modelfile") and chat template ("jinja")"""


def ask(python: Path, tokenizers: Mapping[str, Path] | None = None) -> Asked:
    """Ask the LLaMA-Factory of ``python``; ``tokenizers`` are folders by template."""
    known = snapshot().by_name
    cases = {
        name: {case.name: case.training(one.thought_words) for case in cases_of(one)} for name, one in known.items()
    }
    folders = {name: str(folder) for name, folder in (tokenizers or {}).items()}
    done = subprocess.run(
        [str(python), str(PROGRAM)],
        input=json.dumps({"cases": cases, "tokenizers": folders}).encode(),
        capture_output=True,
        check=False,
        cwd="/",
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    return Asked(**json.loads(done.stdout))


@functools.cache
def recorded() -> Prompts:
    """Return what was recorded."""
    answer: Prompts = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return answer


def lf_python() -> Path:
    """Return the Python of the installed LLaMA-Factory."""
    paths = Paths.default()
    found = find(load_settings(paths.settings).values, paths)
    assert found is not None, "no LLaMA-Factory: run `paddock setup llamafactory`"
    return found.python


if __name__ == "__main__":
    text = json.dumps(ask(lf_python()).prompts, ensure_ascii=False, indent=0, sort_keys=True)
    RECORDED.write_bytes(gzip.compress(text.encode(), mtime=0))
