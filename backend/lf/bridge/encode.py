"""Encode conversations as a training does, and print their prompts as JSON: runs in LLaMA-Factory's own Python.

Standard library and packages of that environment only; nothing of Paddock is imported, and nothing imports this.
In: ``{tokenizer: folder, template, arguments: {default_system, enable_thinking, …}, cases: [{messages, system, tools,
thinking}]}``; ``messages`` end with the answer that is left out, and one may have ``thinking``, its thoughts. Out:
``{llamafactory, cases: [{ids, pieces} or {error}], default_system, enable_thinking, stop_ids, stops, eos, added,
day}``; ``day`` is the date that stands in a prompt, as some tool formats write it, and null where none does.
"""

import dataclasses
import datetime as dt
import importlib.metadata
import json
import sys


class Recorder:
    """Stands in for the tokenizer: every piece of text that the template writes gets a number of its own."""

    def __init__(self, tokenizer: object) -> None:
        self._tokenizer = tokenizer
        self.pieces = []
        self.bos_token_id = self._note(tokenizer.bos_token) if tokenizer.bos_token_id is not None else None
        self.eos_token_id = self._note(tokenizer.eos_token) if tokenizer.eos_token_id is not None else None

    def _note(self, text: str) -> int:
        self.pieces.append(text)
        return len(self.pieces) - 1

    def encode(self, text: str, add_special_tokens: bool = True) -> "list[int]":
        """Note a text."""
        del add_special_tokens
        return [self._note(text)]

    def convert_tokens_to_ids(self, token: str) -> int:
        """Note a token."""
        return self._note(token)


def encoded(template: object, tokenizer: object, case: "dict[str, object]") -> "dict[str, object]":
    """Return the prompt of one conversation: its ids and the texts of its parts, or why the template refuses it."""
    kept = template.enable_thinking
    if case.get("thinking") is not None:
        template.enable_thinking = case["thinking"]
    first, last = template.thought_words
    messages = [
        {**message, "content": f"{first}{message['thinking']}{last}{message['content']}"}
        if message.get("thinking")
        else message
        for message in case["messages"]
    ]
    arguments = (messages, case.get("system") or None, case.get("tools") or None)
    recorder = Recorder(tokenizer)
    try:
        ids, _answer = template.encode_oneturn(tokenizer, *arguments)
        pieces, _answer = template.encode_oneturn(recorder, *arguments)
    except Exception as error:  # noqa: BLE001 - whatever a template raises is its answer
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        template.enable_thinking = kept
    return {"ids": ids, "pieces": [recorder.pieces[piece] for piece in pieces]}


def today() -> str:
    """Return the date as the tool formats of Llama 3 write it."""
    return dt.datetime.now().strftime("%d %b %Y")  # noqa: DTZ005 - the local date, as LLaMA-Factory takes it


def day_in(cases: "list[dict[str, object]]", days: "list[str]") -> "str | None":
    """Return which of ``days`` stands in a prompt."""
    texts = ["".join(case.get("pieces", ())) for case in cases]
    return next((day for day in days if any(day in text for text in texts)), None)


def main() -> None:
    """Answer one question; whatever the imports print goes to stderr."""
    out, sys.stdout = sys.stdout, sys.stderr
    question = json.load(sys.stdin)
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments
    from transformers import AutoTokenizer

    # As llamafactory/model/loader.py (load_tokenizer) does it.
    tokenizer = AutoTokenizer.from_pretrained(
        question["tokenizer"], use_fast=True, split_special_tokens=False, padding_side="right", local_files_only=True
    )
    size = len(tokenizer)
    known = {field.name for field in dataclasses.fields(DataArguments)}
    arguments = {name: value for name, value in question["arguments"].items() if name in known and value is not None}
    template = get_template_and_fix_tokenizer(tokenizer, DataArguments(template=question["template"], **arguments))
    stop_ids = template.get_stop_token_ids(tokenizer)
    began = today()
    cases = [encoded(template, tokenizer, case) for case in question["cases"]]
    answer = {
        "llamafactory": importlib.metadata.version("llamafactory"),
        "default_system": template.default_system,
        "enable_thinking": template.enable_thinking,
        "stop_ids": stop_ids,
        "stops": [tokenizer.convert_ids_to_tokens(number) for number in stop_ids],
        "eos": tokenizer.eos_token,
        "added": tokenizer.convert_ids_to_tokens(list(range(size, len(tokenizer)))),
        "cases": cases,
        "day": day_in(cases, [began, today()]),
    }
    json.dump(answer, out, ensure_ascii=False)
    out.write("\n")


if __name__ == "__main__":
    main()
