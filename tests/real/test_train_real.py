"""The real LLaMA-Factory: it reads what we write as we mean it, and a training is stopped, resumed and merged."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.jobs.launch import request_stop, resume
from backend.lf import schema as schemas
from backend.lf import yamlform
from backend.lf.find import LlamaFactory, find
from backend.train.record import read_record
from backend.train.spec import export_spec, train_spec
from backend.train.stopping import resume_consequence
from data.jobs.library import Job
from data.jobs.status import Status
from data.paths import Paths
from data.settings import load_settings
from tests.support import PROGRAMS, Yard, wait_until
from tests.unit.test_lf_arguments import BROKEN, GOOD

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def lf() -> LlamaFactory:
    paths = Paths.default()
    found = find(load_settings(paths.settings).values, paths)
    if found is None:
        pytest.fail("no LLaMA-Factory: run `paddock setup llamafactory`, or set PADDOCK_LLAMAFACTORY_PYTHON")
    return found


def ask(lf: LlamaFactory, code: str, question: object) -> object:
    """Run ``code`` in LLaMA-Factory's Python with ``question`` as JSON on stdin; return its JSON answer."""
    done = subprocess.run(
        [str(lf.python), "-c", code], input=json.dumps(question).encode(), capture_output=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_snapshot_is_what_the_installed_version_answers(lf: LlamaFactory, tmp_path: Path) -> None:
    answer = schemas.refresh(lf, Paths.under(tmp_path))
    known = schemas.snapshot()
    if (lf.version, lf.packages["transformers"]) == (known.llamafactory, known.transformers):
        assert answer == known
    assert "enable_jit_checkpoint" in answer.arguments("train") or not schemas.has_jit_checkpoint(lf)
    assert schemas.cache_file(lf, Paths.under(tmp_path)).exists()


TEXTS = [
    "a: 1e-5\nb: 1.0e-05\nc: yes\nd: no\ne: ~\nf: 2026-01-01\ng: '1'\nh: [1, 'x', q_proj]\ni: {j: 1_000}\n",
    "a: on\nb: .inf\nc: -1\nd: 0x1F\ne: 017\nf: null\ng: a,b\nh: 1:30\ni: 3.\nj: .5\nk: 1E4\nl: +1\n",
    "a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2\n",
    'a: |\n  two\n  lines\nb: >\n  folded\n  text\nc: "\\u4f60 \\x41"\nd: 你好 😀\n',
    "a: ${b}\nb: '???'\nc: /path/with space\nd: http://x/y:z\n",
]


def test_yaml_is_read_as_llamafactory_reads_it(lf: LlamaFactory) -> None:
    code = (
        "import json, sys; from omegaconf import OmegaConf\n"
        "read = lambda text: OmegaConf.to_container(OmegaConf.create(text))\n"
        "print(json.dumps([read(text) for text in json.load(sys.stdin)]))"
    )
    values: dict[str, object] = {
        "learning_rate": 1e-05,
        "default_system": "你好 😀 \x85\u2028 'a' \"b\" \\ # : - {",
        "report_to": "none",
        "eval_strategy": "no",
        "lora_target": ["q_proj", "no", "1e-5"],
        "lr_scheduler_kwargs": {"min_lr": 1e-07, "a b": None, "on": True},
        "dataset": "2026-01-01",
        "run_name": "0x1F",
        "output_dir": "/a path/with: colon",
        "empty": "",
        "big": 180000000,
        "max": 1e300,
    }
    texts = [*TEXTS, yamlform.dump(values)]
    read = [yamlform.load(text) for text in texts]
    assert read[-1] == values
    assert ask(lf, code, texts) == read


def test_every_rule_is_one_of_llamafactorys_own_parser(lf: LlamaFactory) -> None:
    code = (
        "import json, sys\n"
        "from llamafactory.hparams import get_train_args\n"
        "answers = []\n"
        "for args in json.load(sys.stdin):\n"
        "    try: get_train_args(args); answers.append('')\n"
        "    except (ValueError, ImportError) as error: answers.append(str(error) or repr(error))\n"
        "sys.stdout.write('\\n' + json.dumps(answers) + '\\n')"
    )
    base = {"model_name_or_path": "/none", "template": "chatml", "output_dir": "/none/out", "report_to": "none"}
    cases = [GOOD, *(GOOD | args for args, rule in BROKEN if rule != "rule.nothing")]
    answers = ask(lf, code, [{k: v for k, v in (base | case).items() if v is not None} for case in cases])
    assert isinstance(answers, list)
    assert answers[0] == ""
    assert [case for case, answer in zip(cases[1:], answers[1:], strict=True) if not answer] == []


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def workspace(tmp_path: Path, lf: LlamaFactory) -> Path:
    folder = tmp_path / "work"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "dataset_info.json").write_text('{"rows": {"file_name": "rows.json"}}')
    rows = [{"instruction": f"Who are you? ({n})", "input": "", "output": f"I am number {n}."} for n in range(64)]
    (folder / "data" / "rows.json").write_text(json.dumps(rows))
    subprocess.run(
        [str(lf.python), str(PROGRAMS / "tiny_llama.py"), str(folder / "tiny")], check=True, capture_output=True
    )
    return folder


def steps(job: Job) -> list[int]:
    return [
        int(str(event["step"])) for event in job.folder.events().events if event["kind"] == "metric" and "loss" in event
    ]


def test_a_training_is_stopped_resumed_and_merged(yard: Yard, workspace: Path, lf: LlamaFactory) -> None:
    args: dict[str, object] = {
        "model_name_or_path": "tiny",
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "dataset": "rows",
        "template": "chatml",
        "cutoff_len": 128,
        "output_dir": "out",
        "per_device_train_batch_size": 4,
        "max_steps": 400,
        "logging_steps": 1,
        "save_steps": 100_000,
        "learning_rate": 1e-3,
        "use_cpu": True,
    }
    spec = train_spec(args, workspace=workspace, lf=lf)
    job_id = yard.launch(spec)[0]
    wait_until(lambda: yard.job(job_id).state.metrics.get("step", 0) >= 10, timeout_s=180, what="ten steps")
    request_stop(yard.job(job_id), "graceful")
    job = yard.until(job_id, timeout_s=120)
    assert job.status is Status.STOPPED
    assert job.state.exit_code == 0
    checkpoints = [Path(a.path) for a in job.state.artifacts.values() if a.what == "checkpoint"]
    assert len(checkpoints) == 1, "the stop saved a checkpoint"
    saved = int(checkpoints[0].name.rpartition("-")[2])
    assert (checkpoints[0] / "optimizer.pt").exists()
    reached = steps(job)[-1]
    assert reached - saved in (0, 1), "transformers may save just before the step that it still makes"
    said = resume_consequence(spec).english()
    assert said.startswith(f"It goes on from checkpoint-{saved}")
    assert ("nothing is lost" if reached == saved else "one step again") in said
    assert job.state.metrics["grad_norm"] > 0

    wait_until(lambda: not yard.alive(job_id), what="the supervisor's own end")
    resume(yard.library, job_id, environ=yard.environ)
    job = yard.until(job_id, timeout_s=400)
    assert job.status is Status.SUCCEEDED, job.state.detail.english()
    assert steps(job) == [*range(1, reached + 1), *range(saved + 1, 401)]
    assert job.state.result["train_results"]
    first, last = job.state.result["first_loss"], job.state.result["last_loss"]
    assert isinstance(first, float)
    assert isinstance(last, float)
    record = read_record(workspace / "out")
    assert record is not None
    assert record.template == "chatml"

    merge: dict[str, object] = {
        "model_name_or_path": "tiny",
        "adapter_name_or_path": "out",
        "template": "chatml",
        "finetuning_type": "lora",
        "export_dir": "merged",
    }
    job = yard.until(yard.launch(export_spec(merge, workspace=workspace, lf=lf))[0], timeout_s=180)
    assert job.status is Status.SUCCEEDED, job.state.detail.english()
    merged, base = workspace / "merged" / "model.safetensors", workspace / "tiny" / "model.safetensors"
    assert merged.stat().st_size == base.stat().st_size
    assert merged.read_bytes() != base.read_bytes()
    assert (workspace / "merged" / "tokenizer.json").exists()
