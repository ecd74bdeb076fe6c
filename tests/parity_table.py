"""Every template of LLaMA-Factory on two real Ollama servers, beside what else people deploy with: ``make parity``.

Texts are what the servers render (``_debug_render_only``), the count of ids is that of a real generation of one token
(``prompt_eval_count``); both against the ids of the real LLaMA-Factory. The weights are random and tiny, the road is
the real one. Beside it stands what ``paddock verify --offline`` foretells, for every method.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import hashlib
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from backend.ollama.modelfile import make
from backend.parity.asked import Sent, Served
from backend.parity.cause import explained
from backend.parity.compare import Verdict, part
from backend.parity.expected import Expected, Prompt
from backend.parity.predict import forecast
from backend.parity.template import snapshot
from backend.parity.tokenizer import Runner
from backend.parity.training import prompt
from data.errors import AppError
from data.gguf import read_header
from tests import ollamas, prompts
from tests.conversations import Case
from tests.parity_models import FAMILIES, Model, family_of

Method = Literal["paddock", "jinja", "llamafactory", "bare", "official"]
METHODS: dict[Method, str] = {
    "paddock": "Paddock's GGUF and Modelfile",
    "jinja": "Paddock's GGUF alone (FROM x.gguf)",
    "llamafactory": "LLaMA-Factory's own Modelfile",
    "bare": "LLaMA-Factory's chat template in the GGUF, FROM x.gguf",
    "official": "the model's official chat template in the GGUF, FROM x.gguf",
}
EXPLAINED = {
    "training-refuses": "LLaMA-Factory refuses several calls at once in this tool format",
    "boundary": "LLaMA-Factory encodes the parts of a conversation apart, and the joined text is cut otherwise there",
    "reply-blank": "an answer that begins with a blank cannot be told from a reply, which always does (SentencePiece)",
    "pre-tokenizer": "this Ollama does not know how the vocabulary is cut",
}
"""Causes that no Modelfile can mend"""
_CONTEXT = 8192


@dataclass
class Row:
    """What came of one template on one server: (right, tried) by method."""

    template: str
    version: str
    vocabulary: str
    right: dict[Method, tuple[int, int]] = field(default_factory=dict)
    plain: dict[Method, bool] = field(default_factory=dict)
    """Whether all conversations without tools and without thoughts are right"""
    foretold: tuple[int, int] = (0, 0)
    """Of all methods: answers of the server that ``--offline`` has right, and all"""
    reasons: list[tuple[str, str]] = field(default_factory=list)
    """Cause and conversation of Paddock's own that cannot be expressed"""
    failures: list[str] = field(default_factory=list)
    """What differs without a reason: Paddock's own prompts, and forecasts"""


class Asker:
    """Makes models on a server and asks it what it sends."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=300)

    def close(self) -> None:
        """Let the connections go."""
        self.client.close()

    def create(self, file: Path, **values: object) -> None:
        """Make the model "m" of a GGUF, alone on the server and not loaded.

        Ollama 0.32.7 takes a runner that is loaded for the same file whether it was started for a TEMPLATE or not.
        """
        self.client.post("/api/generate", json={"model": "m", "keep_alive": 0})
        self.client.request("DELETE", "/api/delete", json={"model": "m"})
        content = file.read_bytes()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.client.post(f"/api/blobs/{digest}", content=content).raise_for_status()
        said = self.client.post(
            "/api/create", json={"model": "m", "files": {file.name: digest}, "stream": False, **values}
        )
        assert said.status_code == 200, said.text

    def chat(self, case: Case, mode: str, **values: object) -> dict[str, Any]:
        """Ask for an answer; thinking is said where it is to be off."""
        body = {"model": "m", "stream": False, **case.request(), **values}
        if mode == "off":
            body["think"] = False
        answer: dict[str, Any] = self.client.post("/api/chat", json=body).json()
        return answer

    def text(self, case: Case, mode: str) -> str | None:
        """Return what would be sent; None where the server refuses the conversation."""
        info = self.chat(case, mode, _debug_render_only=True).get("_debug_info")
        return str(info["rendered_template"]) if info else None

    def count(self, case: Case, mode: str) -> int:
        """Return how many ids were sent."""
        answer = self.chat(case, mode, options={"num_predict": 1, "temperature": 0})
        return int(answer.get("prompt_eval_count", -1))


@dataclass(frozen=True)
class Wanted:
    """One conversation as it was trained."""

    case: Case
    mode: str
    prompt: Prompt

    @property
    def plain(self) -> bool:
        """A conversation as most people have it: no tools, no thoughts, and nothing said of thinking."""
        return not (self.case.tools or self.case.has_thoughts or self.mode == "off")


def wanted_of(model: Model, asked: prompts.Asked) -> list[Wanted]:
    """Return all conversations of a template, with thinking on and off."""
    name, found = model.template.name, list[Wanted]()
    for case in prompts.cases_of(model.template):
        for mode in prompts.modes_of(model.template):
            ids, pieces = asked.ids[name][case.name][mode], asked.pieces[name][case.name][mode]
            if ids is None or pieces is None:
                made = Prompt((), "", "refused")
            else:
                made = Prompt.of(ids, [model.real(piece) for piece in pieces], model.tokens.special)
            found.append(Wanted(case, mode, made))
    return found


class Trial:
    """One template on one server."""

    def __init__(self, model: Model, asked: prompts.Asked, asker: Asker, version: str) -> None:
        self.model, self.asker, self.version = model, asker, version
        self.wanted = wanted_of(model, asked)
        self.own = asked.own[model.template.name]
        self.runner = model.runner(version)
        self.row = Row(model.template.name, version, family_of(model.template.name) or "bytes")

    def run(self) -> Row:
        """Try all methods."""
        model, template, own = self.model, self.model.template, self.own
        made = prompt(template, read_header(model.ours))
        values: dict[str, Any] = {
            "template": made.template, "system": made.system, "parameters": {**made.parameters, "num_ctx": _CONTEXT},
        }  # fmt: skip
        self._try("paddock", model.ours, values, counts=True)
        self._try("jinja", model.light("jinja", header_jinja(model.ours)))
        theirs = model.light("theirs", model.real(own["jinja"]) if own["jinja"] else None)
        if own["modelfile"]:
            system = {"system": template.default_system} if template.default_system else {}
            self._try("llamafactory", theirs, {"template": model.real(own["modelfile"]), **system})
        self._try("bare", theirs)
        official = model.official()
        if official is not None:
            self._try("official", model.light("official", official))
        return self.row

    def _try(
        self, method: Method, gguf: Path, values: Mapping[str, Any] | None = None, *, counts: bool = False
    ) -> None:
        values = {"parameters": {"num_ctx": _CONTEXT}, **(values or {})}
        self.asker.create(gguf, **values)
        coming = forecast(gguf, make(str(gguf), **values), self.version)
        right = tried = 0
        plain = True
        for wanted in self.wanted:
            text = self.asker.text(wanted.case, wanted.mode)
            self._hold(method, wanted, text, coming.send)
            if wanted.prompt.error and (method != "paddock" or text is None):
                continue
            tried += not wanted.prompt.error
            sent = sent_of(self.runner, text)
            if counts and text is not None:
                sent = Sent(sent.ids, sent.text, self.asker.count(wanted.case, wanted.mode))
                self._explain(wanted, sent, coming.served)
            is_right = not wanted.prompt.error and part(wanted.prompt, sent) is None
            right += is_right
            plain &= is_right or not wanted.plain
        self.row.right[method], self.row.plain[method] = (right, tried), plain

    def _hold(self, method: Method, wanted: Wanted, text: str | None, foretell: Any) -> None:
        """Hold the forecast against what the server sends."""
        try:
            told = foretell(wanted.case.proof(wanted.mode))
            foretold = None if told.error is not None else told.text.removeprefix(bos_of(self.runner))
        except AppError as error:
            foretold = f"cannot be foretold: {error.detail}"
        right, tried = self.row.foretold
        self.row.foretold = right + (foretold == text), tried + 1
        if foretold != text:
            where = f"{method}, {wanted.case.name} ({wanted.mode})"
            self.row.failures.append(f"foretold of {where}: {parting(foretold or 'refusal', text or 'refusal')}")

    def _explain(self, wanted: Wanted, sent: Sent, served: Served) -> None:
        """Note why Paddock's own differs, by the words of ``paddock verify``."""
        prompts_of = {wanted.case.name: wanted.prompt}
        expected = Expected("", prompts_of, self.model.template.default_system, None, (), ())
        case = wanted.case.proof(wanted.mode)
        verdict = Verdict(case, wanted.prompt, sent, part(wanted.prompt, sent))
        cause = explained(verdict, expected, served, self.runner).cause
        if cause is not None and cause.id in EXPLAINED:
            self.row.reasons.append((cause.id, f"{wanted.case.name} ({wanted.mode})"))
        elif cause is not None:
            where, ids = f"{wanted.case.name} ({wanted.mode}): {cause.id}", wanted.prompt.ids
            what = parting(sent.text, wanted.prompt.text) if sent.text != wanted.prompt.text else ""
            self.row.failures.append(f"{where}: {sent.counted} ids for {len(ids)} {what}")


def header_jinja(gguf: Path) -> str:
    """Return the chat template of a GGUF."""
    return read_header(gguf).text("tokenizer.chat_template")


def sent_of(runner: Runner, text: str | None) -> Sent:
    """Return what the model gets of a rendered text."""
    if text is None:
        return Sent((), "", error=AppError("refused", ""))
    return Sent(runner.encode(text), runner.whole(text))


def bos_of(runner: Runner) -> str:
    """Return the BOS that the runner puts in front; empty where it puts none."""
    return runner.vocabulary.text(runner.vocabulary.bos) if runner.adds_bos else ""


def parting(sent: str, wanted: str) -> str:
    """Return both texts around the first place where they part."""
    at = next((n for n, (a, b) in enumerate(zip(sent, wanted, strict=False)) if a != b), min(len(sent), len(wanted)))
    start = max(0, at - 20)
    return f"{sent[start : at + 40]!r} for {wanted[start : at + 40]!r}"


def run(versions: Sequence[str], names: Sequence[str], place: Path) -> list[Row]:
    """Try the templates on servers of these versions, both at once."""
    known = snapshot().by_name
    models = [Model(known[name], place) for name in names or sorted(known)]
    asked = prompts.ask(prompts.lf_python(), {model.template.name: model.tokenizer() for model in models})

    def on(version: str) -> list[Row]:
        return _on(version, [Model(one.template, place / version) for one in models], asked)

    with concurrent.futures.ThreadPoolExecutor(len(versions)) as pool:
        return [row for rows in pool.map(on, versions) for row in rows]


def _on(version: str, models: Sequence[Model], asked: prompts.Asked) -> list[Row]:
    rows: list[Row] = []
    with ollamas.server(version) as server, contextlib.closing(Asker(server.url)) as asker:
        for model in models:
            rows.append(Trial(model, asked, asker, version).run())
            sys.stderr.write(f"{_line(rows[-1])}\n")
    return rows


def _line(row: Row) -> str:
    cells = "".join(f"{'–' if name not in row.right else '{}/{}'.format(*row.right[name]):>14}" for name in METHODS)
    return f"{row.template:26}{row.vocabulary:15}{row.version:9}{cells}{'{}/{}'.format(*row.foretold):>14}"


def table(rows: Sequence[Row]) -> str:
    """Return the table as text, with counts at its end."""
    names = "".join(f"{name:>14}" for name in (*METHODS, "foretold"))
    lines = [
        f"{'template':26}{'vocabulary':15}{'Ollama':9}{names}",
        *map(_line, sorted(rows, key=lambda one: (one.template, one.version))),
    ]
    for version in sorted({row.version for row in rows}):
        of = [row for row in rows if row.version == version]
        lines.append(
            f"\nOllama {version}: templates whose ids are right in every conversation (in every one without tools and"
            f" thinking), of {len(of)}"
        )
        for name, words in METHODS.items():
            tried = [row for row in of if name in row.right]
            right = sum(row.right[name][0] == row.right[name][1] for row in tried)
            plain = sum(row.plain[name] for row in tried)
            lines.append(f"  {right:4} ({plain})  {words}" + (f" ({len(tried)} tried)" if len(tried) < len(of) else ""))
        right, tried = (sum(row.foretold[part] for row in of) for part in (0, 1))
        lines.append(f"  {right} of {tried} prompts foretold by paddock verify --offline")
        reasons = Counter((cause, row.template) for row in of for cause, _case in row.reasons)
        for cause, words in EXPLAINED.items():
            named = [f"{template} {count}" for (one, template), count in sorted(reasons.items()) if one == cause]
            if named:
                lines.append(f"  cannot be expressed: {words}: {', '.join(named)}")
    failures = [f"{row.template} on {row.version}: {text}" for row in rows for text in row.failures]
    lines.append(f"\nunexplained: {len(failures)}")
    return "\n".join([*lines, *failures])


def main() -> int:
    """Print the table; status 1 while anything is unexplained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates", nargs="*")
    parser.add_argument("--versions", nargs="*", default=list(ollamas.VERSIONS))
    parser.add_argument("--bytes", action="store_true", help="small vocabularies of bytes for all: a quicker look")
    wanted = parser.parse_args()
    if wanted.bytes:
        FAMILIES.clear()
    with tempfile.TemporaryDirectory(prefix="paddock-parity-") as place:
        rows = run(wanted.versions, wanted.templates, Path(place))
    print(table(rows))
    return int(any(row.failures for row in rows))


if __name__ == "__main__":
    sys.exit(main())
