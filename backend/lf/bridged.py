"""Ask a bridge script: it runs in LLaMA-Factory's own Python and answers with one JSON value on stdout."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final, cast

from backend.lf.find import LlamaFactory
from data.errors import AppError
from data.i18n import Message, _
from data.jsontext import parse_json

_BRIDGE: Final = Path(__file__).with_name("bridge")
_TIMEOUT_S: Final = 300  # 11 to 24 s on an idle machine; a network file system or a loaded one takes longer


def ask(lf: LlamaFactory, script: str, what: Message, question: object = None) -> object:
    """Run ``bridge/SCRIPT`` with ``question`` as JSON on its stdin and return the answer; raises AppError.

    ``what`` is the title of the error where LLaMA-Factory starts, but does not answer.
    """
    try:
        answer = subprocess.run(
            [str(lf.python), str(_BRIDGE / script)],
            cwd="/",
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        value: object = parse_json(answer.stdout)
    except subprocess.CalledProcessError as error:
        lines = cast("bytes", error.stderr).decode("utf-8", "replace").strip().splitlines()
        raise AppError(
            _("LLaMA-Factory does not start"),
            lines[-1] if lines else str(error),
            _("paddock doctor checks the versions of its packages."),
        ) from error
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise AppError(what, f"{lf.python}: {error}", _("paddock doctor checks the installation.")) from error
    return value
