"""The ``convert`` job: a Hugging Face folder becomes a GGUF.

Params: ``source`` (folder), ``target`` (file), ``outtype`` (f32, f16, bf16, q8_0, auto, or a type of llama-quantize),
and optionally ``imatrix`` (file of an importance matrix), ``name`` (``general.name``) and ``training`` (what the run
decided: its template decides the chat template, ``add_bos_token`` and the tokens for the end of an answer);
``converter`` (paddock, llama.cpp, ollama, or auto: another for what the first does not know); ``adapter`` (true if the
source is a LoRA adapter) and ``base`` (its base model's folder); ``replace`` (false: a file of the target's name that
the job has not made itself stays). Result: ``gguf``, ``outtype``, ``bytes``, ``blake3``,
``tensors``, ``architecture``, ``converter``, ``pre_tokenizer``, ``pre_tokenizer_found_by``, ``left_out`` (how many
weights belong to pictures), ``sidecar``, ``seconds``.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from backend.convert.names import AUTO, FOREIGN
from backend.convert.quants import BITS
from data.errors import RequestError
from data.i18n import _
from data.jobs.folder import JobFolder
from data.jobs.report import Reporter, run_work
from data.jobs.spec import now
from data.jobs.status import Fold
from data.paths import Paths
from data.settings import Settings, load_settings

if TYPE_CHECKING:
    from backend.convert.converter import ConvertReport
    from backend.convert.imported import Importer
    from backend.convert.llama_cpp import Script
    from backend.parity.training import GgufFacts, Training

_STOPPED: Final = 128 + signal.SIGTERM


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


@dataclass(frozen=True, slots=True)
class _Job:
    """What every step of a conversion needs."""

    params: Mapping[str, object]
    workspace: Path
    paths: Paths
    settings: Settings
    reporter: Reporter
    stop: _StopFlag
    training: Training | None = None
    """What a person or a record says of the training; None where nobody does"""
    facts: GgufFacts | None = None
    """What ``training`` changes of the GGUF"""
    replaces: bool = True
    """Whether a file that has the target's name gives way"""

    @property
    def source(self) -> Path:
        return Path(_text(self.params, "source"))

    @property
    def is_adapter(self) -> bool:
        return self.params.get("adapter") is True

    @property
    def name(self) -> str | None:
        return _text_or_none(self.params, "name")

    @property
    def converter(self) -> str:
        return _text_or_none(self.params, "converter") or AUTO

    @property
    def description(self) -> str | None:
        """The training, for those who get the GGUF alone; None where the job knows of none."""
        from backend.convert.sidecar import description_of  # noqa: PLC0415 - as in main

        if self.training is not None:
            return description_of(self.source, self.training.template)
        return description_of(self.source) if self.is_adapter else None

    def progress(self, done: int, total: int) -> None:
        self.reporter.progress(done, total, "bytes")


def main(reporter: Reporter) -> None:
    """Convert what the job folder named in the arguments asks for; exit status 143 when stopped."""
    stop = _StopFlag()
    folder = JobFolder(Path(sys.argv[1]))
    spec = folder.read_spec()
    params, paths = spec.params, Paths.default()
    outtype = str(params.get("outtype") or "auto")
    reporter.stage("convert", _("Convert to GGUF"))
    # numpy takes a while; the stage is shown before. What only some conversions need is imported by those alone: a
    # small model is converted in the time that it takes.
    from backend.convert.overwrite import refuse_foreign_sidecar, refuse_own_files  # noqa: PLC0415
    from backend.convert.room import room_of  # noqa: PLC0415
    from backend.convert.sidecar import write_sidecar  # noqa: PLC0415
    from backend.convert.stream import Stopped  # noqa: PLC0415
    from backend.convert.target import real_target, refuse_taken, require_space  # noqa: PLC0415

    began = time.monotonic()
    settings = load_settings(paths.settings).values
    job = _Job(params, Path(spec.workspace), paths, settings, reporter, stop)
    target = real_target(Path(_text(params, "target")))
    job = replace(job, replaces=_replaces(folder, params, target))
    refuse_own_files(target, (job.source,))
    if params.get("replace") is False:
        refuse_foreign_sidecar(target)
    if not job.replaces:
        refuse_taken(target)
    room = room_of(job.source, outtype, converter=job.converter, is_changed=bool(params.get("training")))
    if room is not None:
        require_space(target, room.peak_bytes)
    job = _trained(job)
    try:
        is_quantised = outtype in BITS or params.get("imatrix")
        report = _quantised(job, target, outtype) if is_quantised else _convert(job, target, outtype)
    except Stopped:
        sys.stderr.write("Stopped; nothing was left behind.\n")
        raise SystemExit(_STOPPED) from None
    if report.left_out:
        sys.stdout.write(f"The text only: {report.left_out} weights of the model's eyes were left out.\n")
    reporter.artifact(target, "gguf")
    told = job.training.as_params() if job.training else None
    sidecar = write_sidecar(report, changed=_changed(job), moment=now(), training=told)
    reporter.artifact(sidecar, "sidecar")
    reporter.result(**report.as_json(), sidecar=str(sidecar), seconds=round(time.monotonic() - began, 3))


def _trained(job: _Job) -> _Job:
    """Return ``job`` with its training and what that changes of the GGUF, where the params hold one."""
    if not job.params.get("training"):
        return job
    from backend.parity.training import Training, gguf_facts  # noqa: PLC0415 - as in main

    training = Training.read(job.params["training"])
    if training is None:
        return job
    return replace(job, training=training, facts=gguf_facts(training.resolve(job.settings, job.paths), job.source))


def _quantised(job: _Job, target: Path, outtype: str) -> ConvertReport:
    """Convert to 16 bits, and let llama-quantize make ``outtype`` of that."""
    from backend.convert.llama_cpp import quantizer_for  # noqa: PLC0415 - as in main
    from backend.convert.quantise import quantise  # noqa: PLC0415

    imatrix = _text_or_none(job.params, "imatrix")
    matrix = Path(imatrix) if imatrix else None
    program = quantizer_for(outtype, matrix, job.paths, job.settings)
    if program is None:
        return _convert(job, target, outtype)
    return quantise(
        lambda wide: _convert(job, wide, "auto"),
        target,
        outtype,
        program,
        imatrix=matrix,
        replace=job.replaces,
        begin=lambda: job.reporter.stage("quantise", _("Quantise with llama-quantize")),
        progress=lambda done, total: job.reporter.progress(done, total, "tensors"),
        stop_requested=job.stop,
    )


def _convert(job: _Job, target: Path, outtype: str) -> ConvertReport:
    """Let the converter that was asked for write ``target``; with none, ours, else another that can."""
    from backend.convert.refusal import UnknownHereError  # noqa: PLC0415 - as in main

    unknown: UnknownHereError | None = None
    if job.converter not in FOREIGN:
        try:
            return _by_ours(job, target, outtype)
        except UnknownHereError as error:  # before anything was written
            unknown = error
    from backend.convert.road import asked_for, instead, others  # noqa: PLC0415 - as in main

    find = others(job.paths, job.settings, job.workspace)
    if unknown is None:
        return _by_another(job, target, outtype, asked_for(job.converter, job.source, find, outtype))
    another = instead(unknown, job.source, job.converter, find, outtype)
    sys.stdout.write(f"{unknown.title.english()}: another converter takes over.\n")
    return _by_another(job, target, outtype, another)


def _by_another(job: _Job, target: Path, outtype: str, maker: Script | Importer) -> ConvertReport:
    from backend.convert.converter import Overrides  # noqa: PLC0415 - as in main
    from backend.convert.imported import Importer, convert_by_import  # noqa: PLC0415
    from backend.convert.script import convert_by_script  # noqa: PLC0415

    facts = job.facts
    overrides = Overrides(facts.chat_template, facts.add_bos, facts.eos, facts.eot, job.description) if facts else None
    if isinstance(maker, Importer):
        stage, run = _("Convert to GGUF with Ollama's import"), partial(convert_by_import, importer=maker)
    else:
        stage, run = _("Convert to GGUF with llama.cpp's script"), partial(convert_by_script, script=maker)
    job.reporter.stage("convert", stage)
    return run(
        job.source,
        target,
        outtype=outtype,
        name=job.name,
        overrides=overrides,
        replace=job.replaces,
        progress=job.progress,
        stop_requested=job.stop,
    )


def _by_ours(job: _Job, target: Path, outtype: str) -> ConvertReport:
    from backend.convert.converter import convert, convert_adapter  # noqa: PLC0415 - as in main

    if job.is_adapter:
        base = _text_or_none(job.params, "base")
        return convert_adapter(
            job.source,
            target,
            base=Path(base) if base else None,
            outtype=outtype,
            name=job.name,
            description=job.description,
            replace=job.replaces,
            progress=job.progress,
            stop_requested=job.stop,
        )
    facts = job.facts
    return convert(
        job.source,
        target,
        outtype=outtype,
        name=job.name,
        chat_template=facts.chat_template if facts else None,
        add_bos=facts.add_bos if facts else None,
        eos=facts.eos if facts else None,
        eot=facts.eot if facts else None,
        description=job.description,
        replace=job.replaces,
        progress=job.progress,
        stop_requested=job.stop,
    )


def _text_or_none(params: Mapping[str, object], key: str) -> str | None:
    value = params.get(key)
    return value if isinstance(value, str) and value else None


def _replaces(folder: JobFolder, params: Mapping[str, object], target: Path) -> bool:
    """Say whether the job may replace ``target``: it was told so, or made that file in an earlier attempt."""
    if params.get("replace") is not False:
        return True
    return str(target) in Fold().add_all(folder.every_event()).artifacts


def _changed(job: _Job) -> list[str]:
    """Return the keys of the GGUF that were given, where llama.cpp's script would read them out of the folder."""
    facts = job.facts
    given = {
        "general.name": job.name,
        "general.description": job.description,
        "tokenizer.chat_template": facts and facts.chat_template,
        "tokenizer.ggml.add_bos_token": facts and facts.add_bos,
        "tokenizer.ggml.eos_token_id": facts and facts.eos,
        "tokenizer.ggml.eot_token_id": facts and facts.eot,
    }
    return [key for key, value in given.items() if value is not None]


def _text(params: Mapping[str, object], key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise RequestError(
            _("The job lacks {key}", key=key),
            _("A convert job needs a source folder and a target file."),
            _("Start it with paddock convert."),
        )
    return value


if __name__ == "__main__":
    sys.exit(run_work(main))
