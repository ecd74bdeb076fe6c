"""The room of a context length: what a server keeps, what the model itself holds, and what a mend asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.ollama.reply import read_shown
from backend.parity.asked import Sent, Served, read_served, with_context
from backend.parity.expected import Prompt
from backend.parity.mend import right_values
from backend.parity.proof import Proof, judge
from backend.parity.room import Skipped, needed, num_ctx
from backend.parity.template import snapshot
from backend.parity.training import Trained
from tests.unit.test_parity_proof import EXPECTED, ONE, RUNNER, SERVED, USER


def proof_of(context: int | None, limit: int | None = None, *, cutoff_len: int = 9000) -> Proof:
    """The proof of a model whose prompts are right."""
    good = Prompt(RUNNER.encode(USER), RUNNER.whole(USER))
    served, expected = replace(SERVED, context=context, limit=limit), replace(EXPECTED, prompts={"user": good})
    trained = Trained("llama3", cutoff_len=cutoff_len)
    return judge("m", trained, expected, served, RUNNER, [ONE], [Sent(good.ids, good.text)])


def test_a_context_length_that_nobody_knows_proves_nothing_about_a_training_that_had_one() -> None:
    found = proof_of(None)
    assert (found.ok, found.holds, found.can_be_mended) == (False, False, True)
    ((why, remedy),) = found.problems()
    assert why.english().startswith("It is not known how many tokens the server keeps")
    assert "--mend" in remedy.english()
    assert right_values(found, snapshot().get("llama3")).parameters["num_ctx"] == 9000
    assert proof_of(None, cutoff_len=0).ok  # no training is known that it could be held against


def test_a_model_that_holds_less_than_the_training_kept_is_called_so_and_no_mend_is_offered() -> None:
    found = proof_of(8192, 8192)
    assert (found.ok, found.holds, found.can_be_mended) == (False, True, False)
    ((why, remedy),) = found.problems()
    assert why.english().startswith("The model itself holds 8192 tokens, whatever num_ctx says, but the training kept")
    assert "--mend" not in remedy.english()
    small = proof_of(4096, 8192)  # a mend gives all that the model has
    assert (small.holds, small.can_be_mended) == (False, True)
    assert right_values(small, snapshot().get("llama3")).parameters["num_ctx"] == 8192
    assert proof_of(9000, 16384).ok


@pytest.mark.parametrize(
    ("written", "held", "context", "limit"),
    [
        ("num_ctx 9000", None, 8192, 8192),
        ("num_ctx 9000", 8192, 8192, 8192),
        ("num_ctx 512", 512, 512, 8192),
        ("num_ctx 2048", 1024, 1024, 1024),  # it asks for more than it gets
        ("", 4096, 4096, 8192),
        ("", None, None, 8192),
    ],
)
def test_the_context_length_in_force_is_the_least_of_what_is_asked_for_held_and_possible(
    written: str, held: int | None, context: int | None, limit: int
) -> None:
    info = {"general.architecture": "llama", "llama.context_length": 8192}
    served: Served = with_context(read_served(read_shown({"parameters": written, "model_info": info}), "0.32.7"), held)
    assert (served.context, served.limit) == (context, limit)


def test_a_num_ctx_is_never_less_than_ollamas_default_where_no_training_says_how_much() -> None:
    assert num_ctx(0, 256) == 4096
    assert num_ctx(0, 256, 2048) == 2048
    assert num_ctx(0, 5000) == 5000
    assert num_ctx(512, 256) == 512
    assert num_ctx(0, None) == 0
    skipped = [Skipped("user", 300, 256)]
    assert needed(skipped, 0, 256, None) == 512
    assert needed(skipped, 0, 256, 310) == 310
    assert needed(skipped, 0, 256, 300) is None  # no room for an answer either
