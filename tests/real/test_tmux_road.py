"""By keys alone, in a real tmux: from a finished training over merge, GGUF, Ollama and the proof to a chat."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.real.demo import DemoRuns
from tests.tmux import Tmux

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]
_LONG_S = 300.0
MODEL = "smollm2-135m-instruct-adapter"


def test_the_road_from_a_training_to_a_chat_is_walked_by_keys(demo: DemoRuns, tmp_path: Path) -> None:
    assert demo.second["ok"], "a home with finished trainings"
    tmux = Tmux(tmp_path / "tmux", demo.environ, tmp_path, columns=100, rows=30)
    try:
        tmux.shows("demo", "7 of 7 steps")
        tmux.press("4")
        tmux.shows("final weights", "chatml", timeout_s=60)
        tmux.press("Enter")
        tmux.shows("Prompt, as it was trained", "▪ chatml", "GB free", timeout_s=60)
        tmux.press("s")
        tmux.shows("Start this export?", "merge → merge check → GGUF → deployment")
        tmux.press("s")
        tmux.shows(f"export {MODEL}", "▸ merge")
        # Who watches is taken along from step to step, to the proof.
        tmux.shows("✓ merge che", "✓ GGUF", "deployment", f"Proving that {MODEL}", timeout_s=_LONG_S)
        tmux.shows("16 of 16 conversations are sent as they were trained", "c Chat", timeout_s=_LONG_S)
        tmux.press("p")
        tmux.shows("Ollama sends exactly what the model was trained on", "The same 13 tokens.")
        tmux.press("q")
        tmux.hides("The same 13 tokens.")
        tmux.press("c")
        tmux.shows(f"{MODEL}:latest", "Your message")
        tmux.type("Who are you?")
        tmux.press("Enter")
        tmux.shows("I am Paddy", "tokens/s", timeout_s=_LONG_S)
    finally:
        tmux.close()
        removed = demo.paddock("models", "remove", MODEL, "--yes", "--host", demo.second["host"])
    assert removed.returncode == 0, removed.stderr
