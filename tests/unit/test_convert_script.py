"""Models that our converter does not know: who converts them, what is said of it, and that nothing half is left."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from backend.convert.converter import Overrides, convert
from backend.convert.digest import digest_of
from backend.convert.imported import Importer
from backend.convert.keys import Keys
from backend.convert.llama_cpp import SCRIPT, Script, find_script
from backend.convert.names import AUTO, LLAMA_CPP, OLLAMA, OURS
from backend.convert.rekey import rekey
from backend.convert.road import Others, road_of
from backend.convert.script import convert_by_script
from backend.convert.sidecar import read_sidecar, write_sidecar
from backend.convert.stream import Stopped
from data.errors import AppError, RequestError
from data.gguf import check, read_header
from data.jobs.spec import now
from data.paths import Paths
from data.settings import Settings
from tests.unit.llama_cpp_folder import (
    NOBODY,
    UNKNOWN,
    only,
    write_llama_cpp,
    write_python,
    write_settings,
    write_unknown_model,
)
from tests.unit.model_folder import write_model
from tui.commands.root import run as run_command


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.default({"PADDOCK_HOME": str(tmp_path / "home")})


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(write_llama_cpp(tmp_path / "llama.cpp") / SCRIPT, write_python(tmp_path / "lf"))


def left_in(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


# -- who converts -----------------------------------------------------------------------------------------------------


def test_the_script_is_that_of_the_setting_and_runs_in_llama_factorys_python(tmp_path: Path, paths: Paths) -> None:
    assert find_script(paths, Settings()) is None
    settings = write_settings(tmp_path)
    found = find_script(paths, settings)
    assert found is not None
    assert found == Script(tmp_path / "llama.cpp" / SCRIPT, tmp_path / "lf" / "bin" / "python")
    assert found.library == tmp_path / "llama.cpp" / "gguf-py"


def test_a_script_that_cannot_run_is_refused_with_what_it_lacks(tmp_path: Path, paths: Paths) -> None:
    place = write_llama_cpp(tmp_path / "llama.cpp")
    with pytest.raises(RequestError, match="no Python") as caught:
        find_script(paths, Settings(llama_cpp_dir=str(place)), None, {"PATH": "/nowhere"})
    assert "paddock setup llamafactory" in caught.value.hint.english()
    (place / "gguf-py" / "gguf" / "__init__.py").unlink()
    with pytest.raises(RequestError, match="lacks the gguf package"):
        find_script(paths, Settings(llama_cpp_dir=str(place)), None, {"PATH": "/nowhere"})


def test_our_converter_takes_what_it_knows_and_the_script_the_rest(tmp_path: Path, script: Script) -> None:
    write_model(tmp_path / "known")
    unknown = write_unknown_model(tmp_path / "unknown")
    assert road_of(tmp_path / "known", AUTO, only(script)).notes() == ()
    road = road_of(unknown, AUTO, only(script))
    assert road.maker == script
    assert [note.english() for note in road.notes()] == [
        f"The architecture {UNKNOWN} is not known to this converter: llama.cpp's script makes the GGUF."
    ]
    asked = road_of(tmp_path / "known", LLAMA_CPP, only(script))
    assert asked.maker == script
    assert "not Paddock's converter" in asked.notes()[0].english()


@pytest.mark.parametrize("converter", [AUTO, OURS])
def test_without_a_script_the_refusal_says_how_to_get_one(tmp_path: Path, converter: str) -> None:
    unknown = write_unknown_model(tmp_path / "unknown")
    with pytest.raises(RequestError, match=UNKNOWN) as caught:
        road_of(unknown, converter, NOBODY)
    assert "llama_cpp_dir" in caught.value.hint.english()
    with pytest.raises(RequestError, match=SCRIPT) as caught:
        road_of(unknown, LLAMA_CPP, NOBODY)
    assert "PADDOCK_LLAMA_CPP_DIR" in caught.value.hint.english()


def test_who_wants_our_converter_gets_no_other(tmp_path: Path, script: Script) -> None:
    with pytest.raises(RequestError, match="is not known to this converter"):
        road_of(write_unknown_model(tmp_path / "unknown"), OURS, only(script))


def test_code_that_a_folder_brings_runs_only_when_a_person_says_so(tmp_path: Path, script: Script) -> None:
    folder = write_unknown_model(tmp_path / "own", auto_map={"AutoConfig": "configuration_own.OwnConfig"})
    with pytest.raises(RequestError) as caught:
        road_of(folder, AUTO, only(script))
    assert "auto_map" in caught.value.detail.english()
    assert "--converter llama.cpp" in caught.value.hint.english()
    assert road_of(folder, LLAMA_CPP, only(script)).maker == script


IMPORTER = Importer(Path("/usr/bin/ollama"))
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
GPT_OSS = "GptOssForCausalLM"


def write_quantised(place: Path, architecture: str, settings: Mapping[str, object]) -> Path:
    write_model(place, config={"architectures": [architecture], "quantization_config": settings})
    return place


@pytest.mark.parametrize(
    ("architecture", "settings", "by_script", "by_import"),
    [
        (GPT_OSS, {"quant_method": "mxfp4"}, True, True),
        ("LlamaForCausalLM", {"quant_method": "mxfp4"}, False, False),
        ("LlamaForCausalLM", FP8, True, False),
        ("Qwen3NextForCausalLM", FP8, True, True),
        ("Qwen3NextForCausalLM", {"quant_method": "fp8"}, True, False),
        ("LlamaForCausalLM", {"quant_method": "gptq", "bits": 4}, True, False),
        ("LlamaForCausalLM", {"quant_method": "gptq", "bits": 3}, False, False),
        ("LlamaForCausalLM", {"quant_method": "compressed-tensors", "format": "pack-quantized"}, True, False),
        ("LlamaForCausalLM", {"quant_method": "compressed-tensors", "format": "marlin-24"}, False, False),
        ("LlamaForCausalLM", {"quant_method": "awq"}, False, False),
        (GPT_OSS, {"quant_method": "bitsandbytes"}, False, False),
        (GPT_OSS, {"bits": 4}, False, False),
    ],
)
def test_quantised_weights_are_left_to_those_who_take_them(
    tmp_path: Path,
    script: Script,
    architecture: str,
    settings: Mapping[str, object],
    by_script: bool,
    by_import: bool,
) -> None:
    folder = write_quantised(tmp_path / "model", architecture, settings)
    importing = Others(lambda: None, lambda: IMPORTER)
    for find, maker, takes in ((only(script), script, by_script), (importing, IMPORTER, by_import)):
        if takes:
            road = road_of(folder, AUTO, find)
            assert road.maker == maker
            assert "quantised already" in road.notes()[0].english()
        else:
            with pytest.raises(RequestError, match="quantised already"):
                road_of(folder, AUTO, find)
    with pytest.raises(RequestError) as caught:
        road_of(folder, AUTO, NOBODY)
    remedy = "paddock setup ollama" if by_import else "llama_cpp_dir" if by_script else "Convert the unquantised model"
    assert remedy in caught.value.hint.english()
    assert road_of(folder, AUTO, NOBODY, is_base=True).notes() == ()


def test_an_import_that_somebody_asks_for_is_refused_where_it_would_fail(tmp_path: Path) -> None:
    importing = Others(lambda: None, lambda: IMPORTER)
    folder = write_quantised(tmp_path / "awq", GPT_OSS, {"quant_method": "awq"})
    with pytest.raises(RequestError, match="quantised already"):
        road_of(folder, OLLAMA, importing)
    assert road_of(folder, OLLAMA, importing, is_base=True).maker == IMPORTER
    folder = write_quantised(tmp_path / "mxfp4", GPT_OSS, {"quant_method": "mxfp4"})
    assert road_of(folder, OLLAMA, importing).maker == IMPORTER


@pytest.mark.parametrize(
    ("files", "remedy"),
    [(("vocab.json", "merges.txt"), "save_pretrained"), (("tekken.json",), "Copy the tokenizer.json")],
)
def test_a_tokenizer_in_another_form_is_left_to_the_script_only(
    tmp_path: Path, script: Script, files: tuple[str, ...], remedy: str
) -> None:
    importing = Others(lambda: None, lambda: IMPORTER)
    for architecture, converter in (("Qwen2ForCausalLM", OLLAMA), (GPT_OSS, AUTO)):
        folder = tmp_path / architecture
        write_model(folder, config={"architectures": [architecture]})
        (folder / "tokenizer.json").unlink()
        for name in files:
            (folder / name).write_text("")
        assert road_of(folder, AUTO, only(script)).maker == script
        with pytest.raises(RequestError, match=", ".join(files)) as caught:
            road_of(folder, converter, importing)
        assert remedy in caught.value.hint.english()


def test_the_remedy_for_an_old_form_of_tokenizer_is_one_command(tmp_path: Path) -> None:
    folder = tmp_path / "it's one"
    write_model(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text("{}")
    (folder / "merges.txt").write_text("")
    with pytest.raises(RequestError) as caught:
        road_of(folder, AUTO, NOBODY)
    command = shlex.split(caught.value.hint.english().partition("shows: ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "command", "exec")
    assert command[2].count(f'"{folder}"') == 2


def test_of_a_base_only_its_kind_counts(tmp_path: Path, script: Script) -> None:
    """Its files are not those that will be converted: a merge writes new ones, in another form and with a tokenizer."""
    write_model(tmp_path / "base")
    (tmp_path / "base" / "tokenizer.json").unlink()
    (tmp_path / "base" / "model.safetensors").rename(tmp_path / "base" / "pytorch_model.bin")
    assert road_of(tmp_path / "base", AUTO, NOBODY, is_base=True).notes() == ()
    with pytest.raises(RequestError, match="pickled"):
        road_of(tmp_path / "base", AUTO, NOBODY)
    with pytest.raises(RequestError, match=UNKNOWN):
        road_of(write_unknown_model(tmp_path / "unknown"), AUTO, NOBODY, is_base=True)


def test_the_command_refuses_before_anything_starts_and_says_who_converts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_unknown_model(tmp_path / "unknown", "fails")
    assert run_command(["convert", "unknown"]) == 2
    assert "llama_cpp_dir" in capsys.readouterr().err
    assert not (tmp_path / "home" / "state" / "jobs").exists()
    settings = write_settings(tmp_path)
    monkeypatch.setenv("PADDOCK_LLAMA_CPP_DIR", settings.llama_cpp_dir)
    monkeypatch.setenv("PADDOCK_LLAMAFACTORY_PYTHON", settings.llamafactory_python)
    assert run_command(["convert", "unknown", "--converter", "paddock"]) == 2
    assert "is not known to this converter" in capsys.readouterr().err
    assert run_command(["convert", "unknown"]) == 1
    said = "".join(capsys.readouterr())
    assert "llama.cpp's script makes the GGUF" in said
    assert "BPE pre-tokenizer was not recognized" in said
    assert sorted(path.suffix for path in (tmp_path / "unknown").iterdir()) == [
        ".gguf",
        ".json",
        ".json",
        ".json",
        ".safetensors",
    ]
    assert run_command(["convert", "unknown", "--base", ".", "--converter", "llama.cpp"]) == 2


# -- what it makes ----------------------------------------------------------------------------------------------------


def test_the_script_makes_the_file_and_the_sidecar_says_so(
    tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_unknown_model(tmp_path / "unknown")
    target = tmp_path / "out" / "a{b}.gguf"
    seen: list[tuple[int, int]] = []
    report = convert_by_script(
        folder, target, script, outtype="bf16", progress=lambda done, total: seen.append((done, total))
    )
    assert left_in(target.parent) == ["a{b}.gguf"]
    assert target.read_bytes() == (folder / "ready.gguf").read_bytes()
    assert check(target) == ()
    assert seen == [(0, 1_250_000), (500_000, 1_250_000), (1_250_000, 1_250_000)]
    assert (report.outtype, report.architecture, report.source_architecture) == ("bf16", "llama", UNKNOWN)
    assert report.as_json()["converter"] == "llama.cpp"
    assert report.digests.target == digest_of(target)
    write_sidecar(report, changed=[], moment=now())
    made = read_sidecar(target)
    assert made is not None
    assert made["script"] == {
        "program": str(script.path),
        "blake3": digest_of(script.path),
        "python": str(script.python),
    }
    assert run_command(["gguf", "show", str(target)]) == 0
    assert str(script.path) in capsys.readouterr().out
    match made["source"]:
        case {"architecture": str(architecture), "files": [{"file": str(file), "blake3": str(blake3)}]}:
            assert (architecture, file) == (UNKNOWN, "model.safetensors")
            assert blake3 == digest_of(folder / file)
        case other:
            pytest.fail(str(other))


def test_what_a_training_changes_is_changed_in_its_file_as_in_ours(tmp_path: Path, script: Script) -> None:
    """The stand-in writes what our converter makes of the folder; so both have to come to the same bytes."""
    write_model(tmp_path / "known")
    changes = Overrides("{{ x }}\n" * 99, add_bos=True, eos="<|im_start|>", eot="<|im_end|>")
    convert(
        tmp_path / "known",
        tmp_path / "ours.gguf",
        outtype="bf16",
        name="Robin",
        chat_template=changes.chat_template,
        add_bos=changes.add_bos,
        eos=changes.eos,
        eot=changes.eot,
    )
    folder = write_unknown_model(tmp_path / "unknown")
    convert(tmp_path / "known", folder / "ready.gguf", outtype="bf16", name="Robin")
    report = convert_by_script(folder, tmp_path / "out" / "a.gguf", script, outtype="bf16", overrides=changes)
    assert report.target.read_bytes() == (tmp_path / "ours.gguf").read_bytes()
    assert report.digests.target == digest_of(report.target)
    assert left_in(report.target.parent) == ["a.gguf"]
    with pytest.raises(RequestError, match="no token"):
        convert_by_script(folder, tmp_path / "out" / "b.gguf", script, overrides=Overrides(eos="<absent>"))
    assert left_in(report.target.parent) == ["a.gguf"]


def test_changed_keys_keep_their_place_and_new_ones_come_last(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    plain, changed = tmp_path / "plain.gguf", tmp_path / "changed.gguf"
    convert(tmp_path / "model", plain)
    keys = Keys()
    keys.text("tokenizer.chat_template", "{{ y }}")
    keys.whole("tokenizer.ggml.bos_token_id", 7)
    digest = rekey(plain, changed, keys, lambda _done, _total: None, lambda: False, replace=True)
    before, after = read_header(plain), read_header(changed)
    assert list(after.keys) == [*before.keys, "tokenizer.chat_template"]
    assert after.keys["tokenizer.ggml.bos_token_id"] == 7
    assert [tensor.name for tensor in after.tensors] == [tensor.name for tensor in before.tensors]
    assert changed.read_bytes()[after.data_offset :] == plain.read_bytes()[before.data_offset :]
    assert digest == digest_of(changed)
    assert check(changed) == ()


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("does", "title", "said"),
    [
        ("fails", f"{SCRIPT} failed", "BPE pre-tokenizer was not recognized"),
        ("lacks", f"{SCRIPT} failed", "does not go with LLaMA-Factory's packages"),
        ("wants", f"{SCRIPT} failed", "Copy the tokenizer.json"),
        ("dies", f"{SCRIPT} failed", "memory"),
        ("fills", "not enough space", "No space left"),
        ("cuts", "not what was asked for", "cut off"),
    ],
)
def test_a_script_that_fails_is_explained_and_leaves_the_older_file(
    tmp_path: Path, script: Script, does: str, title: str, said: str
) -> None:
    target = tmp_path / "out" / "a.gguf"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(AppError, match=title) as caught:
        convert_by_script(write_unknown_model(tmp_path / "unknown", does), target, script)
    assert said in str(caught.value)
    assert caught.value.hint
    assert "Traceback" not in str(caught.value)
    assert left_in(target.parent) == ["a.gguf"]
    assert target.read_bytes() == b"old"


def test_a_stop_ends_the_script_and_leaves_nothing(tmp_path: Path, script: Script) -> None:
    folder, stop = write_unknown_model(tmp_path / "unknown", "hangs"), threading.Event()
    with pytest.raises(Stopped):
        convert_by_script(
            folder,
            tmp_path / "out" / "a.gguf",
            script,
            progress=lambda done, total: stop.set() if done == total else None,
            stop_requested=stop.is_set,
        )
    assert left_in(tmp_path / "out") == []


def test_a_python_that_is_gone_is_an_error_and_not_a_surprise(tmp_path: Path, script: Script) -> None:
    script.python.unlink()
    with pytest.raises(AppError, match="Python is gone"):
        convert_by_script(write_unknown_model(tmp_path / "unknown"), tmp_path / "out" / "a.gguf", script)
    assert left_in(tmp_path / "out") == []
