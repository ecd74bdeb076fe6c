"""``paddock gpus``: the GPUs at this moment, or again and again."""

from __future__ import annotations

import time
from typing import Final

import click

from backend.telemetry.gpus import Gpu, GpuReader, GpuReading, known
from data.i18n import _
from data.jobs.spec import now, rfc3339
from data.size import size
from tui.commands.console import Console
from tui.commands.form import command, flag, option
from tui.commands.session import Session

_HOME_AND_CLEAR: Final = "\x1b[H\x1b[2J"


@command(
    "gpus",
    _("Show the GPUs, their load and who uses them.\n\nWith --watch and --json: one object a line."),
    flag("--watch", "-w", about=_("Show them again and again, until Ctrl-C.")),
    option(
        "--interval",
        type=click.FloatRange(min=0.2),
        default=2.0,
        show_default=True,
        metavar="SECONDS",
        about=_("Seconds between two readings."),
    ),
)
def gpus(session: Session, watch: bool, interval: float) -> int:
    """Print the GPUs once, or until Ctrl-C."""
    console = session.console
    reader = GpuReader()
    try:
        if not watch:
            reading = reader.read()
            console.emit(reading.as_json())
            _print(console, reading)
            return 0
        try:
            while True:
                _print_again(console, reader.read())
                time.sleep(interval)
        except KeyboardInterrupt:  # the ordinary way to leave
            console.leave_echo()
    finally:
        reader.close()
    return 0


def _print_again(console: Console, reading: GpuReading) -> None:
    if console.as_json:
        console.emit_line({"time": rfc3339(now()), **reading.as_json()})
        return
    if console.is_live:
        console.out.write(_HOME_AND_CLEAR)
    _print(console, reading)
    console.out.flush()


def _print(console: Console, reading: GpuReading) -> None:
    if not reading.gpus:
        console.say(_("No GPU: {why}. Training uses the CPU.", why=reading.reason))
        return
    console.say(_("Driver {driver}, CUDA up to {cuda}", driver=reading.driver_version, cuda=reading.cuda_version))
    for gpu in reading.gpus:
        console.say(_line(gpu))
        for process in gpu.processes:
            used = known(process.used_bytes)
            memory = "n/a" if used is None else size(used)
            console.say(f"     {process.pid:>8}  {process.user:<12} {memory:>8}  {process.name}")


def _line(gpu: Gpu) -> str:
    used, total = known(gpu.memory_used_bytes), known(gpu.memory_total_bytes)
    memory = "n/a" if used is None or total is None else str(_("{done} of {total}", done=size(used), total=size(total)))
    load, heat, power = gpu.utilization_percent, gpu.temperature_c, gpu.power_w
    return f"{gpu.index:>2}  {gpu.name}  {load:>3} %  {memory}  {heat:>3} °C  {power:.0f} W"
