"""llama.cpp's real script on models that our converter does not know: what it makes, through a job, and its stop."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from backend.convert.llama_cpp import SCRIPT, Script
from backend.convert.names import AUTO
from backend.convert.planning import make_plan
from backend.convert.refusal import UnknownHereError
from backend.convert.road import road_of
from backend.convert.script import convert_by_script
from backend.convert.sidecar import read_sidecar
from backend.jobs.launch import request_stop
from backend.lf.find import LlamaFactory
from data.gguf import check, read_header
from data.jobs.spec import JobSpec
from data.jobs.status import Status
from tests import oracle
from tests.families import Model
from tests.real.test_convert_identity import difference, plain_keys
from tests.support import Yard, wait_until
from tests.unit.llama_cpp_folder import only

pytestmark = [pytest.mark.real, pytest.mark.slow]
NAME = "Paddock Test"
MODELS = {
    "phi-2": Model("Phi", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, real="gpt-2"),
    "falcon": Model("Falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}, real="falcon"),
}


@pytest.fixture(scope="module")
def made(lf: LlamaFactory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models, and what the script makes of them when a person calls it."""
    root = tmp_path_factory.mktemp("script")
    orders = json.dumps([model.order(root / name) for name, model in MODELS.items()]).encode()
    program = oracle.PROGRAMS / "tiny_models.py"
    done = subprocess.run([str(lf.python), str(program)], input=orders, capture_output=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    for name, model in MODELS.items():
        model.write_tokenizer(root / name)
    oracle.convert_all(lf.python, [oracle.Conversion(root / n, root / f"{n}.gguf", "bf16", NAME) for n in MODELS])
    return root


@pytest.fixture
def home(yard: Yard, lf: LlamaFactory) -> dict[str, str]:
    """The environment of jobs that find the real script and a Python for it."""
    return {
        **yard.environ,
        "PADDOCK_LLAMA_CPP_DIR": str(oracle.llama_cpp()),
        "PADDOCK_LLAMAFACTORY_PYTHON": str(lf.python),
    }


def spec(folder: Path, target: Path, **more: object) -> JobSpec:
    params = {"source": str(folder), "target": str(target), "outtype": "bf16", "name": NAME, **more}
    return JobSpec.new("convert", folder.name, workspace=str(folder), params=params)


@pytest.mark.parametrize("name", MODELS)
def test_a_job_makes_what_the_script_makes(
    made: Path, yard: Yard, home: dict[str, str], tmp_path: Path, name: str
) -> None:
    with pytest.raises(UnknownHereError):
        make_plan(made / name)
    target = tmp_path / "out" / "ours.gguf"
    (job_id,) = yard.launch(spec(made / name, target), environ=home)
    job = yard.until(job_id, timeout_s=240)
    assert job.status is Status.SUCCEEDED, f"{job.state.title.english()} {job.state.detail.english()}"
    assert difference(target, made / f"{name}.gguf") == ""
    assert check(target) == ()
    assert job.state.result["converter"] == "llama.cpp"
    assert (job.state.result["outtype"], job.state.result["tensors"]) == ("bf16", len(read_header(target).tensors))
    sidecar = read_sidecar(target)
    assert sidecar is not None
    match sidecar["script"]:
        case {"program": str(program)}:
            assert program == str(oracle.llama_cpp() / SCRIPT)
        case other:
            pytest.fail(str(other))
    assert job.state.progress is not None
    assert job.state.progress.unit == "bytes"


def test_a_training_changes_only_template_bos_and_ends_of_the_scripts_file(
    made: Path, yard: Yard, home: dict[str, str], tmp_path: Path
) -> None:
    target = tmp_path / "ours.gguf"
    (job_id,) = yard.launch(spec(made / "phi-2", target, training={"template": "default"}), environ=home)
    job = yard.until(job_id, timeout_s=240)
    assert job.status is Status.SUCCEEDED, f"{job.state.title.english()} {job.state.detail.english()}"
    before, after = plain_keys(made / "phi-2.gguf"), plain_keys(target)
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert "tokenizer.chat_template" in changed
    assert changed <= {
        "tokenizer.chat_template",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.eot_token_id",
    }
    a, b = read_header(target), read_header(made / "phi-2.gguf")
    assert target.read_bytes()[a.data_offset :] == (made / "phi-2.gguf").read_bytes()[b.data_offset :]
    assert check(target) == ()


def test_the_real_script_is_stopped_while_it_loads_and_leaves_nothing(
    made: Path, yard: Yard, home: dict[str, str], tmp_path: Path
) -> None:
    target = tmp_path / "out" / "ours.gguf"
    (job_id,) = yard.launch(spec(made / "falcon", target), environ=home)
    wait_until(lambda: target.parent.is_dir() and list(target.parent.iterdir()), what="the hidden file")
    request_stop(yard.job(job_id), "graceful")
    assert yard.until(job_id).status is Status.STOPPED
    assert list(target.parent.iterdir()) == []
    wait_until(lambda: not yard.alive(job_id), what="the end of the script")


def test_what_the_real_script_refuses_is_said_in_its_words(made: Path, lf: LlamaFactory, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (made / "phi-2").iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["NobodysForCausalLM"]}))
    script = Script(oracle.llama_cpp() / SCRIPT, lf.python)
    assert road_of(folder, AUTO, only(script)).maker == script
    with pytest.raises(Exception, match="failed") as caught:
        convert_by_script(folder, tmp_path / "a.gguf", script)
    assert "NobodysForCausalLM" in str(caught.value)
    assert not list(tmp_path.glob("*.gguf"))
