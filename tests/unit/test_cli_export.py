"""``paddock export``: the merge, and the check that it has taken, of a little program instead of LLaMA-Factory."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Protocol

import pytest

from backend.train.gptq import sees_gpu
from data.paths import HOME_VARIABLE
from tests.support import Yard, program
from tests.unit.model_folder import write_model
from tests.unit.test_export_compare import Q, changed_copy, write_adapter
from tui.commands.root import run


class Say(Protocol):
    """Runs ``paddock export merge.json …``, which has to end with ``status``; returns its object."""

    def __call__(self, *words: str, status: int = 0) -> dict[str, Any]: ...


@pytest.fixture
def place(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a base, an adapter, and two merges that the program can come to."""
    monkeypatch.setenv(HOME_VARIABLE, str(yard.root))
    subprocess.run(program("fake_trainer.py", "install", tmp_path / "env"), check=True)
    monkeypatch.setenv("PADDOCK_LLAMAFACTORY_PYTHON", str(tmp_path / "env" / "bin" / "python"))
    workspace = tmp_path / "work"
    write_model(workspace / "base")
    write_adapter(workspace / "adapter", {Q: 0.5})
    changed_copy(workspace / "base", tmp_path / "taken", {f"{Q}.weight": 1.0})
    args = {
        "model_name_or_path": "base",
        "adapter_name_or_path": "adapter",
        "finetuning_type": "lora",
        "template": "chatml",
        "export_dir": "merged",
    }
    (workspace / "merge.json").write_text(json.dumps(args))
    monkeypatch.chdir(workspace)
    merges_to(tmp_path / "taken")
    return workspace


def merges_to(folder: Path) -> None:
    Path("fake_trainer.json").write_text(json.dumps({"merged": str(folder)}))


@pytest.fixture
def say(place: Path, yard: Yard, capsys: pytest.CaptureFixture[str]) -> Say:
    def answer(*words: str, status: int = 0) -> dict[str, Any]:
        found = run(["export", "merge.json", *words, "--json"])
        yard.ids += [job.id for job in yard.library.list() if job.id not in yard.ids]
        said = capsys.readouterr()
        assert found == status, said
        value: dict[str, Any] = json.loads(said.out)
        return value

    return answer


def kinds(said: dict[str, Any]) -> list[str]:
    return [job["kind"] for job in said["jobs"]]


def test_a_merge_is_checked_and_the_check_says_what_it_found(place: Path, say: Say) -> None:
    said = say()
    assert (said["ok"], kinds(said)) == (True, ["export", "check"])
    merge, check = said["jobs"]
    assert (check["status"], check["after"]) == ("succeeded", [merge["id"]])
    assert (check["result"]["comparison"]["ok"], check["result"]["comparison"]["changed"]) == (True, 1)
    assert (merge["chain"]["id"], merge["chain"]["count"]) == (check["chain"]["id"], 2)
    assert (place / "merged" / "config.json").is_file()


def test_a_merge_that_has_not_taken_ends_with_1(place: Path, say: Say) -> None:
    merges_to(place / "base")
    said = say(status=1)
    assert (said["ok"], said["error"]["title"]) == (False, "The merge has not taken")
    merge, check = said["jobs"]
    assert (merge["status"], check["status"]) == ("succeeded", "failed")
    assert check["result"]["comparison"]["unchanged"] == [f"{Q}.weight"]


def test_without_the_check_only_the_merge_counts(place: Path, say: Say) -> None:
    merges_to(place / "base")
    assert kinds(say("--no-check")) == ["export"]


def test_where_no_adapter_is_merged_nothing_is_checked_unless_somebody_asks(say: Say, yard: Yard) -> None:
    alone = "adapter_name_or_path="
    assert say(alone, "--check", status=2)["error"]["title"].endswith("cannot be checked: no adapter is merged")
    assert not yard.library.list()
    assert kinds(say(alone)) == ["export"]


def test_an_adapter_that_cannot_be_compared_is_said_and_merged_all_the_same(
    place: Path, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "adapter" / "adapter_model.safetensors").rename(place / "adapter" / "adapter_model.bin")
    planned = say("--dry-run")
    (found,) = [check for check in planned["checks"] if check["id"] == "merge.unchecked"]
    assert found["level"] == "warning"
    assert found["message"].endswith("holds no adapter_model.safetensors")
    assert planned["then"] == []
    assert "adapter_model.safetensors" in say("--check", status=2)["error"]["title"]
    assert kinds(say()) == ["export"]


def test_an_adapter_that_is_neither_here_nor_named_as_on_a_hub_is_refused(say: Say, yard: Yard) -> None:
    for wrong in ("nope", "a/b/c", "adapter,nope", "no such/thing"):
        planned = say(f"adapter_name_or_path={wrong}", "--dry-run", status=2)
        assert "adapter.name" in [check["id"] for check in planned["checks"]], wrong
    assert "nope is no adapter" in say("adapter_name_or_path=nope", status=2)["error"]["title"]
    assert say("adapter_name_or_path=me/lora", "--dry-run")["ok"]
    parent = yard.run(program("counter.py", 1, 0))
    assert say("adapter_name_or_path=nope", "--after", parent, "--dry-run")["ok"]


def test_files_of_no_size_are_said_before(say: Say) -> None:
    found = {check["id"]: check["level"] for check in say("export_size=0", "--dry-run")["checks"]}
    assert found["export_size.none"] == "warning"


def test_what_would_run_is_said_before(place: Path, say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    (then,) = say("--dry-run")["then"]
    assert then["kind"] == "check"
    assert then["params"] == {
        "base": str(place / "base"),
        "merged": str(place / "merged"),
        "adapters": [str(place / "adapter")],
        "answers": False,
    }
    assert run(["export", "merge.json", "--dry-run"]) == 0
    assert "Then: merge check" in capsys.readouterr().out


def test_an_adapter_that_another_job_still_makes_is_checked_too(place: Path, say: Say, yard: Yard) -> None:
    (place / "adapter").rename(place / "later")
    parent = yard.run(program("counter.py", 1, 0))
    os.environ["FAKE_TRAINER"] = (place / "fake_trainer.json").read_text()
    planned = say("adapter_name_or_path=saves/new", "--after", parent, "--dry-run")
    assert planned["then"][0]["params"]["adapters"] == [str(place / "saves" / "new")]


def test_a_quantised_export_says_before_it_starts_what_gptq_lacks(place: Path, say: Say) -> None:
    (place / "texts.jsonl").write_text(json.dumps({"text": "short"}))
    asked = ["model_name_or_path=base", "adapter_name_or_path=", "export_quantization_bit=4"]
    texts = [*asked, "export_quantization_dataset=texts.jsonl"]

    def found(*words: str, status: int) -> dict[str, str]:
        said = say(*words, "--dry-run", status=status)
        return {check["id"]: check["level"] for check in said["checks"] if check["id"].startswith("gptq")}

    lacking = {"gptq.packages": "warning"} | ({} if sees_gpu() else {"gptq.gpu": "warning"})
    assert found(*asked, status=2) == lacking | {"gptq.dataset": "error"}
    assert found(*texts, status=2) == lacking | {"gptq.dataset": "error"}
    assert found(*texts, "export_quantization_maxlen=4", status=0) == lacking
    assert found("export_quantization_bit=", status=0) == {}


def test_a_push_to_a_hub_is_said_by_a_dry_run_and_refused_without_a_token(
    place: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*words: str, status: int) -> dict[str, str]:
        said = say("--dry-run", *words, status=status)
        return {check["id"]: check["message"] for check in said["checks"] if check["id"].startswith("hub.")}

    monkeypatch.setenv("HF_TOKEN", "secret")
    assert "me/x" in found("export_hub_model_id=me/x", status=0)["hub.push"]
    planned = say("--dry-run", "export_hub_model_id=me/x")
    assert [then["kind"] for then in planned["then"]] == ["check", "push"]
    assert planned["then"][1]["params"] == {"folder": str(place / "merged"), "repository": "me/x"}
    assert planned["needs_env"] == ["HF_TOKEN"]
    alone = say("--dry-run", "--no-check", "export_hub_model_id=me/x")
    assert [then["kind"] for then in alone["then"]] == ["push"]
    monkeypatch.delenv("HF_TOKEN")
    assert "HF_TOKEN" in found("export_hub_model_id=me/x", status=2)["hub.token"]
