"""What is said of a proof: by whom the training is known, the first difference, the job's result, and its request."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from backend.export import proving
from backend.export.prove import Request, name_it
from backend.export.proving import Said
from backend.parity.asked import RAW, Sent, Served
from backend.parity.cases import Case, Turn
from backend.parity.expected import Prompt
from backend.parity.mend import right_values
from backend.parity.proof import Proof, judge
from backend.parity.room import Skipped
from backend.parity.template import snapshot
from backend.parity.training import Trained
from data.errors import RequestError
from data.i18n import Message, _, verbatim
from data.jobs.folder import JobFolder
from data.jobs.spec import JobSpec
from screens.proof.lines import about, headline, remedy_words, rows
from tests.unit.test_parity_proof import EXPECTED, ONE, RUNNER, SERVED, USER
from tui.commands.console import Console
from tui.commands.parting import lines
from tui.commands.verify import Wish
from tui.proving import in_brief, reached, read_proof, result_words
from tui.widgets.cells import Parts

LLAMA3 = Trained("llama3")
RECORD = Trained("llama3", default_system="S", enable_thinking=False, cutoff_len=512, source="record")


def prove(sent: str, *, trained: str = USER, refuses: str = "") -> Proof:
    """The proof of one conversation that goes well, and of one that was trained as ``trained`` and is ``sent``."""
    good = Prompt(RUNNER.encode(USER), RUNNER.whole(USER))
    other = Prompt((), "", refuses) if refuses else Prompt(RUNNER.encode(trained), RUNNER.whole(trained))
    two = Case("second", (Turn("user", "Hi"),))
    return judge(
        "m",
        Trained("llama3"),
        replace(EXPECTED, prompts={"user": good, "second": other}),
        SERVED,
        RUNNER,
        [ONE, two],
        [Sent(good.ids, good.text), Sent(RUNNER.encode(sent), RUNNER.whole(sent))],
    )


def test_what_is_said_wins_over_the_record_and_the_record_over_a_guess() -> None:
    def guess() -> None:
        raise AssertionError

    assert Said().over(RECORD, guess, "m") == RECORD
    assert Said(system="", cutoff_len=9).over(RECORD, guess, "m") == replace(
        RECORD, default_system="", cutoff_len=9, source="asked", departs=("default_system", "cutoff_len")
    )
    assert Said(cutoff_len=999).over(RECORD, guess, "m") == replace(RECORD, cutoff_len=999)
    assert Said("llama3").over(RECORD, guess, "m") == replace(RECORD, source="asked")
    assert Said("qwen", thinking=True).over(RECORD, guess, "m") == Trained(
        "qwen", enable_thinking=True, departs=("template", "default_system", "enable_thinking")
    )
    assert Said("qwen").over(None, guess, "m") == Trained("qwen")
    assert Said().over(None, lambda: snapshot().get("qwen"), "m") == Trained("qwen", source="guess")
    with pytest.raises(RequestError, match="It is not known with which template m was trained"):
        Said().over(None, lambda: None, "m")


CHATML = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
JINJA = "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|><|eot_id|>{% endfor %}"


@pytest.mark.parametrize(
    ("served", "template"),
    [
        (replace(SERVED, template=JINJA, written=CHATML), "chatml"),  # as many that were trained upon Llama 3 are
        (replace(SERVED, template=JINJA, written=RAW), "llama3"),
        (replace(SERVED, template=JINJA, written=JINJA), "llama3"),
        (replace(SERVED, template=RAW, written=RAW), "llama3"),
        (replace(SERVED, template="### User: {{ .Prompt }}", written="### User: {{ .Prompt }}"), "llama3"),
    ],
    ids=["overridden", "jinja", "shown", "bare", "of no family"],
)
def test_a_guess_goes_by_the_template_that_somebody_wrote_then_by_the_one_in_force_then_by_the_tokens(
    served: Served, template: str
) -> None:
    found = proving.guessed(snapshot(), RUNNER.vocabulary, replace(served, system="Be Robin."), Said(), "m")
    assert (found.template, found.source, found.default_system) == (template, "guess", "Be Robin.")
    said = proving.guessed(snapshot(), RUNNER.vocabulary, replace(served, system="Be Robin."), Said(system=""), "m")
    assert said.default_system == ""


def test_the_result_of_a_job_names_the_first_difference() -> None:
    right = proving.summary(prove(USER))
    assert (right["ok"], right["holds"], right["same"], right["cases"], right["conversations"]) == (True, True, 2, 2, 2)
    assert (right["cause"], right["cause_id"]) == (None, None)
    wrong = prove(USER + "\n")
    said = proving.summary(wrong)
    assert (said["ok"], said["holds"], said["same"], said["cause_id"]) == (False, False, 1, "line-too-many")
    assert "line ends more" in Message.from_json(said["cause"]).english()
    asked = replace(wrong, trained=replace(LLAMA3, departs=("template", "cutoff_len")))
    assert str(proving.remedy_of(asked, verbatim("Do."))) == "Leave out what the training recorded otherwise: template."
    assert str(proving.remedy_of(wrong, verbatim("Do."))) == "Do."
    error = proving.refusal(wrong, verbatim("Do."))
    assert error.title.english() == "Ollama does not send m what it was trained on"
    assert error.detail.english().startswith("1 of 2 conversations differ from the training. The server writes 1 line")


def unread(
    skipped: Sequence[Skipped], *, cases: int = 0, trained: Trained = LLAMA3, context: int | None = 256
) -> Proof:
    """The proof of ``cases`` conversations that go well, and of others that the server has no room for."""
    good = Prompt(RUNNER.encode(USER), RUNNER.whole(USER))
    served = replace(SERVED, context=context)
    sent = [Sent(good.ids, good.text)]
    expected = replace(EXPECTED, prompts={"user": good})
    return judge("m", trained, expected, served, RUNNER, [ONE][:cases], sent[:cases], skipped)


def _shown(lines: Sequence[Parts]) -> str:
    return "\n".join("".join(text for text, _role in line) for line in lines)


def test_where_nothing_was_compared_nothing_is_proven() -> None:
    found = unread([Skipped("user", 300, 256), Skipped("system", 900, 256)])
    assert not found.ok
    assert not found.holds
    assert (found.needed, found.can_be_mended) == (1024, True)
    said = proving.summary(found)
    assert (said["ok"], said["holds"], said["same"], said["cases"], said["conversations"]) == (False, False, 0, 0, 2)
    assert "none of 2" in Message.from_json(said["cause"]).english()
    error = proving.refusal(found, proving.remedy_of(found, verbatim("Do.")))
    assert error.title.english() == "m could not be proven"
    assert "Not compared: user, system." in error.detail.english()
    assert error.hint.english() == "Give it a num_ctx of 1024."
    assert "none of 2" in unread([Skipped("user", 300, 256)] * 2, context=4096).problems()[0][0].english()
    assert "--cases" in unread([Skipped("user", 300, 256)], context=4096).problems()[0][1].english()
    assert right_values(found, snapshot().get("llama3")).parameters["num_ctx"] == 4096  # Ollama's own default is more
    assert not unread([]).ok


def told(found: Proof) -> list[str]:
    console = Console(io.StringIO(), io.StringIO())
    return [
        str(line)
        for line in lines(found, console, source=Message("record"), mend=lambda name: verbatim(f"mend {name}"))
    ]


def test_conversations_that_were_not_compared_are_named_with_what_mends_it(tmp_path: Path) -> None:
    found = unread([Skipped("turns", 300, 256)], cases=1)
    assert found.ok
    value = found.as_json()
    (why,) = value["left_out"]  # type: ignore[misc, attr-defined] - JSON
    assert Message.from_json(why).english() == (
        "Not compared: turns. The server keeps 256 tokens, and cuts them off; a num_ctx of 512 has room."
    )
    assert (value["conversations"], value["skipped"]) == (2, [{"name": "turns", "tokens": 300, "room": 256}])
    words = told(found)
    assert "1 of 2 conversations compared: in them Ollama sends what the model was trained on." in words
    assert any("BOS" in line for line in words)
    assert any("turns" in line and "300 tokens" in line for line in words)
    assert right_values(found, snapshot().get("llama3")).parameters["num_ctx"] == 4096
    folder = JobFolder(tmp_path)
    proving.write_proof(folder, found)
    view = read_proof(folder.proof)
    assert (view.same, view.total, view.needed) == (1, 2, 512)
    assert "1 of 2 conversations compared" in _shown([headline(view)])
    (row,) = [row for row in rows(view) if row.key == "skipped:turns"]
    assert "not compared" in _shown(row.cells)
    assert "num_ctx of 512" in _shown(about(view, "skipped:turns", 80))
    proving.write_proof(folder, unread([Skipped("turns", 300, 256)]))
    assert "✗ Not proven: none of 1" in _shown([headline(read_proof(folder.proof))])
    trained = replace(LLAMA3, cutoff_len=256)
    (why,) = unread([Skipped("turns", 300, 256)], cases=1, trained=trained).all_left_out()
    assert "num_ctx" not in why.english()  # the training has cut it, too


def test_what_is_judged_against_the_record_is_not_called_what_was_trained(tmp_path: Path) -> None:
    found = unread([], cases=1, trained=replace(LLAMA3, departs=("template",)))
    assert found.ok
    assert (found.as_json()["template_source"], found.as_json()["departs"]) == ("asked", ["template"])
    text = "\n".join(told(found))
    assert "exactly what was asked for, which is not as the training recorded: template." in text
    assert "trained on" not in text
    folder = JobFolder(tmp_path)
    proving.write_proof(folder, found)
    assert _shown([headline(read_proof(folder.proof))]).startswith("! Ollama sends exactly what was asked for")
    role, words = in_brief(proving.summary(found)) or ("", Message(""))
    assert (role, words.english()) == (
        "warn", "1 of 1 conversations are sent as asked for, not as the training recorded: template"
    )  # fmt: skip
    assert in_brief(proving.summary(unread([], cases=1))) == (
        "done", Message("{same} of {count} conversations are sent as they were trained", {"same": 1, "count": 1})
    )  # fmt: skip
    assert in_brief(None) is None
    assert "not as the training recorded: template" in proving.stage_of("m", found.trained).english()
    assert proving.stage_of("m", LLAMA3).english() == "Proving that m is sent what it was trained on"


def test_a_note_of_several_lines_has_one_mark() -> None:
    found = unread([Skipped("turns", 300, 256)], cases=1)
    said = told(found)
    start = next(number for number, line in enumerate(said) if line.startswith("  · Not compared: turns."))
    assert said[start + 1].startswith("    ")
    assert sum(line.startswith("  · ") for line in said) == 2  # the conversation, and why it was left out


def test_what_nobody_can_mend_does_not_speak_against_a_model() -> None:
    refused = prove(USER, refuses="system is not allowed")
    assert not refused.ok
    assert refused.holds
    assert proving.summary(refused)["holds"]
    assert [case["grave"] for case in refused.as_json()["cases"]] == [False, False]  # type: ignore[attr-defined] - JSON


def test_the_jobs_folder_gets_both_sides_of_the_first_difference(tmp_path: Path) -> None:
    found = prove(USER.replace("Hi", "Ho"))
    folder = JobFolder(tmp_path)
    proving.write_proof(folder, found, mended=False)
    value = json.loads(folder.proof.read_bytes())
    assert (value["ok"], value["mended"]) == (False, False)
    case = value["cases"][1]
    (first,) = [row for row in case["tokens"] if row["first"]]
    assert first["at"] == case["first_difference"]["token"]
    assert (first["expected"]["text"], first["actual"]["text"]) == ("i", "o")
    assert (case["expected_text"].count("Hi"), case["actual_text"].count("Ho")) == (1, 1)
    assert Message.from_json(case["words"]["remedy"]).english() == case["remedy"]
    assert value["cases"][0]["tokens"] == []
    log = "\n".join(proving.report(found))
    assert "ok  user" in log
    assert any(line.lstrip().startswith("> ") and "'i'" in line and "'o'" in line for line in log.splitlines())


def test_a_request_survives_its_way_through_the_job(tmp_path: Path) -> None:
    asked = Request("m", template="qwen", system="", thinking=False, cutoff_len=9, mend=True)
    spec = JobSpec.from_json(asked.spec(workspace=tmp_path).as_json())
    assert (spec.kind, spec.name) == ("prove", "m")
    assert Request.read(spec.params) == asked
    assert Request.read({"model": "m"}) == Request("m")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"model": ""},
        {"model": "a b"},
        {"model": "m", "colour": "red"},
        {"model": "m", "mend": "yes"},
        {"model": "m", "cutoff_len": "9"},
        {"model": "m", "host": "ftp://x"},
    ],
)
def test_a_wrong_request_is_refused_before_a_server_is_asked(params: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        Request.read(params)


def test_a_guess_is_never_called_what_the_model_was_trained_on(tmp_path: Path) -> None:
    found = unread([], cases=1, trained=replace(LLAMA3, source="guess"))
    assert found.ok
    guess = "Ollama sends exactly what the template llama3 makes; that it is the training's is a guess."
    assert guess in told(found)
    folder = JobFolder(tmp_path)
    proving.write_proof(folder, found, mended=True)
    view = read_proof(folder.proof)
    assert _shown([headline(view)]) == f"! {guess}"
    (row,) = [row for row in rows(view) if row.key == "template"]
    assert _shown(row.cells) == "! llama3\na guess"
    role, words = in_brief(proving.summary(found)) or ("", Message(""))
    assert (role, "which is a guess" in words.english()) == ("warn", True)


@pytest.mark.parametrize(
    ("trained", "differ", "title", "stage"),
    [
        (
            replace(LLAMA3, source="guess"),
            "1 of 2 conversations differ from the template llama3, which is a guess.",
            "Ollama does not send m what the template llama3 makes, which is a guess",
            "Proving that m is sent what the template llama3 makes, which is a guess",
        ),
        (
            replace(LLAMA3, departs=("default_system",)),
            "1 of 2 conversations differ from what was asked for.",
            "Ollama does not send m what was asked for",
            "Proving that m is sent what was asked for, not as the training recorded: default_system",
        ),
    ],
)
def test_what_fails_against_a_guess_or_a_persons_word_is_not_said_to_differ_from_the_training(
    tmp_path: Path, trained: Trained, differ: str, title: str, stage: str
) -> None:
    found = replace(prove(USER + "\n"), trained=trained)
    assert differ in told(found)
    folder = JobFolder(tmp_path)
    proving.write_proof(folder, found)
    view = read_proof(folder.proof)
    assert _shown([headline(view)]) == f"✗ {differ}"
    assert "as trained" not in _shown(rows(view)[0].cells)
    error = proving.refusal(found, verbatim("Do."))
    assert error.title.english() == title
    assert error.detail.english().startswith(differ)
    assert proving.stage_of("m", trained).english() == stage
    assert "as they were trained" not in reached(proving.summary(found)).english()


def test_where_the_template_is_a_guess_the_app_asks_for_it_before_it_mends(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    for trained, remedy in ((replace(LLAMA3, source="guess"), "→ m asks with"), (LLAMA3, "→ m lets Paddock")):
        proving.write_proof(folder, replace(prove(USER + "\n"), trained=trained))
        assert remedy in _shown(about(read_proof(folder.proof), "case:second", 80))
    assert remedy_words(name_it("llama3")).startswith("m asks with")  # the hint of the job that failed


def test_a_jobs_result_tells_its_proof_and_its_mend_in_words() -> None:
    change = _("num_ctx is {wanted}", wanted="512").as_json()
    result = {"model": "m", "proof": proving.summary(prove(USER + "\n")), "mended": True, "changes": [change]}
    told = {name: str(value) for name, value in result_words({**result, "warnings": [], "answer": "Hi"})}
    assert (told["model"], told["answer"], told["changes"]) == ("m", "Hi", "The Modelfile is new: num_ctx is 512.")
    assert told["proof"].startswith("1 of 2 conversations are sent as they were trained. The server writes 1 line")
    assert told.keys() == {"model", "proof", "changes", "answer"}
    assert dict(result_words({"proof": None, "changes": []})) == {"proof": None}


def test_the_command_that_mends_says_again_what_was_said() -> None:
    wish = Wish(
        "my model", template=None, system="You are a pirate", thinking="off", cutoff_len=64, cases="c/think.json",
        mend=False, offline=False, ollama_version=None, modelfile=None, host="127.0.0.1:1",
    )  # fmt: skip
    assert str(wish.mending("chatml", is_file=False)).endswith(
        ": paddock verify 'my model' --template chatml --system 'You are a pirate' --thinking off --cutoff-len 64 "
        "--cases c/think.json --host 127.0.0.1:1 --mend"
    )
    named = str(wish.mending("chatml", is_file=False, is_guess=True))
    assert "paddock verify 'my model' --template T " in named
    assert "chatml" not in named
    file = replace(wish, name="my.gguf", offline=True)
    kept = {"temperature": 0.7}
    assert str(
        file.mending("chatml", is_file=True, parameters=kept)
    ).endswith(  # no server has it: there is no model to be mended
        ": paddock deploy my.gguf NAME --template chatml --system 'You are a pirate' --thinking off --cutoff-len 64 "
        "--host 127.0.0.1:1 -p temperature=0.7"
    )


def test_where_no_conversation_differs_the_headline_is_what_is_wrong_and_the_same_on_both_faces(tmp_path: Path) -> None:
    found = unread([], cases=1, trained=replace(LLAMA3, cutoff_len=512))
    short = "num_ctx is 256, but the training kept 512 tokens of a conversation: longer ones are cut."
    said = told(found)
    assert short in said
    assert sum("num_ctx is 256" in line for line in said) == 1
    folder = JobFolder(tmp_path)
    proving.write_proof(folder, found)
    assert _shown([headline(read_proof(folder.proof))]) == f"✗ {short}"
    assert Message.from_json(proving.summary(found)["cause"]).english() == short
    assert proving.refusal(found, verbatim("Do.")).detail.english() == short
