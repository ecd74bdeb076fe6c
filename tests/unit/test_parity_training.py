"""What a GGUF and a Modelfile take over from a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.deploy.request import Deployment
from backend.parity.jinja_template import jinja_template
from backend.parity.template import snapshot
from backend.parity.training import Prompt, Training, gguf_facts, prompt, tokens_of_folder, tokens_of_gguf
from data.errors import RequestError
from data.gguf import read_header
from tests.tiny_gguf import Vocabulary, write


def folder_with(path: Path, **config: object) -> Path:
    path.mkdir()
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


def gguf_with(path: Path, *, bos: str | None, eos: str, add_bos: bool | None, pre: str = "gpt-2") -> Path:
    vocabulary = Vocabulary.of_bytes()
    vocabulary.pre = pre
    vocabulary.bos = vocabulary.number(bos) if bos else None
    vocabulary.eos = vocabulary.number(eos)
    return write(path, vocabulary, add_bos=add_bos)


def test_training_facts_survive_a_jobs_params() -> None:
    training = Training("qwen3", default_system="Hi", enable_thinking=None, tool_format="qwen", cutoff_len=512)
    params = json.loads(json.dumps(training.as_params()))
    assert Training.read(params) == training
    assert Training("chatml").as_params() == {"template": "chatml"}
    assert Training.read({}) is None


@pytest.mark.parametrize(
    "params", [{"template": ""}, {"cutoff_len": 5}, {"template": "a", "other": 1}, {"template": 1}, [1]]
)
def test_senseless_training_facts_are_refused(params: object) -> None:
    with pytest.raises(RequestError):
        Training.read(params)


def test_a_gguf_gets_bos_where_training_began_with_it_and_the_end_of_its_turns(tmp_path: Path) -> None:
    llama = folder_with(tmp_path / "llama", bos_token={"content": "<s>"}, eos_token="</s>")
    facts = gguf_facts(snapshot().get("llama3"), llama)
    assert (facts.add_bos, facts.eos, facts.eot) == (True, "<|eot_id|>", None)
    assert facts.chat_template.count("'<s>'") == 1
    facts = gguf_facts(snapshot().get("yi"), llama)
    assert (facts.add_bos, facts.eos, facts.eot) == (False, "</s>", "<|im_end|>")


def test_a_tokenizer_without_bos_adds_none_even_where_the_template_begins_with_it(tmp_path: Path) -> None:
    qwen = folder_with(tmp_path / "qwen", bos_token=None, eos_token="<|im_end|>")
    tokens = tokens_of_folder(snapshot().get("llama3"), qwen)
    assert (tokens.bos, tokens.adds_bos) == (None, False)


@pytest.mark.parametrize(
    ("pre", "said", "adds"), [("gpt-2", None, False), ("llama-bpe", None, True), ("llama-bpe", False, False)]
)
def test_a_gguf_that_says_nothing_of_bos_is_read_as_llama_cpp_reads_it(
    pre: str, said: bool | None, adds: bool, tmp_path: Path
) -> None:
    header = read_header(gguf_with(tmp_path / "m.gguf", bos="<s>", eos="</s>", add_bos=said, pre=pre))
    tokens = tokens_of_gguf(snapshot().get("llama3"), header)
    assert (tokens.bos, tokens.adds_bos) == ("<s>", adds)


def test_a_modelfile_gets_template_system_stops_and_the_length_of_training(tmp_path: Path) -> None:
    header = read_header(gguf_with(tmp_path / "m.gguf", bos="<s>", eos="<|eot_id|>", add_bos=True))
    template = snapshot().of_run("llama3", default_system="Be brief.")
    made = prompt(template, header, 512)
    assert made.system == "Be brief."
    assert made.parameters == {"stop": ["<|eot_id|>", "<|eom_id|>"], "num_ctx": 512}
    assert "<s>" not in made.template
    literal = read_header(gguf_with(tmp_path / "n.gguf", bos="<s>", eos="<|eot_id|>", add_bos=False))
    assert prompt(template, literal).template.count("<s>") == 1


def test_a_template_without_thoughts_wins_over_a_jinja_that_has_them_but_not_over_paddocks_own(tmp_path: Path) -> None:
    def made(name: str, jinja: str = "") -> str:
        file = write(tmp_path / f"{name}.gguf", marks, add_bos=False, chat_template=jinja)
        return prompt(silent, read_header(file)).template

    marks = Vocabulary.of_marks("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    silent = snapshot().of_run("qwen3", enable_thinking=False)
    thinks = "{% for m in messages %}{{ tools }}tool_calls tool_response<think>{{ m.content }}</think>{% endfor %}"
    assert ".Thinking" not in made("bare")
    assert "{{ if false }}<think>" in made("foreign", thinks)
    tokens = tokens_of_gguf(silent, read_header(tmp_path / "bare.gguf"))
    assert made("own", jinja_template(silent, tokens)) == made("bare")


def test_wishes_win_over_the_run_and_the_run_over_a_modelfile(tmp_path: Path) -> None:
    file = tmp_path / "Modelfile"
    file.write_text('FROM .\nTEMPLATE "old"\nSYSTEM "old"\nPARAMETER stop "old"\nPARAMETER top_k 3\nLICENSE "free"\n')
    run = Prompt("of the run", "", {"stop": ["</s>"], "num_ctx": 256})
    asked = Deployment(gguf="/m.gguf", name="m", modelfile=str(file), parameters={"num_ctx": 512})
    values = asked.values(run)
    assert (values.template, values.system, values.licenses) == ("of the run", "", ("free",))
    assert values.parameters == {"stop": ["</s>"], "top_k": 3, "num_ctx": 512}
    assert Deployment(gguf="/m.gguf", name="m", template="mine", system="S").values(run).template == "mine"
    assert asked.values().template == "old"
