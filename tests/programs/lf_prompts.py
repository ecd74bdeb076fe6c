"""What LLaMA-Factory makes of conversations: runs in LLaMA-Factory's Python.

lf_prompts.py < {"cases": {template: {case: {messages, system, tools}}}, "tokenizers"?: {template: folder}}

Answer: {"prompts": {template: {case: {"on": text, "off": text}}}, "ids" and "pieces": the same
with lists of ids and of the texts that are encoded one by one,
"own": {template: {"modelfile": text, "jinja": text}}}, the last being what LLaMA-Factory itself would export.

The code is LLaMA-Factory's own; for texts the tokenizer is one whose ids are the texts themselves. BOS and EOS are
written as <BOS> and <EOS>, today's date as <DATE>. "off" is there for templates for reasoning only; null where
LLaMA-Factory refuses. Ids are those of a real tokenizer, read from the folder; both are for templates with one only.
"""

import copy
import datetime as dt
import json
import sys

out, sys.stdout = sys.stdout, sys.stderr
from llamafactory.data.template import TEMPLATES, ReasoningTemplate  # noqa: E402


class TextTokenizer:
    """Every text is one token, and its own id."""

    def __init__(self) -> None:
        self.bos_token = self.bos_token_id = "<BOS>"
        self.eos_token = self.eos_token_id = "<EOS>"
        self.pad_token = self.pad_token_id = "<PAD>"

    def encode(self, text: str, add_special_tokens: bool = True) -> "list[str]":
        return [text]

    def convert_tokens_to_ids(self, token: str) -> str:
        return token

    def add_special_tokens(self, tokens: dict, **_options: object) -> int:
        if "eos_token" in tokens:
            self.eos_token = self.eos_token_id = tokens["eos_token"]
        return 0


def ids(template: object, tokenizer: object, case: dict) -> "list | None":
    messages = [*case["messages"], {"role": "assistant", "content": ""}]
    try:
        return template.encode_oneturn(tokenizer, messages, case["system"], case["tools"])[0]
    except ValueError:
        return None


def both(template: object, tokenizer: object, case: dict) -> "dict[str, list | None]":
    found = {"on": ids(template, tokenizer, case)}
    if isinstance(template, ReasoningTemplate):
        template.enable_thinking = False
        found["off"] = ids(template, tokenizer, case)
        template.enable_thinking = True
    return found


def pieces(texts: "list[str] | None") -> "list[str] | None":
    today = dt.datetime.now().strftime("%d %b %Y")  # noqa: DTZ005 - as LLaMA-Factory does
    return None if texts is None else [one.replace(today, "<DATE>") for one in texts]


def text(texts: "list[str] | None") -> "str | None":
    return None if texts is None else "".join(pieces(texts))


def own(template: object, tokenizer: object) -> "dict[str, str | None]":
    answer = {}
    for name in ("ollama", "jinja"):
        try:
            answer[name] = getattr(template, f"_get_{name}_template")(tokenizer)
        except ValueError:
            answer[name] = None
    return {"modelfile": answer["ollama"], "jinja": answer["jinja"]}


def main() -> None:
    asked = json.load(sys.stdin)
    answer = {"prompts": {}, "ids": {}, "pieces": {}, "own": {}}
    for name, cases in asked["cases"].items():
        template, tokenizer = copy.deepcopy(TEMPLATES[name]), TextTokenizer()
        template.fix_special_tokens(tokenizer)
        answer["own"][name] = own(template, tokenizer)
        made = {case: both(template, tokenizer, value) for case, value in cases.items()}
        if name in asked.get("tokenizers", {}):
            answer["pieces"][name] = {case: {m: pieces(p) for m, p in modes.items()} for case, modes in made.items()}
        answer["prompts"][name] = {case: {m: text(p) for m, p in modes.items()} for case, modes in made.items()}
    for name, folder in asked.get("tokenizers", {}).items():
        from transformers import AutoTokenizer

        template, tokenizer = copy.deepcopy(TEMPLATES[name]), AutoTokenizer.from_pretrained(folder)
        template.fix_special_tokens(tokenizer)
        answer["ids"][name] = {case: both(template, tokenizer, value) for case, value in asked["cases"][name].items()}
    json.dump(answer, out, ensure_ascii=False, indent=0, sort_keys=True)
    out.write("\n")


main()
