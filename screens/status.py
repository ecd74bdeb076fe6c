"""The status bar and the machine's meters, in words: pure functions of a snapshot."""

from __future__ import annotations

from data.i18n import _
from data.jobs.status import Status
from data.size import size
from data.text import inert
from tui.chatting import OllamaState
from tui.machine import Machine
from tui.services import Services, Snapshot
from tui.widgets.cells import Parts
from tui.widgets.meters import Gauge
from tui.wording import STATUS_GLYPHS

_DOT: Parts = (("   ", ""),)


def machine_words(machine: Machine) -> str:
    """Return the load in a few words: of the GPUs, or of the CPU where there is none."""
    loads = [gpu.load for gpu in machine.gpus if gpu.load is not None]
    if machine.gpus:
        average = f"{sum(loads) / len(loads):.0%}" if loads else "–"
        return str(_("{count} GPU {load}", count=len(machine.gpus), load=average))
    cpu = "" if machine.cpu is None else f" {machine.cpu:.0%}"
    return str(_("no GPU, using CPU")) + cpu


def ollama_parts(state: OllamaState) -> Parts:
    """Return whether Ollama answers."""
    if state.is_up:
        return (("✓ ", "done"), (f"Ollama {inert(state.version)}".rstrip(), "muted"))
    return (("◦ ", "muted"), (str(_("Ollama off")), "muted"))


def status_parts(snapshot: Snapshot, services: Services) -> tuple[Parts, Parts]:
    """Return the left and the right half of the status bar."""
    live = [job for job in snapshot.jobs if job.status.is_live and job.spec.kind != "serve"]
    waiting = sum(1 for job in live if job.status is Status.WAITING)
    running = len(live) - waiting
    left: Parts = (
        ("  ", ""),
        (f"{STATUS_GLYPHS[Status.RUNNING]} ", "running" if running else "faint"),
        (str(_("{count} running", count=running)), "text" if running else "muted"),
        *_DOT,
        (f"{STATUS_GLYPHS[Status.WAITING]} ", "muted"),
        (str(_("{count} waiting", count=waiting)), "text" if waiting else "muted"),
    )
    if snapshot.machine is not None:
        left += (*_DOT, (machine_words(snapshot.machine), "muted"))
    if snapshot.ollama is not None:
        left += (*_DOT, *ollama_parts(snapshot.ollama))
    if services.is_remote:
        left += (*_DOT, (str(_("slow line")), "muted"))
    moment = snapshot.moment.astimezone(services.timezone)
    return left, ((f"{moment:%H:%M:%S}", "muted"), ("  ", ""))


def _memory(used: int | None, total: int | None) -> tuple[str, float | None]:
    if used is None or not total:
        return "–", None
    return f"{size(used)} / {size(total)}", used / total


def machine_gauges(machine: Machine) -> list[Gauge]:
    """Return a meter for each GPU, then for the host."""
    gauges: list[Gauge] = []
    for gpu in machine.gpus:
        extra = [
            "" if gpu.temperature_c is None else f"{gpu.temperature_c:.0f} °C",
            "" if gpu.power_w is None else f"{gpu.power_w:.0f} W",
        ]
        gauges.append(
            Gauge(f"{gpu.number} {inert(gpu.name)}", " · ".join(word for word in extra if word), heading=True)
        )
        gauges.append(Gauge(str(_("load")), "–" if gpu.load is None else f"{gpu.load:.0%}", gpu.load))
        text, used = _memory(gpu.memory_used_bytes, gpu.memory_total_bytes)
        gauges.append(Gauge(str(_("memory")), text, used))
        gauges.append(Gauge(""))
    if not machine.gpus:
        gauges += [Gauge(str(_("no GPU, using CPU")), heading=True)]
    cores = "" if machine.cores is None else str(_("{count} cores", count=machine.cores))
    if machine.gpus:
        gauges.append(Gauge(str(_("host")), cores, heading=True))
    cpu = "–" if machine.cpu is None else f"{machine.cpu:.0%}"
    gauges.append(Gauge("CPU", f"{cpu} · {cores}" if cores and not machine.gpus else cpu, machine.cpu))
    text, used = _memory(machine.memory_used_bytes, machine.memory_total_bytes)
    gauges.append(Gauge(str(_("memory")), text, used))
    if machine.disk_free_bytes is not None and machine.disk_total_bytes:
        taken = 1 - machine.disk_free_bytes / machine.disk_total_bytes
        gauges.append(Gauge(str(_("disk")), str(_("{size} free", size=size(machine.disk_free_bytes))), taken))
    return gauges
