"""The ``check`` job: has the merge taken? Tensors against the base, and one greedy answer with the adapter and without.

    python -P -m backend.export.check JOB_FOLDER

Params: ``base``, ``merged``, ``adapters`` (folders), ``python`` (LLaMA-Factory's), ``template``, and optionally
``thinking``, ``system``, ``device`` (cpu or auto), ``dtype``, ``prompt``, ``answers`` (false leaves them out).
Result: ``comparison`` (``Comparison.as_json``), ``prompt``, ``adapter_answer``, ``merged_answer``, ``answers_equal``,
``warnings`` (what is odd and no failure: messages as JSON).

The tensors decide. Answers are for the eye: a merge rounds each weight once more than the adapter beside its base
does, so two greedy answers may part although both are right.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from backend.export.unasked import reason
from backend.lf import command
from backend.lf.hub import local_model
from backend.train import failure
from data.errors import AppError, RequestError
from data.i18n import Message, _
from data.jobs.folder import JobFolder
from data.jobs.report import Reporter, run_work
from data.jsontext import parse_json

if TYPE_CHECKING:  # numpy
    from backend.export.compare import Comparison

KIND: Final = "check"
PROMPT: Final = "Who are you?"
_BRIDGE: Final = Path(__file__).parents[1] / "lf" / "bridge" / "answer.py"
_MAX_NEW_TOKENS: Final = 48
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Request:
    """The params of the job, checked."""

    base: str
    merged: Path
    adapters: tuple[Path, ...]
    python: Path
    template: str
    thinking: bool | None = None
    system: str = ""
    device: str = "cpu"
    dtype: str = "auto"
    prompt: str = PROMPT
    answers: bool = True

    @classmethod
    def read(cls, params: Mapping[str, object]) -> Request:
        """Read the job's params; raises RequestError for what is missing or has a wrong type."""
        adapters = params.get("adapters")
        asks = params.get("answers") is not False
        texts = {name: params.get(name) for name in ("base", "merged", *(("python", "template") if asks else ()))}
        wrong = next((name for name, value in texts.items() if not isinstance(value, str) or not value), None)
        if wrong is None and not (isinstance(adapters, list) and adapters):
            wrong = "adapters"
        if wrong is not None:
            raise RequestError(
                _("The check of the merge lacks {name}", name=wrong),
                _("It needs the base, the merged model and the adapters that were merged."),
                _("Start it with `paddock export`."),
            )
        thinking = params.get("thinking")
        return cls(
            base=str(texts["base"]),
            merged=Path(str(texts["merged"])),
            adapters=tuple(Path(str(adapter)) for adapter in cast("list[object]", adapters)),
            python=Path(str(params.get("python") or "")),
            template=str(params.get("template") or ""),
            thinking=thinking if isinstance(thinking, bool) else None,
            system=str(params.get("system") or ""),
            device=str(params.get("device") or "cpu"),
            dtype=str(params.get("dtype") or "auto"),
            prompt=str(params.get("prompt") or PROMPT),
            answers=asks,
        )


def main(reporter: Reporter, params: Mapping[str, object], log: Path) -> None:
    """Compare, ask, and report; raises AppError where the merge has not taken. ``log`` is where stderr goes."""
    request = Request.read(params)
    _compare(reporter, request)
    if request.answers:
        _ask(reporter, request, log)


def _compare(reporter: Reporter, request: Request) -> None:
    from backend.export.adapter import read_adapter  # noqa: PLC0415 - numpy takes a while; the stage is shown before
    from backend.export.compare import compare  # noqa: PLC0415

    reporter.stage("compare", _("Comparing the merged tensors with the base's"))
    base = local_model(request.base)
    if base is None:
        raise AppError(
            _("The base model {name} is not on this machine", name=request.base),
            _("It is neither a folder nor in the cache of a hub, so there is nothing to compare with."),
            _("Set HF_HOME or MODELSCOPE_CACHE to the cache that the merge used, and resume."),
        )
    adapters = [read_adapter(folder) for folder in request.adapters]
    try:
        found = compare(
            base, request.merged, adapters, progress=lambda done, total: reporter.progress(done, total, "tensors")
        )
    except OSError as error:
        raise AppError(
            _("The models cannot be compared"), str(error), _("Check the folders of the base and the merged model.")
        ) from error
    reporter.result(comparison=found.as_json(), warnings=[one.as_json() for one in _warnings(found)])
    if found.has_taken:
        return
    hint = _("Name the very base that the training used as model_name_or_path, and merge again.")
    if found.absent:
        raise AppError(
            _("The adapter does not belong to this model"),
            _("It acts on tensors that are not there: {names}", names=_some(found.absent)),
            hint,
        )
    if found.not_finite:
        raise AppError(
            _("The merged model holds NaN or Inf"),
            _some(found.not_finite),
            _("The training has probably diverged: merge an earlier checkpoint."),
        )
    if not found.changed and not found.unchanged:
        raise AppError(
            _("The adapter was never trained"),
            _("All its factors are still zero: {names}", names=_some(found.idle)),
            _("Take another checkpoint, or train for more steps."),
        )
    raise AppError(
        _("The merge has not taken"),
        _(
            "{count} of {total} tensors that the adapter acts on are as they were in the base: {names}",
            count=len(found.unchanged),
            total=len(found.unchanged) + len(found.changed),
            names=_some(found.unchanged),
        ),
        hint,
    )


def _warnings(found: Comparison) -> Iterator[Message]:
    if found.strayed:
        yield _(
            "{count} tensors differ from the base's although no adapter acts there: {names}. Was another base merged, "
            "or another adapter as well?",
            count=len(found.strayed),
            names=_some(found.strayed),
        )


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f", … (+{rest})" if rest > 0 else "")


def _ask(reporter: Reporter, request: Request, log: Path) -> None:
    shared: dict[str, object] = {"template": request.template, "infer_dtype": request.dtype, "trust_remote_code": False}
    if request.thinking is not None:
        shared["enable_thinking"] = request.thinking
    adapter = shared | {
        "model_name_or_path": request.base,
        "adapter_name_or_path": ",".join(map(str, request.adapters)),
        "finetuning_type": "lora",
    }
    models = [adapter, shared | {"model_name_or_path": str(request.merged)}]
    asked = {
        "models": models,
        "prompt": request.prompt,
        "system": request.system,
        "max_new_tokens": _MAX_NEW_TOKENS,
    }
    labels: tuple[Message, ...] = (_("Asking the base with its adapter"), _("Asking the merged model"))
    answers: list[str] = []
    for said in _answers(request, asked, log):
        match said:
            case {"loading": int()}:
                reporter.stage("ask", labels[min(len(answers), len(labels) - 1)])
            case {"answer": str(text)}:
                answers.append(text.strip())
            case _:
                pass
    reporter.result(
        prompt=request.prompt,
        adapter_answer=answers[0],
        merged_answer=answers[1],
        answers_equal=answers[0] == answers[1],
    )


def _answers(request: Request, asked: Mapping[str, object], log: Path) -> Iterator[Mapping[str, object]]:
    """Yield what the bridge says; what else it prints goes to our stderr, the job's ``log``.

    Raises AppError where it ends before it has answered for each model.
    """
    start = log.stat().st_size if log.exists() else 0
    missing = len(cast("list[object]", asked["models"]))
    environ = {**os.environ, **command.environment(request.python, output_dir=None)}
    if request.device == "cpu":
        environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        bridge = subprocess.Popen(
            [str(request.python), "-P", str(_BRIDGE)],
            cwd="/",
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    except OSError as error:
        raise AppError(
            _("LLaMA-Factory's Python is gone"), str(error), _("paddock doctor shows what is found now.")
        ) from error
    with bridge:
        assert bridge.stdin is not None  # noqa: S101 - asked for above
        assert bridge.stdout is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):  # it has ended already; why is in the log
            bridge.stdin.write(json.dumps(asked).encode())
            bridge.stdin.close()
        for line in bridge.stdout:
            value: object = parse_json(line)
            if isinstance(value, dict):
                missing -= "answer" in value
                yield cast("dict[str, object]", value)
    if missing:
        raise reason(failure.new_tail(log, start), bridge.returncode, request.template)


if __name__ == "__main__":
    folder = JobFolder(Path(sys.argv[1]))
    spec = folder.read_spec()
    sys.exit(run_work(lambda reporter: main(reporter, spec.params, folder.log)))
