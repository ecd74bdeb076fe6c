"""A failure is told by its cause and its remedy, found in real logs and in the exceptions of every layer below."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.train.failure import exceptions, explain

DATA = Path(__file__).parent.parent / "data"
VERSIONS = "llamafactory-0.9.5-transformers-5.6.0"


@pytest.mark.parametrize(
    ("name", "title", "detail", "hint"),
    [
        ("undefined-dataset", "not registered", "Undefined dataset nope", "Add nope to"),
        ("missing-column", "column of the dataset", "KeyError: 'input'", "every row a column input"),
        ("output-dir-used", "earlier model", "Output directory already exists", "overwrite_output_dir"),
        ("hub-unreachable", "cannot be reached", "connect", "HF_ENDPOINT"),
    ],
)
def test_recorded_failures(name: str, title: str, detail: str, hint: str) -> None:
    error = explain((DATA / f"{VERSIONS}-{name}.log").read_text(encoding="utf-8"), 1)
    assert error is not None
    assert title in error.title.english()
    assert detail in error.detail.english()
    assert hint in error.hint.english()


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "GPU's memory"),
        ("OSError: [Errno 28] No space left on device: '/x/checkpoint-5'", "disk is full"),
        ("RuntimeError: [enforce fail at inline_container.cc:603] . PytorchStreamWriter failed writing file", "disk"),
        ("huggingface_hub.errors.GatedRepoError: 401 Client Error.", "licence"),
        ("OSError: x/y is not a local folder and is not a valid model identifier listed on", "does not exist"),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", "cannot be reached"),
        ("OSError: libtorchaudio.so: cannot open shared object file: undefined symbol: torch_x", "versions of torch"),
        ("ValueError: Some keys are not used by the HfArgumentParser: ['lora_rnk']", "does not know"),
        ("ImportError: deepspeed is required. To fix: run `pip install deepspeed`.", "lacks a package"),
        ("ModuleNotFoundError: No module named 'jieba'", "lacks a package"),
        ("RuntimeError: Error(s) in loading state_dict: size mismatch for base.weight", "does not belong"),
        ("ValueError: Target modules {'q'} not found in the base model.", "lora_target"),
        ("ValueError: Template chatmml does not exist.", "template"),
        ("pyarrow.lib.ArrowInvalid: JSON parse error: Column(/x) changed from string to array", "file of the dataset"),
        ("torch.distributed.DistNetworkError: The server socket failed: Address already in use", "port"),
        ("ValueError: Your setup doesn't support bf16/gpu.", "bf16"),
        ("ValueError: A thing that nobody has seen.", "ended with an error"),
    ],
)
def test_known_exceptions(text: str, title: str) -> None:
    log = f'noise\nTraceback (most recent call last):\n  File "x.py", line 1, in y\n    z()\n{text}\n'
    error = explain(log, 1)
    assert error is not None
    assert title in error.title.english()
    assert error.hint


def test_the_ranks_exception_counts_not_torchruns() -> None:
    log = (
        "[rank1]: Traceback (most recent call last):\n[rank1]:   File x\n[rank1]: ValueError: the cause\n"
        "Traceback (most recent call last):\n"
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n"
        "subprocess.CalledProcessError: Command '['torchrun']' returned non-zero exit status 1.\n"
    )
    assert exceptions(log) == ["ValueError: the cause"]


def test_words_of_an_ordinary_line_are_no_cause() -> None:
    log = "{'instruction': 'what is CUDA out of memory?'}\n" * 20 + (
        "Traceback (most recent call last):\nKeyError: 'output'\n" + "bye\n"
    )
    error = explain(log, 1)
    assert error is not None
    assert "GPU" not in error.title.english()


def test_a_kill_without_a_word_is_told_as_such() -> None:
    error = explain("training as usual\n", 137)
    assert error is not None
    assert "killed" in error.title.english()


def test_nothing_is_made_up() -> None:
    assert explain("some lines\nwithout an exception\n", 1) is None


def test_a_long_message_is_cut() -> None:
    error = explain("Traceback (most recent call last):\nValueError: " + "x" * 100_000, 1)
    assert error is not None
    assert len(error.detail.english()) <= 600


def test_a_key_error_elsewhere_is_no_missing_column() -> None:
    log = (DATA / f"{VERSIONS}-missing-column.log").read_text(encoding="utf-8")
    error = explain(log.replace("data/converter.py", "train/sft/trainer.py"), 1)
    assert error is not None
    assert "column" not in error.title.english()
    assert error.detail.english() == "KeyError: 'input'"
