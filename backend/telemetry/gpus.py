"""GPUs as snapshots: plain values read from NVML at one moment, never live handles.

What a GPU or its driver does not tell is ``NotAvailable``, a value that prints itself, so that formatting never
branches. Needs neither CUDA nor a GPU to be imported: NVIDIA's binding costs 18 MB and is loaded only where the
driver's library is.
"""

from __future__ import annotations

import ctypes
import pwd
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from data.i18n import Message, _

if TYPE_CHECKING:
    from types import ModuleType

LIBRARY: Final = "libnvidia-ml.so.1"
_SPEC: Final = re.compile(r"(?P<place>.?[<>^=])?[+\- ]?[#0]*(?P<width>\d+)?")
_Value = TypeVar("_Value")


class NotAvailable:
    """What is not known; formats as "n/a" in the width that a number would have had, and is JSON's null."""

    __slots__ = ()

    def __str__(self) -> str:
        return "n/a"

    def __repr__(self) -> str:
        return "NA"

    def __format__(self, spec: str) -> str:
        match = _SPEC.match(spec)
        place = (match["place"] if match else None) or ">"
        width = (match["width"] if match else None) or ""
        return format("n/a", f"{place.replace('=', '>')}{width}")

    def __float__(self) -> float:
        return float("nan")

    def __bool__(self) -> bool:
        return False


NA: Final = NotAvailable()


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory of a GPU, whoever owns it."""

    pid: int
    user: str | NotAvailable
    used_bytes: int | NotAvailable
    name: str | NotAvailable


@dataclass(frozen=True, slots=True)
class MigInstance:
    """A slice of a GPU (Multi-Instance GPU); CUDA_VISIBLE_DEVICES names it by ``uuid``."""

    index: int
    uuid: str
    name: str
    memory_total_bytes: int | NotAvailable
    memory_used_bytes: int | NotAvailable


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU at one moment; ``index`` counts in PCI bus order, as CUDA does with CUDA_DEVICE_ORDER=PCI_BUS_ID."""

    index: int
    uuid: str
    name: str
    memory_total_bytes: int | NotAvailable
    memory_used_bytes: int | NotAvailable
    utilization_percent: int | NotAvailable
    temperature_c: int | NotAvailable
    power_w: float | NotAvailable
    power_limit_w: float | NotAvailable
    processes: tuple[GpuProcess, ...] = ()
    mig_instances: tuple[MigInstance, ...] = ()

    @property
    def memory_free_bytes(self) -> int | NotAvailable:
        """What a new process could have."""
        if isinstance(self.memory_total_bytes, int) and isinstance(self.memory_used_bytes, int):
            return self.memory_total_bytes - self.memory_used_bytes
        return NA

    def as_json(self) -> dict[str, object]:
        """Return the object of ``paddock gpus --json``."""
        return {
            "index": self.index,
            "uuid": self.uuid,
            "name": self.name,
            "memory_total_bytes": known(self.memory_total_bytes),
            "memory_used_bytes": known(self.memory_used_bytes),
            "utilization_percent": known(self.utilization_percent),
            "temperature_c": known(self.temperature_c),
            "power_w": known(self.power_w),
            "power_limit_w": known(self.power_limit_w),
            "processes": [
                {"pid": p.pid, "user": known(p.user), "used_bytes": known(p.used_bytes), "name": known(p.name)}
                for p in self.processes
            ],
            "mig_instances": [
                {
                    "index": m.index,
                    "uuid": m.uuid,
                    "name": m.name,
                    "memory_total_bytes": known(m.memory_total_bytes),
                    "memory_used_bytes": known(m.memory_used_bytes),
                }
                for m in self.mig_instances
            ],
        }


@dataclass(frozen=True, slots=True)
class GpuReading:
    """All GPUs at one moment; ``reason`` says why there are none, and is empty where there are some."""

    gpus: tuple[Gpu, ...]
    driver_version: str | NotAvailable
    cuda_version: str | NotAvailable
    """The newest CUDA that the driver can run, e.g. "13.0" """
    reason: Message

    def as_json(self) -> dict[str, object]:
        """Return ``{gpus, driver_version, cuda_version, reason}``."""
        return {
            "gpus": [gpu.as_json() for gpu in self.gpus],
            "driver_version": known(self.driver_version),
            "cuda_version": known(self.cuda_version),
            "reason": self.reason.english() or None,
        }


def known(value: _Value | NotAvailable) -> _Value | None:
    """Return ``value``, or None where it is not available: the form of JSON."""
    return None if isinstance(value, NotAvailable) else value


class GpuReader:
    """Reads GPUs again and again over one connection to the driver, which is made at the first reading.

    A driver that is missing or broken gives readings without GPUs and with the reason, not errors.
    """

    def __init__(self) -> None:
        self._nvml: ModuleType | None = None
        self._reason = Message("")
        self._tried = False

    def read(self, *, processes: bool = True) -> GpuReading:
        """Return what the driver says now; milliseconds a GPU. ``processes`` asks who is on each as well."""
        nvml = self._connect()
        if nvml is None:
            return GpuReading((), NA, NA, self._reason)
        count = _ask(nvml, nvml.nvmlDeviceGetCount)
        gpus = [_read_gpu(nvml, index, processes=processes) for index in range(count if isinstance(count, int) else 0)]
        found = tuple(gpu for gpu in gpus if gpu is not None)
        cuda = _ask(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2)
        return GpuReading(
            found,
            _text(_ask(nvml, nvml.nvmlSystemGetDriverVersion)),
            f"{cuda // 1000}.{cuda % 1000 // 10}" if isinstance(cuda, int) else NA,
            Message("") if found else _("The NVIDIA driver is there, but it shows no GPU (container without GPUs?)"),
        )

    def close(self) -> None:
        """Give the connection to the driver back."""
        if self._nvml is not None:
            _ask(self._nvml, self._nvml.nvmlShutdown)
        self._nvml, self._tried = None, False

    def _connect(self) -> ModuleType | None:
        """Return the binding, connected; None, with the reason kept, where there is no driver (asked only once)."""
        if self._tried:
            return self._nvml
        self._tried = True
        try:
            ctypes.CDLL(LIBRARY)
        except OSError:
            self._reason = _("No NVIDIA driver on this machine ({library} was not found)", library=LIBRARY)
            return None
        import pynvml  # noqa: PLC0415 - 18 MB, and of use only where the driver is

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            self._reason = _("The NVIDIA driver does not answer: {why}", why=str(error))
            return None
        self._nvml = pynvml
        return pynvml


def read_gpus(*, processes: bool = True) -> GpuReading:
    """Read all GPUs once; use a ``GpuReader`` to do it again and again."""
    reader = GpuReader()
    try:
        return reader.read(processes=processes)
    finally:
        reader.close()


def _ask(nvml: ModuleType, call: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - the edge of an untyped binding
    """Return what NVML answers, or NA: not supported on this GPU, no permission, a lost GPU, an older driver."""
    try:
        return call(*args)
    except (nvml.NVMLError, nvml.NVMLLibraryMismatchError, UnicodeDecodeError):
        return NA


def _read_gpu(nvml: ModuleType, index: int, *, processes: bool) -> Gpu | None:
    handle = _ask(nvml, nvml.nvmlDeviceGetHandleByIndex, index)
    if isinstance(handle, NotAvailable):  # no permission for this one, or it fell off the bus
        return None
    memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    load = _ask(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    return Gpu(
        index=index,
        uuid=str(_ask(nvml, nvml.nvmlDeviceGetUUID, handle)),
        name=str(_ask(nvml, nvml.nvmlDeviceGetName, handle)),
        memory_total_bytes=NA if isinstance(memory, NotAvailable) else int(memory.total),
        memory_used_bytes=NA if isinstance(memory, NotAvailable) else int(memory.used),
        utilization_percent=NA if isinstance(load, NotAvailable) else int(load.gpu),
        temperature_c=_ask(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
        power_w=_watts(_ask(nvml, nvml.nvmlDeviceGetPowerUsage, handle)),
        power_limit_w=_watts(_ask(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
        processes=_read_processes(nvml, handle) if processes else (),
        mig_instances=_read_mig(nvml, handle),
    )


def _read_mig(nvml: ModuleType, handle: object) -> tuple[MigInstance, ...]:
    mode = _ask(nvml, nvml.nvmlDeviceGetMigMode, handle)
    if isinstance(mode, NotAvailable) or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return ()
    count = _ask(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle)
    found: list[MigInstance] = []
    for index in range(count if isinstance(count, int) else 0):
        instance = _ask(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
        if isinstance(instance, NotAvailable):  # the places of a GPU need not all be filled
            continue
        memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, instance)
        found.append(
            MigInstance(
                index=index,
                uuid=str(_ask(nvml, nvml.nvmlDeviceGetUUID, instance)),
                name=str(_ask(nvml, nvml.nvmlDeviceGetName, instance)),
                memory_total_bytes=NA if isinstance(memory, NotAvailable) else int(memory.total),
                memory_used_bytes=NA if isinstance(memory, NotAvailable) else int(memory.used),
            )
        )
    return tuple(found)


def _read_processes(nvml: ModuleType, handle: object) -> tuple[GpuProcess, ...]:
    """Return the processes on a GPU, the largest first; one that computes and draws is listed once."""
    used: dict[int, int | NotAvailable] = {}
    for kind in ("Compute", "Graphics"):
        answer = _ask(nvml, getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses_v3"), handle)
        if isinstance(answer, NotAvailable):  # drivers before 510 have the second form only
            answer = _ask(nvml, getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses_v2"), handle)
        for process in () if isinstance(answer, NotAvailable) else answer:
            size = process.usedGpuMemory
            used.setdefault(process.pid, NA if size is None else int(size))
    found = [GpuProcess(pid, user_of(pid), size, name_of(pid)) for pid, size in used.items()]
    return tuple(sorted(found, key=lambda p: (-(known(p.used_bytes) or 0), p.pid)))


def user_of(pid: int) -> str | NotAvailable:
    """Return the login name of a process's owner, its number where it has none; NA where the process is not seen."""
    try:
        uid = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return NA
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def name_of(pid: int) -> str | NotAvailable:
    """Return the program's name with the script or module that it runs: "python train.py"."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return NA
    texts = [word.decode(errors="replace") for word in words if word]
    if not texts:
        return NA
    return " ".join([Path(texts[0]).name, *_subject(texts[1:])])


def _subject(words: Sequence[str]) -> list[str]:
    """Return the first word that is not an option (a script), by its name, or what follows -m (a module)."""
    for position, word in enumerate(words):
        if word == "-m":
            return list(words[position + 1 : position + 2])
        if not word.startswith("-"):
            return [Path(word).name]
    return []


def _watts(milliwatts: int | NotAvailable) -> float | NotAvailable:
    return milliwatts if isinstance(milliwatts, NotAvailable) else milliwatts / 1000


def _text(value: object) -> str | NotAvailable:
    return value if isinstance(value, NotAvailable) else str(value)
