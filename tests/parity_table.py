"""Every template of LLaMA-Factory on two real Ollama servers, beside what else people deploy with: ``make parity``.

Texts are what the servers render (``_debug_render_only``), ids are counted by a real generation of one token
(``prompt_eval_count``); both against the real LLaMA-Factory. The weights are random and tiny, the road is the real one.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import datetime as dt
import functools
import hashlib
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from backend.parity.expression import Tokens, adds_bos, eos_of
from backend.parity.jinja_template import jinja_template
from backend.parity.template import Slots, Template, Token, snapshot
from backend.parity.training import prompt
from data.gguf import read_header
from tests import ollamas, oracle, prompts, tiny_gguf, vocabularies
from tests.conversations import Case
from tests.prompts import BOS, DATE, EOS

Method = Literal["paddock", "jinja", "llamafactory", "bare", "official"]
METHODS: dict[Method, str] = {
    "paddock": "Paddock's GGUF and Modelfile",
    "jinja": "Paddock's GGUF alone (FROM x.gguf)",
    "llamafactory": "LLaMA-Factory's own Modelfile",
    "bare": "LLaMA-Factory's chat template in the GGUF, FROM x.gguf",
    "official": "the model's official chat template in the GGUF, FROM x.gguf",
}
# Real vocabularies (llama.cpp models/ggml-vocab-*.gguf) whose tokenizers are rebuilt for LLaMA-Factory, by template.
FAMILIES = {
    "llama-bpe": ("llama3", "mllama", "llava_next_llama3", "openchat-3.6"),
    "qwen2": (
        "qwen", "qwen3", "qwen3_nothink", "qwen2_vl", "qwen2_audio", "qwen2_omni", "qwen3_omni", "qwen3_omni_nothink",
        "qwen3_vl", "qwen3_vl_nothink", "chatml", "keye_vl", "mimo", "mimo_v2", "mimo_vl", "llava_next_qwen",
        "opencoder",
    ),
    "llama-spm": ("llama2", "llama2_zh", "vicuna", "llava", "llava_next", "llava_next_video", "video_llava"),
    "phi-3": ("phi",),
    "starcoder": ("starchat",),
    "qwen35": ("qwen3_5", "qwen3_5_nothink", "qwen3_6"),
    "deepseek-llm": ("deepseek",),
    "deepseek-coder": ("deepseekcoder",),
    "command-r": ("cohere",),
    "falcon": ("falcon",),
}  # fmt: skip
OFFICIAL = {
    "llama3": "meta-llama-Llama-3.1-8B-Instruct",
    "qwen": "Qwen-Qwen2.5-7B-Instruct",
    "qwen3": "Qwen-Qwen3-0.6B",
    "qwen3_5": "Qwen3.5-4B",
    "gemma2": "google-gemma-2-2b-it",
    "gemma4": "google-gemma-4-31B-it",
    "phi": "microsoft-Phi-3.5-mini-instruct",
    "glm4_moe": "GLM-4.6",
    "glm4_7": "GLM-4.7-Flash",
    "lfm2": "LFM2-8B-A1B",
    "hy3": "tencent-Hy3",
    "gpt_oss": "openai-gpt-oss-120b",
    "granite4": "ibm-granite-granite-4.0",
    "seed_oss": "ByteDance-Seed-OSS",
    "mistral_small": "unsloth-mistral-Devstral-Small-2507",
    "cohere": "CohereForAI-c4ai-command-r-plus-tool_use",
    "mimo_vl": "MiMo-VL",
    "minimax1": "MiniMax-M1",
    "minimax2": "MiniMax-M2",
}
_SPECIAL = re.compile(
    r"<[|｜][^<>|｜]{1,40}[|｜]>|<\|?/?[A-Za-z_:▁]{2,40}\|?>|\[\|?/?[A-Za-z_]{3,30}\|?\]|[\]\[]e?~!?b?\["
)


@dataclass
class Row:
    """What came of one template on one server: (right, tried) by method, and ids of Paddock's."""

    template: str
    version: str
    vocabulary: str
    texts: dict[Method, tuple[int, int]] = field(default_factory=dict)
    ids: tuple[int, int] = (0, 0)
    reasons: list[str] = field(default_factory=list)
    """Of conversations that cannot be expressed"""
    failures: list[str] = field(default_factory=list)
    """Of Paddock's own that differ without a reason"""


@functools.cache
def _real(family: str) -> tiny_gguf.Vocabulary:
    return tiny_gguf.Vocabulary.of_gguf(oracle.llama_cpp() / "models" / f"ggml-vocab-{family}.gguf")


def family_of(name: str) -> str:
    """Return the real vocabulary for a template; empty where there is none."""
    return next((family for family, names in FAMILIES.items() if name in names), "")


def special_tokens(template: Template) -> list[str]:
    """Return what looks like a token in the slots of a template, in a stable order."""
    roles: Sequence[Slots] = (template.prefix, template.system, template.user, template.assistant, template.observation)
    found: list[str] = list(template.stop_words)
    for slot in (slot for slots in (*roles, template.function) for slot in slots):
        if isinstance(slot, Token):
            found.append(slot.text)
        elif isinstance(slot, str):
            found += _SPECIAL.findall(slot)
    return list(dict.fromkeys(found))


def vocabulary_of(template: Template) -> tiny_gguf.Vocabulary:
    """Return the vocabulary of the template's family, else one of bytes; with the template's tokens in it."""
    family = family_of(template.name)
    made = copy.deepcopy(_real(family)) if family else tiny_gguf.Vocabulary.of_bytes()
    if made.bos is None:
        made.bos = made.number("<s>")
    if made.eos is None:
        made.eos = made.number("</s>")
    for token in special_tokens(template):
        made.number(token)
    made.eos = made.number(eos_of(template, made.tokens[made.eos]) or "")
    return made


class Model:
    """The GGUFs of one template, and the folder of its tokenizer."""

    def __init__(self, template: Template, place: Path) -> None:
        self.template = template
        self.place = place / template.name
        self.vocabulary = vocabulary_of(template)
        assert self.vocabulary.bos is not None
        assert self.vocabulary.eos is not None
        self.tokens = Tokens(
            self.vocabulary.tokens[self.vocabulary.bos],
            self.vocabulary.tokens[self.vocabulary.eos],
            adds_bos=adds_bos(template),
        )

    def real(self, text: str) -> str:
        """Return ``text`` with this vocabulary's BOS and EOS, and today's date."""
        today = f"{dt.datetime.now():%d %b %Y}"  # noqa: DTZ005 - as LLaMA-Factory and Ollama do
        return text.replace(BOS, self.tokens.bos or "").replace(EOS, self.tokens.eos or "").replace(DATE, today)

    def gguf(self, name: str, chat_template: str | None) -> Path:
        """Write a GGUF with this chat template."""
        return tiny_gguf.write(
            self.place / f"{name}.gguf", self.vocabulary, add_bos=self.tokens.adds_bos, chat_template=chat_template
        )

    def tokenizer(self) -> Path:
        """Write the tokenizer as Hugging Face has it."""
        folder = self.place / "tokenizer"
        file = self.gguf("ours", jinja_template(self.template, self.tokens))
        family = family_of(self.template.name)
        if self.vocabulary.model == "llama":
            vocabularies.write_sentencepiece(family, folder, file=file)
        else:
            vocabularies.write_bpe(family or "gpt-2", folder, template=False, file=file)
        return folder


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

    def text(self, case: Case, mode: str) -> str:
        """Return what would be sent, or what the server says instead."""
        answer = self.chat(case, mode, _debug_render_only=True)
        info = answer.get("_debug_info")
        return str(info["rendered_template"]) if info else f"error: {answer.get('error')}"

    def count(self, case: Case, mode: str) -> int:
        """Return how many ids were sent."""
        answer = self.chat(case, mode, options={"num_predict": 1, "temperature": 0})
        return int(answer.get("prompt_eval_count", -1))


def expectations(model: Model, asked: prompts.Asked) -> Iterator[tuple[Case, str, str | None, int | None]]:
    """Yield conversation, mode, the text that is sent (without the BOS that the runner adds), and the count of ids."""
    name = model.template.name
    for case in prompts.cases_of(model.template):
        for mode in prompts.modes_of(model.template):
            text = asked.prompts[name][case.name][mode]
            length = asked.lengths[name][case.name][mode]
            yield case, mode, text if text is None else model.real(text).removeprefix(_bos(model)), length


def _bos(model: Model) -> str:
    return (model.tokens.bos or "") if model.tokens.adds_bos else ""


def try_template(model: Model, asked: prompts.Asked, asker: Asker, version: str) -> Row:
    """Try all methods with one template on one server."""
    template, own = model.template, asked.own[model.template.name]
    row = Row(template.name, version, family_of(template.name) or "bytes")
    wanted = list(expectations(model, asked))
    file = model.place / "ours.gguf"
    made = prompt(template, read_header(file))
    asker.create(file, template=made.template, system=made.system, parameters={**made.parameters, "num_ctx": 8192})
    right = [_try_own(asker, row, *one) for one in wanted]
    row.texts["paddock"] = (sum(one is not None and one[0] for one in right), sum(one is not None for one in right))
    row.ids = (sum(one is not None and one[1] for one in right), row.texts["paddock"][1])
    asker.create(file, parameters={"num_ctx": 8192})
    row.texts["jinja"] = _texts(asker, wanted)
    theirs = model.gguf("theirs", model.real(own["jinja"]) if own["jinja"] else None)
    if own["modelfile"]:
        values = {"system": template.default_system} if template.default_system else {}
        asker.create(theirs, template=model.real(own["modelfile"]), parameters={"num_ctx": 8192}, **values)
        row.texts["llamafactory"] = _texts(asker, wanted)
    asker.create(theirs, parameters={"num_ctx": 8192})
    row.texts["bare"] = _texts(asker, wanted)
    if template.name in OFFICIAL:
        folder = oracle.llama_cpp() / "models" / "templates"
        text = (folder / f"{OFFICIAL[template.name]}.jinja").read_text(encoding="utf-8")
        asker.create(model.gguf("official", text), parameters={"num_ctx": 8192})
        row.texts["official"] = _texts(asker, wanted)
    return row


def _texts(asker: Asker, wanted: Sequence[tuple[Case, str, str | None, int | None]]) -> tuple[int, int]:
    tried = [asker.text(case, mode) == text for case, mode, text, _length in wanted if text is not None]
    return sum(tried), len(tried)


def _try_own(
    asker: Asker, row: Row, case: Case, mode: str, text: str | None, length: int | None
) -> tuple[bool, bool] | None:
    """Return whether text and count are right; None where LLaMA-Factory itself refuses the conversation."""
    if text is None:
        row.reasons.append(f"{case.name}: LLaMA-Factory refuses several calls at once in this tool format")
        return None
    sent, count = asker.text(case, mode), asker.count(case, mode)
    if sent != text:
        at = next((n for n, (a, b) in enumerate(zip(sent, text, strict=False)) if a != b), min(len(sent), len(text)))
        row.failures.append(f"{case.name} ({mode}): {sent[at - 20 : at + 40]!r} for {text[at - 20 : at + 40]!r}")
    elif count != length:
        row.failures.append(f"{case.name} ({mode}): {count} ids for {length}")
    return sent == text, count == length


def run(versions: Sequence[str], names: Sequence[str], place: Path) -> list[Row]:
    """Try the templates on servers of these versions."""
    known = snapshot().by_name
    models = [Model(known[name], place) for name in names or sorted(known)]
    asked = prompts.ask(prompts.lf_python(), {model.template.name: model.tokenizer() for model in models})
    rows: list[Row] = []
    for version in versions:
        with ollamas.server(version) as server, contextlib.closing(Asker(server.url)) as asker:
            for model in models:
                rows.append(try_template(model, asked, asker, version))
                sys.stderr.write(f"{_line(rows[-1])}\n")
    return rows


def _line(row: Row) -> str:
    cells = "".join(f"{'–' if name not in row.texts else '{}/{}'.format(*row.texts[name]):>14}" for name in METHODS)
    return f"{row.template:26}{row.vocabulary:15}{row.version:9}{'{}/{}'.format(*row.ids):>8}{cells}"


def table(rows: Sequence[Row]) -> str:
    """Return the table as text, with counts at its end."""
    head = f"{'template':26}{'vocabulary':15}{'Ollama':9}{'ids':>8}" + "".join(f"{name:>14}" for name in METHODS)
    lines = [head, *map(_line, sorted(rows, key=lambda one: (one.template, one.version)))]
    for version in sorted({row.version for row in rows}):
        of = [row for row in rows if row.version == version]
        lines.append(f"\nOllama {version}: templates that are right in every conversation, of {len(of)}")
        lines.append(f"  {sum(row.ids[0] == row.ids[1] for row in of):4}  {METHODS['paddock']}, counted in ids")
        for name, words in METHODS.items():
            tried = [row for row in of if name in row.texts]
            right = sum(row.texts[name][0] == row.texts[name][1] for row in tried)
            lines.append(f"  {right:4}  {words}, in text" + (f" ({len(tried)} tried)" if len(tried) < len(of) else ""))
    reasons = Counter(reason for row in rows for reason in set(row.reasons))
    lines += [f"\ncannot be expressed, {count} times: {reason}" for reason, count in reasons.items()]
    failures = [f"{row.template} on {row.version}: {text}" for row in rows for text in row.failures]
    lines.append(f"\nunexplained: {len(failures)}")
    return "\n".join([*lines, *failures])


def main() -> int:
    """Print the table; status 1 while anything of Paddock's is unexplained."""
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
