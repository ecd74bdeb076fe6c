"""``paddock train`` and ``paddock export``: LLaMA-Factory's own files and overrides, as a job."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

import click

from backend.export.checked import adapters_of, reason_against, with_followers
from backend.jobs.environment import child_environment
from backend.lf.arguments import load_arguments
from backend.lf.checks import Check
from backend.lf.find import LlamaFactory, find
from backend.lf.schema import Schema, refresh, schema_for
from backend.telemetry.gpus import known, read_gpus
from backend.train import preflight
from backend.train.gptq import lacks, sees_gpu
from backend.train.gpu_checks import gpu_checks
from backend.train.spec import dry_run, export_spec, normal_export, normal_train, train_spec
from backend.train.stopping import args_of
from data.errors import AppError, RequestError
from data.i18n import Message, _, verbatim
from data.jobs.spec import GpuRequest, JobSpec
from data.paths import Paths
from tui.commands.console import Console
from tui.commands.form import argument, check_option, command, flag, option, plain_option, wait_option
from tui.commands.session import Session
from tui.commands.start import run_jobs
from tui.services import Services

Verb = Literal["train", "export"]

_FREE_PART: Final = 0.9
"""A GPU with this part of its memory free counts as free for --gpus-free"""
_MARKS: Final = {"error": ("✗", "bad"), "warning": ("!", "warn"), "info": ("·", "dim")}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the words asked for; field names are those of the parameters."""

    config: Path
    overrides: tuple[str, ...]
    name: str | None
    after: tuple[str, ...]
    gpus: str | None
    gpus_free: int | None
    gpu_memory: float | None
    dry_run: bool
    wait: bool
    check: bool | None = None
    """Only of an export: None leaves it to what is merged"""


def _parameters(*, waits: bool) -> list[click.Parameter]:
    return [
        argument("config", path=True),
        argument("overrides", many=True, optional=True, label="[KEY=VALUE]…"),
        option("--name", metavar="NAME", about=_("Name of the job in lists.")),
        flag("--dry-run", about=_("Check everything and show what would run; start nothing.")),
        option("--after", multiple=True, metavar="JOB", about=_("Start when this job has succeeded; may be repeated.")),
        option("--gpus", metavar="0,1", about=_("Wait for these GPUs (in PCI order) and use them.")),
        option("--gpus-free", type=click.IntRange(min=1), metavar="N", about=_("Wait for N free GPUs and use them.")),
        option(
            "--gpu-memory",
            type=click.FloatRange(min=0, min_open=True),
            metavar="GB",
            about=_("Memory that must be free on each of these GPUs; for --gpus-free it is nine tenths by default."),
        ),
        wait_option(default=waits),
        plain_option(),
    ]


@command(
    "train",
    _(
        "Train with LLaMA-Factory.\n\nCONFIG is LLaMA-Factory's own YAML or JSON, KEY=VALUE overrides it as in "
        "`llamafactory-cli train`. Relative paths count from the current directory. It is a job: it goes on when the "
        "terminal is gone."
    ),
    *_parameters(waits=False),
)
def train(session: Session, **words: object) -> int:
    """Start a training."""
    return _run(session, "train", Wish(**words))  # type: ignore[arg-type] - click has checked the types


@command(
    "export",
    _(
        "Merge an adapter into its model, as `llamafactory-cli export` does, as a job. CONFIG and KEY=VALUE as "
        "there.\n\nThe merged tensors are then compared with the base's: the status is 1 where the merge has not taken."
    ),
    *_parameters(waits=True),
    check_option(),
)
def export(session: Session, **words: object) -> int:
    """Start an export."""
    return _run(session, "export", Wish(**words))  # type: ignore[arg-type] - click has checked the types


def _run(session: Session, verb: Verb, wish: Wish) -> int:
    console, services = session.console, session.services(adopt=True)
    spec, checks = _spec(console, services, verb, wish)
    specs = [spec]
    if verb == "export":
        unchecked = _unchecked(spec, wish)
        checks += unchecked or ()
        specs = with_followers(spec, check_merge=unchecked is None)
    if wish.dry_run:
        return _show_plan(console, services, specs, checks)
    _refuse([check for check in checks if check.level == "error"])
    for check in checks:
        _tell(console, check)
    return run_jobs(console, services, specs, wait=wish.wait)


def _unchecked(spec: JobSpec, wish: Wish) -> list[Check] | None:
    """Return None where the merge is to be checked; else the finding where that is worth a word."""
    if wish.check is False:
        return []
    args, workspace = args_of(spec), Path(spec.workspace)
    why = reason_against(args, workspace, pending=bool(wish.after))
    if why is None:
        return None
    if wish.check is None and not adapters_of(args, workspace):
        return []
    message = _("Whether the merge has taken cannot be checked: {why}", why=why)
    remedy = _("--no-check merges without looking.")
    return [Check("merge.unchecked", "error" if wish.check else "warning", message, remedy)]


def _refuse(errors: Sequence[Check]) -> None:
    """Raise RequestError with every finding that would make the job fail."""
    if not errors:
        return
    if len(errors) == 1:
        raise RequestError(errors[0].message, "", errors[0].remedy)
    lines = Message(
        "\n".join(f"{{m{i}}}\n    {{r{i}}}" for i in range(len(errors))),
        {
            name: value
            for i, check in enumerate(errors)
            for name, value in ((f"m{i}", check.message), (f"r{i}", check.remedy))
        },
    )
    raise RequestError(
        _("{count} things keep this job from starting", count=len(errors)),
        lines,
        _("`--dry-run` shows everything that was looked at."),
    )


def _spec(console: Console, services: Services, verb: Verb, wish: Wish) -> tuple[JobSpec, list[Check]]:
    """Return the job and every finding about it; raises RequestError for what cannot even be read."""
    workspace = services.workspace
    args = load_arguments(wish.config, wish.overrides)
    lf = find(services.settings, services.paths, workspace, services.environ)
    schema, asked = _schema(console, services.paths, lf)
    after = tuple(services.job(job).id for job in wish.after)
    gpus = _gpu_request(wish)
    if verb == "train":
        values = normal_train(args, workspace=workspace, lf=lf, schema=schema)
        checks = preflight.train_checks(values, workspace=workspace, lf=lf, schema=schema, gpus=gpus, after=after)
    else:
        values = normal_export(args, workspace=workspace)
        checks = preflight.export_checks(
            values, workspace=workspace, lf=lf, schema=schema, after=after, environ=services.environ
        )
    make = train_spec if verb == "train" else export_spec
    spec = make(
        values,
        workspace=workspace,
        lf=lf,
        schema=schema,
        name=wish.name,
        after=after,
        gpus=gpus,
        check=False,  # all findings are shown here, not only the first
    )
    machine = gpu_checks(gpus, read_gpus(processes=False)) if gpus else []
    if verb == "export" and values.get("export_quantization_bit"):
        machine += lacks(lf, has_gpu=sees_gpu())
    return spec, [*machine, *checks, *asked]


def _schema(console: Console, paths: Paths, lf: LlamaFactory | None) -> tuple[Schema, list[Check]]:
    """Return the arguments of the installed LLaMA-Factory; versions that are not known yet are asked, once."""
    schema = schema_for(lf, paths)
    if lf is None or schema.exact:
        return schema, []
    console.tell(
        _("LLaMA-Factory {version} is asked once for its arguments, which takes 10 to 30 s …", version=lf.version)
    )
    try:
        return refresh(lf, paths), []
    except (AppError, OSError) as error:  # its own check of the arguments is still to come
        why = error.detail or error.title if isinstance(error, AppError) else verbatim(str(error))
        message = _("The arguments of LLaMA-Factory {version} are not known: {why}", version=lf.version, why=why)
        remedy = _(
            "They were compared with those of {version}. paddock doctor checks the installation.",
            version=schema.llamafactory,
        )
        return schema, [Check("arguments.inexact", "warning", message, remedy)]


def _gpu_request(wish: Wish) -> GpuRequest | None:
    memory = int((wish.gpu_memory or 0) * 1e9)
    if wish.gpus is not None and wish.gpus_free is not None:
        raise RequestError(_("--gpus and --gpus-free exclude each other"), "", _("Name the GPUs, or say how many."))
    if wish.gpus is not None:
        return GpuRequest(ids=_indices(wish.gpus), free_bytes=memory)
    if wish.gpus_free is not None:
        return GpuRequest(number=wish.gpus_free, free_bytes=memory or _usually_free())
    if memory:
        raise RequestError(_("--gpu-memory needs --gpus or --gpus-free"), "", _("Say on how many GPUs it is needed."))
    return None


def _indices(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words) or len(set(words)) != len(words):
        raise RequestError(
            _("{text} are no GPUs", text=repr(text)),
            _("Indices in PCI order are needed, each once, with commas between: 0,1."),
            _("`paddock gpus` lists them."),
        )
    return tuple(int(word) for word in words)


def _usually_free() -> int:
    totals = [total for gpu in read_gpus(processes=False).gpus if (total := known(gpu.memory_total_bytes))]
    return int(min(totals, default=0) * _FREE_PART)


def _show_plan(console: Console, services: Services, specs: Sequence[JobSpec], checks: Sequence[Check]) -> int:
    """Print what would run; the status is 2 when it would be refused."""
    spec, *behind = specs
    plan = dry_run(spec, checks, services.paths.jobs, services.environ)
    if not spec.params["python"]:  # no LLaMA-Factory, so no command either: the checks say so
        plan |= {"argv": [], "env": {}}
    seen = child_environment(services.environ, services.settings.environment_keep, spec.needs_env)
    console.emit(
        {
            **plan,
            "env_dropped": list(seen.dropped),
            "needs_env": sorted({name for one in specs for name in one.needs_env}),
            "then": [{"kind": one.kind, "params": dict(one.params)} for one in behind],
        }
    )
    for check in checks:
        _tell(console, check)
    argv, env = cast("list[str]", plan["argv"]), cast("dict[str, str]", plan["env"])
    if argv:
        console.say(_("Command:"))
        console.say("  " + shlex.join(argv))
        console.say(_("Set in its environment:"))
    for name, value in env.items():
        console.say(f"  {name}={value}")
    if seen.dropped:
        console.say(
            _("Not passed on (the setting environment_keep keeps more): {names}", names=", ".join(seen.dropped))
        )
    console.say(_("Arguments:"))
    console.say("  " + str(plan["yaml"]).rstrip().replace("\n", "\n  "))
    if behind:
        console.say(_("Then: {steps}", steps=", ".join(one.name for one in behind)))
    return 0 if plan["ok"] else RequestError.exit_status


def _tell(console: Console, check: Check) -> None:
    mark, style = _MARKS[check.level]
    console.tell(f"{console.paint(mark, style)} {check.message}")
    if check.remedy:
        console.tell(f"    {check.remedy}")
