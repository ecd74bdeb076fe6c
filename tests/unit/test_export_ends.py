"""A template whose tokens a model lacks is refused before it is merged, and before its GGUF is published."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from backend.convert.road import Road
from backend.export.conversion import foresee
from backend.export.plan import ExportPlan, draft
from backend.export.source import read_source
from backend.parity.template import snapshot
from data.errors import RequestError
from screens.export.changes import apply
from tests import tiny_gguf
from tests.unit.adapter_run import CHECKPOINT, RUN
from tests.unit.llama_cpp_folder import NOBODY
from tests.unit.model_folder import write_tokenizer

KNOWN = snapshot()


def planned(workspace: Path, template: str) -> ExportPlan:
    return dataclasses.replace(draft(read_source(workspace / CHECKPOINT), workspace), template=template)


def refusal_of(plan: ExportPlan) -> RequestError:
    with pytest.raises(RequestError) as caught:
        foresee(plan, NOBODY, KNOWN)
    return caught.value


def save_tokenizer(folder: Path, *tokens: str) -> None:
    """Write a tokenizer as a training saves it that has added ``tokens`` to it."""
    write_tokenizer(folder, {"added_tokens": [{"id": 259 + n, "content": text} for n, text in enumerate(tokens)]})


def test_another_template_than_the_trainings_is_refused_before_the_merge(workspace: Path) -> None:
    wrong = planned(workspace, "llama3")
    refused = refusal_of(wrong)
    assert str(refused.title) == "base/tokenizer.json has no token <|eot_id|>"
    assert str(refused.detail) == "The template llama3 ends an answer with it."
    assert "trained with: qwen. --unproven starts" in str(refused.hint)
    assert "--unproven" not in str(refusal_of(apply(wrong, "deploy", "off", home="")).hint)
    assert wrong.merge is not None
    again = dataclasses.replace(wrong, merge=dataclasses.replace(wrong.merge, is_there=True))
    assert str(refusal_of(again).title) == str(refused.title)
    assert foresee(apply(wrong, "unproven", "on", home=""), NOBODY, KNOWN) == Road()
    assert foresee(planned(workspace, "chatml"), NOBODY, KNOWN) == Road()


@pytest.mark.parametrize("place", [CHECKPOINT, RUN])
def test_the_tokenizer_that_the_training_saved_says_what_it_had(workspace: Path, place: Path) -> None:
    save_tokenizer(workspace / place)
    assert str(refusal_of(planned(workspace, "llama3")).title).startswith(f"{place.name}/")
    save_tokenizer(workspace / place, "<|eot_id|>")
    assert foresee(planned(workspace, "llama3"), NOBODY, KNOWN) == Road()


def test_what_the_trainings_own_template_ends_an_answer_with_it_had(workspace: Path) -> None:
    record = workspace / RUN / "paddock.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "template": "llama3"}))
    assert foresee(planned(workspace, "llama3"), NOBODY, KNOWN) == Road()
    assert KNOWN.get("llama4").stop_words[0] == "<|eot|>"
    assert "<|eot|>" in str(refusal_of(planned(workspace, "llama4")).title)
    assert "<|eot_id|>" in KNOWN.get("mllama").stop_words
    assert foresee(planned(workspace, "mllama"), NOBODY, KNOWN) == Road()


def test_nothing_is_refused_where_no_tokenizer_can_be_read_or_no_training_is_known(workspace: Path) -> None:
    wrong = planned(workspace, "llama3")
    assert foresee(wrong, NOBODY, dataclasses.replace(KNOWN, exact=False)) == Road()
    tokenizer = workspace / "base" / "tokenizer.json"
    whole = tokenizer.read_bytes()
    tokenizer.write_bytes(whole[:-9])
    assert foresee(wrong, NOBODY, KNOWN) == Road()
    tokenizer.write_bytes(whole)
    (workspace / RUN / "paddock.json").unlink()
    assert foresee(planned(workspace, "llama3"), NOBODY, KNOWN) == Road()


def test_a_gguf_without_the_tokens_of_the_template_is_refused_before_anything_starts(workspace: Path) -> None:
    marks = tiny_gguf.Vocabulary.of_marks("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    file = tiny_gguf.write(workspace / "bare.gguf", marks, add_bos=False)
    bare = draft(read_source(file), workspace)
    assert foresee(dataclasses.replace(bare, template="qwen"), NOBODY, KNOWN) == Road()
    wrong = dataclasses.replace(bare, template="llama3")
    refused = refusal_of(wrong)
    assert str(refused.title) == "bare.gguf has no token <|eot_id|>"
    assert "--unproven publishes it" in str(refused.hint)
    assert "folder" not in str(refused.hint), "a file has none to copy anything into"
    assert foresee(wrong, NOBODY, dataclasses.replace(KNOWN, exact=False)) == Road()
    assert wrong.deployment is not None
    forced = dataclasses.replace(wrong.deployment, unproven=True)
    assert foresee(dataclasses.replace(wrong, deployment=forced), NOBODY, KNOWN) == Road()
