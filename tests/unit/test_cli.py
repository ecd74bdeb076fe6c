"""The command line's words, errors and statuses."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from tests import tiny_gguf
from tui import cli
from tui.commands.form import Group
from tui.commands.root import ROOT, run

ENTRY = [sys.executable, "-P", "-m", "tui.cli"]


def all_commands(group: Group = ROOT, words: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return every command below ``group`` with the words that call it."""
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in group.table:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append(((*words, name), command))
        if isinstance(command, Group):
            found += all_commands(command, (*words, name))
    return found


@pytest.mark.parametrize("words", [(), *(words for words, _command in all_commands())], ids=" ".join)
def test_every_command_has_help_and_takes_json_and_lang(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--help"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for word in (" ".join(["paddock", *words]), "--json", "--lang", "--help"):
        assert word in said.out
    assert "Message(" not in said.out


def test_help_lists_each_command_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    text = capsys.readouterr().out
    for name in ROOT.table:
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{name} "))
        assert len(line.split()) > 3


# What was written, and words of the answer. Each is a wrong request: status 2, nothing started.
WRONG: list[tuple[list[str], str]] = [
    (["trian"], "Did you mean train?"),
    (["nothing-like-it"], "neither a command nor a directory"),
    (["jobs", "lst"], "Did you mean list?"),
    (["jobs", "show"], "JOB is missing"),
    (["jobs", "show", "none-such"], "There is no job none-such"),
    (["jobs", "show", "a", "b"], "b is too much here"),
    (["jobs", "list", "--lime"], "There is no option --lime"),
    (["jobs", "list", "--liv"], "Did you mean --live?"),
    (["jobs", "list", "--last"], "The option --last needs a value"),
    (["jobs", "list", "--last", "many"], "--last has a wrong value"),
    (["jobs", "list", "--last", "0"], "at least 1"),
    (["jobs", "remove", "none-such"], "There is no job none-such"),
    (["setup", "everything"], "llamafactory, ollama"),
    (["gpus", "--interval", "0"], "at least 0.2"),
    (["train"], "CONFIG is missing"),
    (["train", "nowhere.yaml"], "The configuration does not exist"),
    (["export", "nowhere.yaml"], "The configuration does not exist"),
    (["convert", "nowhere"], "The model's folder does not exist"),
    (["convert", "."], "no config.json"),
    (["convert", ".", "--outtype", "q3"], "bf16, f16, f32, q8_0"),
    (["deploy", "nowhere.gguf", "name"], "no such GGUF or folder"),
    (["chat", "model", "-p", "  "], "nothing to answer"),
    (["--lang", "fr"], "en, zh, zh_CN"),
    (["demo", "--what"], "There is no option --what"),
    (["./nowhere"], "needs a terminal"),
    ([], "needs a terminal"),
]


@pytest.mark.parametrize(("words", "answer"), WRONG, ids=[" ".join(words) for words, _answer in WRONG])
def test_a_wrong_request_is_explained_and_ends_with_2(
    words: list[str], answer: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("paddock: ")
    assert answer in said.err
    assert "Traceback" not in said.err

    assert run(["--json", *words]) == 2
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert sorted(error) == ["detail", "hint", "title"]
    assert answer in "\n".join(error.values())


def test_a_file_is_no_folder_to_convert(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, title in (("x.GGUF", "x.GGUF is a GGUF already"), ("x.pt", "This is a file, not a model's folder")):
        (tmp_path / name).touch()
        assert run(["convert", name, "--json"]) == 2
        assert json.loads(capsys.readouterr().out)["error"]["title"] == title
    assert run(["convert", "x.GGUF"]) == 2
    assert f"`paddock deploy {tmp_path}/x.GGUF NAME`" in capsys.readouterr().err


def test_a_command_that_is_printed_can_be_copied_whatever_the_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "模 型 it's"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    tiny_gguf.write(folder / "x.gguf", tiny_gguf.Vocabulary.of_bytes(), add_bos=True)
    monkeypatch.chdir(folder)
    for words, begin, path in (
        (["convert", "x.gguf"], ["paddock", "deploy"], "x.gguf"),
        (["convert", "adapter"], ["paddock", "export", "CONFIG.yaml"], "adapter"),
        (["gguf", "show", "x.gguf", "--template"], ["paddock", "deploy"], "x.gguf"),
        (["verify", "./x.gguf"], ["paddock", "verify", "--offline"], "x.gguf"),
    ):
        assert run(words) in (1, 2)
        said = shlex.split(capsys.readouterr().err.split(" ".join(begin), 1)[1].split("`")[0].split(". Or")[0])
        assert said[0].removeprefix("adapter_name_or_path=") in (str(folder / path), f"./{path}")


def test_errors_in_json_stay_english_in_every_language(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "show", "none-such", "--json", "--lang", "zh"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["title"] == "There is no job none-such"


def test_a_broken_settings_file_is_explained_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    os.environ["PADDOCK_HOME"] = str(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings.toml").write_text("theme = [", encoding="utf-8")
    assert run(["jobs", "list"]) == 2
    said = capsys.readouterr()
    assert "The settings cannot be read" in said.err
    assert "settings.toml" in said.err
    assert run(["--help"]) == 0


def test_a_surprise_is_logged_and_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.environ["PADDOCK_HOME"] = str(tmp_path)

    def explode(_services: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("tui.services.Services.jobs", explode)
    assert run(["jobs", "list", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert "app.log" in error["hint"]
    assert "Traceback" in (tmp_path / "state" / "logs" / "app.log").read_text(encoding="utf-8")


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"paddock {version('llama-paddock')}\n"
    assert run(["--version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": version("llama-paddock")}


def test_gpus_and_doctor_answer_with_their_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gpus", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out)["gpus"], list)
    status = run(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert {"ok", "checks", "llamafactory", "ollama"} <= set(report)
    assert status == (0 if report["ok"] else 1)
    assert all({"id", "ok", "level", "message", "remedy"} <= set(check) for check in report["checks"])


def test_a_setup_can_be_weighed_without_starting_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["setup", "llamafactory", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [part["what"] for part in plan["parts"]] == ["llamafactory"]
    assert plan["job"] is None
    assert run(["jobs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == []


def write_training(folder: Path, **changes: Any) -> Path:
    """Write a small training's YAML into ``folder`` and return it."""
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "dataset_info.json").write_text('{"rows": {"file_name": "rows.json"}}', encoding="utf-8")
    (folder / "data" / "rows.json").write_text('[{"instruction": "a", "output": "b"}]', encoding="utf-8")
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "config.json").write_text("{}", encoding="utf-8")
    args: dict[str, Any] = {
        "model_name_or_path": "model",
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "dataset": "rows",
        "template": "default",
        **changes,
    }
    file = folder / "train.json"
    file.write_text(json.dumps(args), encoding="utf-8")
    return file


def test_a_dry_run_shows_everything_and_starts_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOMETHING_ODD", "1")
    file = write_training(tmp_path, lerning_rate=1e-4)
    status = run(["train", str(file), "num_train_epochs=2", "--dry-run", "--json"])
    plan = json.loads(capsys.readouterr().out)
    assert {"ok", "argv", "env", "yaml", "checks"} <= set(plan)
    assert status == 2
    assert plan["ok"] is False
    assert "num_train_epochs: 2\n" in plan["yaml"]
    assert "SOMETHING_ODD" in plan["env_dropped"]
    unknown = next(check for check in plan["checks"] if check["id"] == "argument.unknown")
    assert "learning_rate" in unknown["remedy"]
    assert run(["jobs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == []


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--gpus", "0,x"], "'0,x' are no GPUs"),
        (["--gpus", "0,0"], "are no GPUs"),
        (["--gpus", "0", "--gpus-free", "1"], "exclude each other"),
        (["--gpu-memory", "10"], "needs --gpus or --gpus-free"),
        (["--after", "none-such"], "There is no job none-such"),
        (["lr"], "lr is not an override"),
    ],
)
def test_a_training_is_refused_before_it_starts(
    words: list[str],
    answer: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", str(write_training(tmp_path)), *words]) == 2
    assert answer in capsys.readouterr().err


def test_what_help_and_errors_need_is_little() -> None:
    code = (
        "import sys; from tui.cli import main; main(sys.argv[1:]);"
        "sys.stderr.write(' '.join(sorted(m for m in sys.modules if '.' not in m)))"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(ended.stderr.split())
    heavy = {"textual", "rich", "httpx", "ollama", "pydantic", "numpy", "gguf", "tokenizers", "psutil", "pynvml"}
    assert loaded & (heavy | {"torch", "transformers", "llamafactory", "asyncio", "ruamel"}) == set()


def test_doctor_and_jobs_leave_heavy_modules_alone() -> None:
    code = (
        "import sys; from tui.cli import main; status = main(sys.argv[1:]);"
        "sys.stderr.write(' '.join(sorted(m for m in sys.modules if '.' not in m)))"
    )
    for words in (["doctor", "--json"], ["jobs", "list", "--json"]):
        ended = subprocess.run(
            [sys.executable, "-P", "-c", code, *words], capture_output=True, text=True, check=True, timeout=60
        )
        loaded = set(ended.stderr.split())
        heavy = {"torch", "transformers", "llamafactory", "pydantic", "numpy", "gguf", "tokenizers", "textual"}
        assert loaded & heavy == set(), words


def test_a_package_of_the_same_name_in_front_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "__init__.py").write_text("", encoding="utf-8")
    ended = subprocess.run(
        [*ENTRY, "--version"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert str(tmp_path / "data") in ended.stderr
    assert "Traceback" not in ended.stderr


def test_our_own_packages_are_no_strangers(tmp_path: Path) -> None:
    assert cli.strangers(Path(cli.__file__).parent.parent) == []
    assert len(cli.strangers(tmp_path)) == 4


def test_a_data_folder_in_the_workspace_does_not_get_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset_info.json").write_text("{}", encoding="utf-8")
    ended = subprocess.run(
        [*ENTRY, "jobs", "list", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
