"""The text of the prompts that LLaMA-Factory makes of conversations: runs in LLaMA-Factory's Python.

lf_prompts.py < {"cases": {template: {case: {messages, system, tools}}}} > {template: {case: {"on": text, "off": text}}}

The code is LLaMA-Factory's own; only the tokenizer is one whose ids are the texts themselves. BOS and EOS are
written as <BOS> and <EOS>, today's date as <DATE>. "off" is there for templates for reasoning only; null where
LLaMA-Factory refuses.
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


def prompt(template: object, case: dict) -> "str | None":
    tokenizer = TextTokenizer()
    template.fix_special_tokens(tokenizer)
    messages = [*case["messages"], {"role": "assistant", "content": ""}]
    try:
        ids, _response = template.encode_oneturn(tokenizer, messages, case["system"], case["tools"])
    except ValueError:
        return None
    return "".join(ids).replace(dt.datetime.now().strftime("%d %b %Y"), "<DATE>")  # noqa: DTZ005 - as LLaMA-Factory does


def main() -> None:
    answer = {}
    for name, cases in json.load(sys.stdin)["cases"].items():
        template = copy.deepcopy(TEMPLATES[name])
        answer[name] = {}
        for case, value in cases.items():
            found = {"on": prompt(template, value)}
            if isinstance(template, ReasoningTemplate):
                template.enable_thinking = False
                found["off"] = prompt(template, value)
                template.enable_thinking = True
            answer[name][case] = found
    json.dump(answer, out, ensure_ascii=False, indent=0, sort_keys=True)
    out.write("\n")


main()
