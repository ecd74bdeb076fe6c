"""A model goes to a hub as a job: a little server speaks the part of the hub's protocol that this takes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from backend.export.push import model_files, push_spec
from backend.jobs.launch import resume
from data.errors import AppError
from data.jobs.library import Job
from data.jobs.status import Status
from tests.hub import Hub, digests, serving
from tests.support import Yard


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A merge in two shards, with all that lies beside one."""
    folder = tmp_path / "merged"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"model-0000{number}-of-00002.safetensors").write_bytes(random.Random(number).randbytes(300_000))
    for name in ("config.json", "model.safetensors.index.json", "tokenizer.json", "chat_template.jinja"):
        (folder / name).write_text("{}")
    for name in ("paddock.json", "model-F16.gguf", "model-F16.gguf.json", "Modelfile", ".hidden.json"):
        (folder / name).write_text("{}")
    return folder


def push(hub: Hub, yard: Yard, folder: Path, repository: str = "me/model", account: str = "good") -> Job:
    spec = push_spec(folder, repository, workspace=folder.parent, after=(), chain=None)
    yard.launch(spec, environ=hub.environ(yard, account))
    return yard.until(spec.id)


PUSHED = [
    "chat_template.jinja", "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
    "model.safetensors.index.json", "tokenizer.json",
]  # fmt: skip


@pytest.mark.parametrize("is_xet", [True, False])
def test_a_model_is_on_the_hub_whole_although_the_line_breaks_and_a_later_one_takes_its_place(
    yard: Yard, model: Path, tmp_path: Path, *, is_xet: bool
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "model.safetensors").write_bytes(random.Random(3).randbytes(100))
    (whole / "config.json").write_text("{}")
    with serving(tmp_path, "cut", is_xet=is_xet) as hub:
        job = push(hub, yard, model)
        assert job.status is Status.SUCCEEDED, job.state
        assert hub.seen() == {"files": {"me/model": digests(model, PUSHED)}, "uploads": 2, "commits": 1}
        assert job.state.result["url"] == f"{hub.url}/me/model"
        assert (job.state.result["files"], job.state.result["bytes"]) == (6, 600_008)

        job = push(hub, yard, whole, "model")  # of the token's own account
        assert job.status is Status.SUCCEEDED, job.state
        assert job.state.result["removed"] == [name for name in PUSHED if name.startswith("model")]
        kept = digests(whole, ["model.safetensors", "config.json"])
        others = digests(model, ["chat_template.jinja", "tokenizer.json"])
        assert hub.seen()["files"] == {"me/model": kept | others}


def test_a_token_that_may_not_write_is_named_and_a_resume_with_another_goes_on(
    yard: Yard, model: Path, tmp_path: Path
) -> None:
    with serving(tmp_path) as hub:
        job = push(hub, yard, model, account="bad")
        assert job.status is Status.FAILED
        assert str(job.state.title) == "The hub does not let you write to me/model"
        assert "401: Invalid username or password." in str(job.state.detail)
        assert "HF_TOKEN" in str(job.state.hint)
        (again,) = resume(yard.library, job.id, environ=hub.environ(yard))
        job = yard.until(again)
        assert job.status is Status.SUCCEEDED
    for file in job.folder.path.rglob("*"):
        assert not file.is_file() or b"good" not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("mode", "is_xet", "said"),
    [
        ("full", False, "storage limit reached"),
        ("full", True, "403 Forbidden"),
        ("plain", True, "404 Not Found"),  # a mirror without xet storage
    ],
)
def test_what_the_hub_refuses_is_said_in_its_words_and_nothing_is_half_there(
    yard: Yard, model: Path, tmp_path: Path, mode: str, said: str, *, is_xet: bool
) -> None:
    with serving(tmp_path, mode, is_xet=is_xet) as hub:
        job = push(hub, yard, model)
        assert job.status is Status.FAILED
        assert said in str(job.state.detail)
        assert ("HF_HUB_DISABLE_XET" in str(job.state.hint)) is is_xet
        assert hub.seen() == {"files": {"me/model": {}}, "uploads": 0, "commits": 0}


def test_a_folder_without_weights_is_not_pushed(model: Path) -> None:
    assert [file.name for file in model_files(model)] == PUSHED
    for file in model.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(AppError, match="holds no model"):
        model_files(model)
    with pytest.raises(AppError, match="cannot be read"):
        model_files(model / "nowhere")
