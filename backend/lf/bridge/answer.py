"""Answer one question greedily with one or more models: runs in LLaMA-Factory's own Python, by its own inference.

Standard library and packages of that environment only; nothing of Paddock is imported, and nothing imports this.
Input (one JSON object on stdin): ``{models: [{arguments of its inference}…], prompt, system, max_new_tokens}``.
Output: one JSON object a line, ``{"loading": n}`` and ``{"answer": text, "tokens": n}`` for each model in turn; models
are loaded one after the other, and each is let go before the next.
"""

import gc
import json
import sys


def answer(arguments: "dict[str, object]", request: "dict[str, object]") -> "dict[str, object]":
    """Return the greedy answer of the model that ``arguments`` describe."""
    from llamafactory.chat import ChatModel

    model = ChatModel(arguments)
    (response,) = model.chat(
        [{"role": "user", "content": request["prompt"]}],
        system=request.get("system") or None,
        do_sample=False,
        repetition_penalty=1.0,
        max_new_tokens=request["max_new_tokens"],
    )
    return {"answer": response.response_text, "tokens": response.response_length}


def main() -> None:
    """Write the answers to stdout; whatever the imports and the models print goes to stderr."""
    out, sys.stdout = sys.stdout, sys.stderr
    request = json.load(sys.stdin)
    for number, arguments in enumerate(request["models"], 1):
        print(json.dumps({"loading": number}), file=out, flush=True)
        print(json.dumps(answer(arguments, request), ensure_ascii=False), file=out, flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
