"""The demo's datasets: who the assistant is, and short general questions, in English and Chinese.

In LLaMA-Factory's form. Every row was written for Paddock and comes under Paddock's own licence, Apache-2.0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
"""The ``dataset_dir`` to give to LLaMA-Factory: absolute, so that no working directory can break it."""
IDENTITY: Final = "paddock_identity"
GENERAL: Final = "paddock_general"
