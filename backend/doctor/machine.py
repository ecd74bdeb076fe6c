"""Checks of the machine: GPUs and their driver, room on the disks, locks, and what may end jobs behind our back."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from backend.doctor.own import ask
from backend.doctor.report import Check, Level
from backend.telemetry.gpus import GpuReading
from data.disk import GB, existing_parent, free_bytes
from data.files import is_locked, try_lock
from data.i18n import _
from data.paths import Paths

_LOW_BYTES: Final = 10 * GB
_VERY_LOW_BYTES: Final = GB
_SHARED_MEMORY_BYTES: Final = GB
_NVIDIA_VENDOR: Final = "0x10de"
_DISPLAY_CLASS: Final = "0x03"
_NETWORK_FILE_SYSTEMS: Final = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "fuse.sshfs", "9p", "afs")
_BUS_TIMEOUT_S: Final = 0.3


def check_gpus(reading: GpuReading, root: Path = Path("/")) -> Check:
    """Say which GPUs there are, or why none; a GPU on the bus without a working driver is worth a warning."""
    if reading.gpus:
        names = ", ".join(f"{gpu.index}: {gpu.name}" for gpu in reading.gpus)
        return Check("gpu", Level.OK, _("{names} (driver {version})", names=names, version=reading.driver_version))
    if not _has_nvidia_device(root):
        return Check("gpu", Level.INFO, _("{reason}: training uses the CPU.", reason=reading.reason))
    if "mismatch" in reading.reason.english().lower():
        remedy = _("Restart the machine (the driver was updated while it ran).")
    else:
        remedy = _("Install the NVIDIA driver of your distribution; in a container, start it with --gpus all.")
    return Check(
        "gpu", Level.WARNING, _("An NVIDIA GPU is in this machine, but: {reason}", reason=reading.reason), remedy
    )


def _has_nvidia_device(root: Path) -> bool:
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            vendor = (device / "vendor").read_text(encoding="ascii").strip()
            kind = (device / "class").read_text(encoding="ascii").strip()
        except OSError:
            continue
        if vendor == _NVIDIA_VENDOR and kind.startswith(_DISPLAY_CLASS):
            return True
    return False


def check_disks(paths: Paths, workspace: Path | None) -> Iterator[Check]:
    """Yield one check a file system that Paddock writes to."""
    uses: dict[int, list[Path]] = {}
    for folder in (paths.data, paths.cache, paths.state, *([workspace] if workspace else [])):
        uses.setdefault(existing_parent(folder).stat().st_dev, []).append(folder)
    for folders in uses.values():
        free = free_bytes(folders[0])
        level = Level.ERROR if free < _VERY_LOW_BYTES else Level.WARNING if free < _LOW_BYTES else Level.OK
        message = _(
            "{free:.1f} GB free for {folders}", free=free / GB, folders=", ".join(str(folder) for folder in folders)
        )
        remedy = _("Free some space, or set PADDOCK_HOME to a folder on a larger disk.")
        yield Check("disk", level, message) if level is Level.OK else Check("disk", level, message, remedy)


def check_state_folder(paths: Paths) -> Iterator[Check]:
    """Yield whether the state folder can be written, whether locks work there, and whether it is on a network."""
    place = existing_parent(paths.jobs)
    try:
        with tempfile.TemporaryFile(dir=place) as stream:
            held = try_lock(stream.fileno())
            seen = is_locked(Path(f"/proc/self/fd/{stream.fileno()}"))
    except OSError as error:
        message = _("Paddock cannot write to {path}: {why}", path=str(place), why=error.strerror or str(error))
        yield Check("state", Level.ERROR, message, _("Set PADDOCK_HOME to a folder that is yours."))
        return
    file_system = file_system_of(place)
    if not (held and seen):
        message = _("File locks do not work on {path} ({kind}).", path=str(place), kind=file_system)
        remedy = _("Set PADDOCK_HOME to a local disk; jobs here are watched by process ids, not by locks.")
        yield Check("state", Level.WARNING, message, remedy)
    elif file_system.startswith(_NETWORK_FILE_SYSTEMS):
        message = _(
            "{path} is on a network file system ({kind}); jobs are shown to all machines that share it.",
            path=str(place),
            kind=file_system,
        )
        yield Check("state", Level.INFO, message)
    else:
        yield Check("state", Level.OK, _("Jobs are kept in {path}; locks work there.", path=str(paths.jobs)))


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the type of the file system that ``path`` is on (proc_pid_mountinfo(5)); empty where unknown."""
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, dash, after = line.partition(" - ")
        if dash and before.split()[2] == number:
            return after.split()[0]
    return ""


def check_survival(environ: Mapping[str, str], root: Path = Path("/")) -> Iterator[Check]:
    """Yield what may end a job although its supervisor is detached: logind, a container, Slurm, a small /dev/shm."""
    group = _read(root / "proc/self/cgroup")
    container = _container(environ, root, group)
    if container:
        message = _("Inside a container ({kind}): jobs end when it stops.", kind=container)
        yield Check("container", Level.INFO, message)
        yield from _shared_memory(root)
    if environ.get("SLURM_JOB_ID") or "slurm" in group:
        yield Check(
            "slurm",
            Level.WARNING,
            _("This shell belongs to a Slurm job: everything in it ends with its allocation."),
            _("Ask for enough time (sbatch --time), and keep checkpoints (save_steps): a job can be resumed."),
        )
    elif not container:
        yield from _logind(environ, root, group)


def _container(environ: Mapping[str, str], root: Path, group: str) -> str:
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return "Kubernetes"
    if (root / ".dockerenv").exists():
        return "Docker"
    if (root / "run/.containerenv").exists():
        return "Podman"
    if environ.get("APPTAINER_CONTAINER") or environ.get("SINGULARITY_CONTAINER"):
        return "Apptainer"
    for word in ("docker", "kubepods", "lxc", "libpod"):
        if word in group:
            return word
    return environ.get("container", "")


def _shared_memory(root: Path) -> Iterator[Check]:
    place = root / "dev/shm"
    try:
        size = shutil.disk_usage(place).total
    except OSError:
        return
    if size < _SHARED_MEMORY_BYTES:
        message = _("Shared memory has {size:.2f} GB: data loaders and NCCL may end with a bus error.", size=size / GB)
        yield Check(
            "shared-memory", Level.WARNING, message, _("Start the container with --shm-size=8g (or --ipc=host).")
        )


def _logind(environ: Mapping[str, str], root: Path, group: str) -> Iterator[Check]:
    """logind.conf(5): with KillUserProcesses, logging out ends all that was started in the session, detached or not."""
    if not (root / "run/systemd/system").is_dir() or "session-" not in group:
        return
    if not _kills_user_processes(environ, root):
        yield Check("logind", Level.OK, _("Logging out leaves jobs alone (KillUserProcesses is off)."))
        return
    user = pwd.getpwuid(os.getuid()).pw_name
    yield Check(
        "logind",
        Level.WARNING,
        _("Logging out would end all jobs: systemd-logind has KillUserProcesses on."),
        _("loginctl enable-linger {user}; then start Paddock with: systemd-run --user --scope paddock", user=user)
        if not (root / "var/lib/systemd/linger" / user).exists()
        else _("Start Paddock with: systemd-run --user --scope paddock"),
    )


def _kills_user_processes(environ: Mapping[str, str], root: Path) -> bool:
    """Ask logind; where it does not answer, read its configuration (the last setting wins), whose default is off."""
    busctl = shutil.which("busctl", path=environ.get("PATH", os.defpath))
    if busctl is not None and root == Path("/"):
        where = ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"]
        answer = ask([busctl, "get-property", *where, "KillUserProcesses"], environ, _BUS_TIMEOUT_S)
        if answer is not None:
            return answer.split()[-1:] == ["true"]
    folders = [root / name for name in ("usr/lib/systemd", "run/systemd", "etc/systemd")]
    files = [folder / "logind.conf" for folder in folders]
    files += sorted((p for f in folders for p in (f / "logind.conf.d").glob("*.conf")), key=lambda p: p.name)
    value = ""
    for path in files:
        for line in _read(path).splitlines():
            name, equals, text = line.partition("=")
            if equals and name.strip() == "KillUserProcesses":
                value = text.strip().lower()
    return value in ("yes", "true", "on", "1")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
