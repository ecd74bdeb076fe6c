"""What LLaMA-Factory writes becomes events: on its recorded output, and on everything that can go wrong with a log."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.train.export_follower import ExportFollower
from backend.train.follower import TrainFollower
from backend.train.tail import Tail

DATA = Path(__file__).parent.parent / "data"
LOG = DATA / "llamafactory-0.9.5-transformers-5.6.0-train.log"
TRAINER_LOG = DATA / "llamafactory-0.9.5-transformers-5.6.0-trainer_log.jsonl"
GPTQ_LOG = DATA / "llamafactory-0.9.5-gptq-export.log"
EXPORT_LOG = DATA / "llamafactory-0.9.5-transformers-5.6.0-export.log"


def row(step: int, total: int = 10, **values: object) -> str:
    return json.dumps({"current_steps": step, "total_steps": total, **values}) + "\n"


def make(tmp_path: Path, *, trainer_log: str | None = None, log: str | None = None) -> TrainFollower:
    if trainer_log is not None:
        (tmp_path / "trainer_log.jsonl").write_text(trainer_log)
    if log is not None:
        (tmp_path / "output.log").write_text(log)
    return TrainFollower(tmp_path, tmp_path / "output.log")


def of(events: list[dict[str, object]], kind: str) -> list[dict[str, object]]:
    return [event for event in events if event["kind"] == kind]


def test_a_recorded_training_gives_its_stages_metrics_and_progress(tmp_path: Path) -> None:
    shutil.copy(TRAINER_LOG, tmp_path / "trainer_log.jsonl")
    shutil.copy(LOG, tmp_path / "output.log")
    follower = make(tmp_path)
    events = follower.poll() + follower.finish(0)
    stages = [event["stage"] for event in of(events, "stage")]
    assert stages[:5] == ["importing", "tokenizing", "loading", "training", "evaluating"]
    assert stages[-1] in ("saving", "evaluating")
    metrics = of(events, "metric")
    losses = [m for m in metrics if "loss" in m]
    assert [m["step"] for m in losses] == list(range(2, 31, 2))
    assert losses[0] == {
        "kind": "metric",
        "step": 2,
        "loss": pytest.approx(5.6527214),
        "learning_rate": pytest.approx(0.0009666667),
        "epoch": pytest.approx(0.1333333),
        "grad_norm": pytest.approx(0.4039),
    }
    assert all("grad_norm" in m for m in losses)
    assert [m["step"] for m in metrics if "eval_loss" in m] == [10, 20, 30]
    assert of(events, "progress")[-1] == {"kind": "progress", "done": 30, "total": 30, "unit": "steps"}
    result = of(events, "result")[-1]["values"]
    assert isinstance(result, dict)
    assert result["first_loss"] == pytest.approx(5.6527214)
    assert result["last_loss"] == pytest.approx(5.4621553)
    assert not of(events, "failed")


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=30))
def test_the_events_do_not_depend_on_where_the_writing_paused(cuts: list[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        follower = make(folder, trainer_log="", log="")
        rows, log = TRAINER_LOG.read_bytes(), LOG.read_bytes()
        events: list[dict[str, object]] = []
        position = 0
        for cut in [*cuts, len(rows) + len(log)]:
            position += cut
            (folder / "trainer_log.jsonl").write_bytes(rows[: position // 6])
            (folder / "output.log").write_bytes(log[:position])
            events += follower.poll()
        (folder / "trainer_log.jsonl").write_bytes(rows)
        (folder / "output.log").write_bytes(log)
        events += follower.finish(0)
        metrics = of(events, "metric")
        assert [m["step"] for m in metrics if "loss" in m] == list(range(2, 31, 2))
        assert [m["step"] for m in metrics if "eval_loss" in m] == [10, 20, 30]
        assert of(events, "progress")[-1]["done"] == 30


def test_a_resume_reads_on_from_where_the_attempt_began(tmp_path: Path) -> None:
    old = row(1, loss=3.0) + row(2, loss=2.0)
    (tmp_path / "trainer_log.jsonl").write_text(old + row(2, loss=2.1) + row(3, loss=1.9))
    follower = TrainFollower(tmp_path, tmp_path / "output.log", trainer_log_offset=len(old))
    assert [m["loss"] for m in of(follower.poll(), "metric")] == [2.1, 1.9]


def test_torn_and_bad_lines_cost_only_themselves(tmp_path: Path) -> None:
    torn = '{"current_steps": 3, "total_st'
    follower = make(tmp_path, trainer_log=row(1, loss=3.0) + "garbage\n[1]\n\n" + torn + row(4, loss=2.0) + torn)
    assert [m["step"] for m in of(follower.poll(), "metric")] == [1, 4]
    assert of(follower.finish(0), "metric") == []


def test_a_log_that_is_deleted_or_cut_is_read_from_its_start(tmp_path: Path) -> None:
    follower = make(tmp_path, trainer_log=row(1, loss=3.0) + row(2, loss=2.0))
    follower.poll()
    (tmp_path / "trainer_log.jsonl").unlink()
    assert of(follower.poll(), "metric") == []
    (tmp_path / "trainer_log.jsonl").write_text(row(1, loss=9.0))
    assert [m["loss"] for m in of(follower.poll(), "metric")] == [9.0]


def test_progress_comes_from_the_bar_between_two_logged_steps(tmp_path: Path) -> None:
    log = "[INFO] >> ***** Running training *****\n>>   Total optimization steps = 1,000\n"
    follower = make(tmp_path, log=log)
    follower.poll()
    with (tmp_path / "output.log").open("a") as stream:
        stream.write(
            "\r 1%|▏  | 7/1000 [00:01<00:07,  3.69it/s]\r 1%|▏  | 8/1000 [00:01<00:07,  3.69it/s]\r 50%|▏  | 5/10 [00:0"
        )
    assert of(follower.poll(), "progress") == [{"kind": "progress", "done": 8, "total": 1000, "unit": "steps"}]
    with (tmp_path / "output.log").open("a") as stream:
        stream.write("1<00:07]\r")
    assert of(follower.poll(), "progress") == []  # a bar of something else


def test_a_loss_that_is_no_number_is_named(tmp_path: Path) -> None:
    follower = make(tmp_path, trainer_log='{"current_steps": 5, "total_steps": 10, "loss": NaN, "epoch": 1.0}\n')
    assert of(follower.poll(), "metric") == [{"kind": "metric", "epoch": 1.0, "step": 5, "not_finite": ["loss"]}]


def test_a_supervisor_that_adopts_the_job_goes_on_where_the_first_one_was(tmp_path: Path) -> None:
    follower = make(tmp_path, trainer_log=row(1, loss=3.0), log="[INFO] >> ***** Running training *****\n")
    follower.poll()
    mark = json.loads(json.dumps(follower.mark()))
    with (tmp_path / "trainer_log.jsonl").open("a") as stream:
        stream.write(row(2, loss=2.0))
    adopted = make(tmp_path)
    adopted.restore(mark)
    events = adopted.poll() + adopted.finish(0)
    assert [m["step"] for m in of(events, "metric")] == [2]
    assert of(events, "stage") == []
    result = of(events, "result")[0]["values"]
    assert isinstance(result, dict)
    assert result["first_loss"] == 3.0


def test_a_mark_that_makes_no_sense_is_survived(tmp_path: Path) -> None:
    follower = make(tmp_path, trainer_log=row(1, loss=3.0))
    follower.restore({"trainer_log": "x", "stage": 3, "total": None, "first_loss": []})
    assert len(of(follower.poll(), "metric")) == 1


def test_a_growing_checkpoint_is_a_sign_of_life(tmp_path: Path) -> None:
    follower = make(tmp_path, log="[INFO] >> Saving model checkpoint to /x\n")
    folder = tmp_path / "checkpoint-5"
    folder.mkdir()
    (folder / "optimizer.pt").write_bytes(bytes(2_000_000))
    stages = of(follower.poll(), "stage")
    assert stages[-1]["stage"] == "saving"
    label = stages[-1]["label"]
    assert isinstance(label, dict)
    assert label["values"] == {"megabytes": 2.0}


def test_results_of_a_run_that_did_not_end_are_not_reported(tmp_path: Path) -> None:
    (tmp_path / "train_results.json").write_text('{"train_loss": 1.0}')
    follower = make(tmp_path, trainer_log=row(3, loss=1.0))
    follower.poll()
    values = of(follower.finish(0), "result")[0]["values"]
    assert isinstance(values, dict)
    assert "train_results" not in values
    with (tmp_path / "trainer_log.jsonl").open("a") as stream:
        stream.write(row(10, loss=1.0))
    values = of(follower.finish(0), "result")[0]["values"]
    assert isinstance(values, dict)
    assert values["train_results"] == {"train_loss": 1.0}


def test_a_failure_is_explained_from_this_attempts_log_only(tmp_path: Path) -> None:
    old = "torch.OutOfMemoryError: CUDA out of memory.\n"
    (tmp_path / "output.log").write_text(old + "Traceback (most recent call last):\nValueError: other\n")
    follower = TrainFollower(tmp_path, tmp_path / "output.log", log_offset=len(old))
    failed = of(follower.finish(1), "failed")
    assert "ValueError: other" in json.dumps(failed)
    assert "GPU" not in json.dumps(failed)


def test_artifacts_name_complete_checkpoints_and_the_adapter(tmp_path: Path) -> None:
    for step, complete in ((5, True), (9, False), (10, True)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_bytes(bytes(100))
        if complete:
            (folder / "trainer_state.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(bytes(70))
    found = of(make(tmp_path).finish(0), "artifact")
    assert [(Path(str(a["path"])).name, a["what"], a["bytes"]) for a in found] == [
        ("checkpoint-5", "checkpoint", 102),
        ("checkpoint-10", "checkpoint", 102),
        (tmp_path.name, "adapter", 70),
    ]


def test_ten_thousand_steps_with_noise_are_followed_in_little_time(tmp_path: Path) -> None:
    noise = "\r" + "x" * 80 + "\r 50%|##   | 1/10000 [00:00<00:00]"
    rows = "".join(row(step, 10_000, loss=1.0 / step, lr=1e-4, epoch=step / 100) for step in range(1, 10_001))
    follower = make(tmp_path, trainer_log=rows, log=noise * 10_000 + "\n")
    begin = time.process_time()
    events = follower.poll() + follower.finish(0)
    assert len(of(events, "metric")) == 10_000
    assert time.process_time() - begin < 3.0


def test_a_poll_without_news_costs_next_to_nothing(tmp_path: Path) -> None:
    follower = make(tmp_path, trainer_log=row(1, loss=3.0), log="x\n")
    follower.poll()
    begin = time.process_time()
    for _unused in range(1000):
        assert follower.poll() == []
    assert time.process_time() - begin < 0.5


def test_a_line_without_end_is_held_in_bounds(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (5 << 20))
    tail = Tail(path, returns=True)
    for _unused in range(12):
        assert tail.lines() == []
    with path.open("ab") as stream:
        stream.write(b"\nnext\n")
    assert tail.lines()[-1] == b"next"


def export(tmp_path: Path, **args: object) -> ExportFollower:
    base = tmp_path / "base"
    base.mkdir(exist_ok=True)
    (base / "model.safetensors").write_bytes(bytes(1000))
    return ExportFollower(
        partial=tmp_path / ".out.part", target=tmp_path / "out", base=base, log=tmp_path / "output.log", args=args
    )


def test_an_export_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    follower = export(tmp_path)
    shutil.copy(EXPORT_LOG, tmp_path / "output.log")
    part = tmp_path / ".out.part"
    part.mkdir()
    events = follower.poll()
    assert [e["stage"] for e in of(events, "stage")] == ["importing", "loading", "merging", "saving"]
    (part / "model.safetensors").write_bytes(bytes(400))
    assert of(follower.poll(), "progress") == [{"kind": "progress", "done": 400, "total": 1000, "unit": "bytes"}]
    (part / "config.json").write_text("{}")
    (tmp_path / "out").mkdir()
    events = follower.finish(0)
    assert not part.exists()
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert of(events, "artifact")[0]["path"] == str(tmp_path / "out")
    assert of(export(tmp_path).finish(0), "failed") == []  # a second supervisor finds it done


def test_a_quantised_export_counts_its_blocks_and_promises_no_size(tmp_path: Path) -> None:
    follower = export(tmp_path, export_quantization_bit=4)
    shutil.copy(GPTQ_LOG, tmp_path / "output.log")
    events = follower.poll()
    stages = [event["stage"] for event in of(events, "stage")]
    assert stages == ["importing", "loading", "merging", "quantising", "packing"]
    blocks = of(events, "progress")
    assert {(event["total"], event["unit"]) for event in blocks} == {(16, "blocks")}
    assert list(dict.fromkeys(event["done"] for event in blocks)) == list(range(17))
    part = tmp_path / ".out.part"
    part.mkdir()
    (part / "model.safetensors").write_bytes(bytes(400))
    events = follower.poll()
    assert of(events, "progress") == [{"kind": "progress", "done": 400, "total": None, "unit": "bytes"}]
    assert of(events, "stage")[-1]["stage"] == "saving"


def test_an_export_that_failed_leaves_nothing(tmp_path: Path) -> None:
    follower = export(tmp_path)
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "model.safetensors").write_bytes(bytes(400))
    (tmp_path / "output.log").write_text(
        "Traceback (most recent call last):\nOSError: [Errno 28] No space left on device\n"
    )
    events = follower.finish(1)
    assert "The disk is full" in json.dumps(of(events, "failed"))
    assert not (tmp_path / ".out.part").exists()
    assert not (tmp_path / "out").exists()


def test_an_export_that_wrote_no_weights_has_failed_whatever_its_status(tmp_path: Path) -> None:
    follower = export(tmp_path)
    (tmp_path / ".out.part").mkdir()
    assert of(follower.finish(0), "failed")
