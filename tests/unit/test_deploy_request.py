"""What a deployment may ask for, and what comes from where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backend.deploy.request import Deployment, read_modelfile
from backend.parity.training import Prompt
from data.errors import AppError, RequestError
from data.jobs.spec import JobSpec


def test_a_request_survives_its_way_through_the_job(tmp_path: Path) -> None:
    asked = Deployment(gguf="/x/m.gguf", name="m", template="T", parameters={"top_k": 1}, quantize="q8_0", private=True)
    spec = JobSpec.from_json(asked.spec(workspace=tmp_path, after=("a",)).as_json())
    assert (spec.kind, spec.name, spec.after) == ("deploy", "m", ("a",))
    assert Deployment.read(spec.params) == asked


@pytest.mark.parametrize(
    "params",
    [
        {"name": "m"},
        {"gguf": "/m.gguf"},
        {"gguf": "/m.gguf", "name": "a b"},
        {"gguf": "/m.gguf", "name": "m", "colour": "red"},
        {"gguf": "/m.gguf", "name": "m", "private": "yes"},
        {"gguf": "/m.gguf", "name": "m", "parameters": {"colour": "red"}},
        {"gguf": "/m.gguf", "name": "m", "parameters": {"top_k": "many"}},
        {"gguf": "/m.gguf", "name": "m", "quantize": "very small"},
        {"gguf": "/m.gguf", "name": "m", "host": "ftp://x"},
        {"gguf": "/m.gguf", "name": "m", "unproven": "yes"},
        {"gguf": "/m.gguf", "name": "m", "edited": "TEMPLAT x"},
        {"gguf": "/m.gguf", "name": "m", "edited": "RENDERER qwen3-coder"},
        {"gguf": "/m.gguf", "name": "m", "template": "{{ if .System }}a"},
    ],
)
def test_a_wrong_request_is_refused_before_anything_starts(params: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        Deployment.read(params)


def test_params_win_over_the_modelfile_of_the_export(tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text(
        'FROM .\nTEMPLATE """{{ .Prompt }}"""\nSYSTEM Be kind.\nPARAMETER stop a\nPARAMETER stop b\n'
        "PARAMETER num_ctx 4096\nLICENSE Free\nMESSAGE user Hi\n"
    )
    asked = Deployment(
        gguf="/m.gguf", name="m", modelfile=str(tmp_path), system="Be brief.", parameters={"num_ctx": 99}
    )
    values = asked.values()
    assert values.sources == ("/m.gguf",)
    assert (values.template, values.system) == ("{{ .Prompt }}", "Be brief.")
    assert values.parameters == {"stop": ["a", "b"], "num_ctx": 99}
    assert values.licenses == ("Free",)
    assert values.messages == ({"role": "user", "content": "Hi"},)


def test_what_a_person_wrote_stands_for_everything_else(tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text("FROM .\nSYSTEM Be kind.\nLICENSE Free\n")
    edited = 'FROM elsewhere\nTEMPLATE """{{ .Prompt }}"""\nPARAMETER top_k 3\nMESSAGE user Hi\n'
    asked = Deployment(
        gguf="/m.gguf", name="m", system="S", template="T", parameters={"seed": 1}, modelfile=str(tmp_path)
    )
    values = replace(asked, edited=edited).values(Prompt("P", "D", {"stop": ["x"]}))
    assert str(values) == 'FROM /m.gguf\nTEMPLATE """{{ .Prompt }}"""\nPARAMETER top_k 3\nMESSAGE user Hi\n'


def test_what_cannot_be_deployed_is_named_with_its_place() -> None:
    with pytest.raises(RequestError, match="PARSER cannot be deployed") as caught:
        Deployment(gguf="/m.gguf", name="m", edited="SYSTEM x\n  PARSER y\n").check()
    assert caught.value.detail.english() == "Modelfile:2:3: PARSER cannot be deployed."


@pytest.mark.parametrize(
    ("edited", "detail"),
    [
        ('FROM /x/m.gguf\nTEMPLATE """{{ if .System }}a"""\n', "Modelfile:2:30: An end is missing."),
        ('SYSTEM a\nTEMPLATE "{{ foo }}"', "Modelfile:2:14: There is no function foo."),
        ("TEMPLATE {{ foo }}", "Modelfile:1:13: There is no function foo."),
        (
            '\ufeff# 中\n  TEMPLATE \t"""你好 {{ .Prompt }}\r\n 好 {{ .A | b }}\r\n"""\r\n',
            "Modelfile:3:12: There is no",
        ),
        ('TEMPLATE """{{ .Prompt }}\n{{ template "x" }}{{ define "x" }}{{ end }}"""', "Modelfile:2:4: Ollama refuses"),
        (
            "FROM /x/m.gguf\nFROM /x/m.gguf\n",
            "Modelfile:2:1: This is a second FROM; the weights",
        ),
        ("SYSTEM a\n FROM /x/n.gguf\n", "Modelfile:2:2: FROM names /x/n.gguf, but the weights are those of m.gguf"),
        ("FROM llama3.2:1b", "Modelfile:1:1: FROM names llama3.2:1b"),
        ("FROM ~nobody-here/m.gguf", "Modelfile:1:1: FROM names ~nobody-here/m.gguf"),
        (" \n# TEMPLATE x\n", "Modelfile:1:1: There is no command in it."),
    ],
)
def test_a_mistake_that_ollama_would_find_after_hours_is_found_at_once(edited: str, detail: str) -> None:
    with pytest.raises(RequestError) as caught:
        Deployment(gguf="/x/m.gguf", name="m", edited=edited).spec(workspace=Path("/x"))
    assert caught.value.detail.english().startswith(detail)


@pytest.mark.parametrize("source", ["/x/m.gguf", "m.gguf", "./m.gguf", "/x/../x/m.gguf", '"/x/m.gguf"', ".", "/x"])
def test_a_from_that_names_the_weights_is_taken(source: str) -> None:
    asked = Deployment(gguf="/x/m.gguf", name="m", edited=f"FROM {source}\nSYSTEM a\n")
    made = Deployment.read(asked.spec(workspace=Path("/x")).params)
    assert str(made.values()) == 'FROM /x/m.gguf\nSYSTEM """a"""\n'


def test_a_job_that_was_laid_down_with_another_from_can_be_read() -> None:
    params = {"gguf": "/x/m.gguf", "name": "m", "edited": "FROM elsewhere\nFROM x\nSYSTEM a\n"}
    assert Deployment.read(params).values().sources == ("/x/m.gguf",)


def test_the_own_from_goes_with_the_gguf_and_another_stays() -> None:
    written = '# FROM /x/m-F16.gguf\n from  /x/m-F16.gguf \nSYSTEM """\nFROM /x/m-F16.gguf?\n"""\n'
    asked = Deployment(gguf="/x/m-F16.gguf", name="m", edited=written).of("/y/m-Q8_0.gguf")
    assert asked.gguf == "/y/m-Q8_0.gguf"
    assert asked.edited == written.replace(" from  /x/m-F16.gguf ", " from  /y/m-Q8_0.gguf")
    asked.spec(workspace=Path("/x"))
    other = Deployment(gguf="/x/m.gguf", name="m", edited="FROM llama3").of("/y/m.gguf")
    assert other.edited == "FROM llama3"


def test_of_several_templates_the_one_that_counts_is_read() -> None:
    Deployment(gguf="/m.gguf", name="m", edited="TEMPLATE {{ foo }}\nTEMPLATE {{ .Prompt }}\n").check()


def test_a_modelfile_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="cannot be read"):
        read_modelfile(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AppError, match="cannot be read"):
        read_modelfile(tmp_path / "binary")
    (tmp_path / "Modelfile").write_text("TEMPLAT x\n")
    with pytest.raises(RequestError) as caught:
        read_modelfile(tmp_path)
    assert f"{tmp_path / 'Modelfile'}:1:1" in caught.value.detail.english()
