"""The ``convert`` job: a Hugging Face folder becomes a GGUF.

Params: ``source`` (folder), ``target`` (file), ``outtype`` (f32, f16, bf16, q8_0, auto), and optionally ``name``
(``general.name``), ``template`` (the chat template's Jinja text), ``add_bos``, ``eos``, ``eot``. Result: ``gguf``,
``outtype``, ``bytes``, ``tensors``, ``architecture``, ``pre_tokenizer``, ``pre_tokenizer_found_by``, ``seconds``.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from data.errors import RequestError
from data.i18n import _
from data.jobs.folder import JobFolder
from data.jobs.report import Reporter, run_work

_STOPPED: Final = 128 + signal.SIGTERM
_TEXTS: Final = ("name", "template", "eos", "eot")


class _StopFlag:
    """Becomes true with SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._set)

    def _set(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True

    def __call__(self) -> bool:
        return self.requested


def main(reporter: Reporter) -> None:
    """Convert what the job folder named in the arguments asks for; exit status 143 when stopped."""
    stop = _StopFlag()
    params = JobFolder(Path(sys.argv[1])).read_spec().params
    source, target = Path(_text(params, "source")), Path(_text(params, "target"))
    outtype = str(params.get("outtype") or "auto")
    name, template, eos, eot = (_optional(params, key) for key in _TEXTS)
    add_bos = params.get("add_bos")
    reporter.stage("convert", _("Convert to GGUF"))
    from backend.convert.converter import convert  # noqa: PLC0415 - numpy takes a while; the stage is shown before
    from backend.convert.stream import Stopped  # noqa: PLC0415

    began = time.monotonic()
    try:
        report = convert(
            source,
            target,
            outtype=outtype,
            name=name,
            chat_template=template,
            add_bos=add_bos if isinstance(add_bos, bool) else None,
            eos=eos,
            eot=eot,
            progress=lambda done, total: reporter.progress(done, total, "bytes"),
            stop_requested=stop,
        )
    except Stopped:
        sys.stderr.write("Stopped; nothing was left behind.\n")
        raise SystemExit(_STOPPED) from None
    reporter.artifact(target, "gguf")
    reporter.result(**report.as_json(), seconds=round(time.monotonic() - began, 3))


def _text(params: Mapping[str, object], key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise RequestError(
            _("The job lacks {key}", key=key),
            _("A convert job needs a source folder and a target file."),
            _("Start it with paddock convert."),
        )
    return value


def _optional(params: Mapping[str, object], key: str) -> str | None:
    value = params.get(key)
    return value if isinstance(value, str) and value else None


if __name__ == "__main__":
    sys.exit(run_work(main))
