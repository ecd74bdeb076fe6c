"""What the doctor says of machines that are laid out in folders."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import data
from backend.doctor import bytecode
from backend.doctor.lf import check_versions
from backend.doctor.machine import check_disks, check_gpus, check_state_folder, check_survival, file_system_of
from backend.doctor.ollama import check_acceleration
from backend.doctor.own import check_own
from backend.doctor.report import Check, DoctorReport, Level
from backend.doctor.run import run_checks
from backend.lf.find import look
from backend.telemetry.gpus import NA, Gpu, GpuReading
from data.i18n import _
from data.paths import Paths
from data.settings import Settings
from tests.support import program

FITTING = {
    "llamafactory": "0.9.5",
    "torch": "2.11.0",
    "torchaudio": "2.11.0",
    "torchvision": "0.26.0",
    "transformers": "5.6.0",
    "peft": "0.18.1",
}
REQUIRES = "Requires-Dist: transformers!=4.52.0,<=5.6.0,>=4.55.0\nRequires-Dist: peft<=0.18.1,>=0.18.0\n"
NO_GPU = GpuReading((), NA, NA, _("No NVIDIA driver on this machine"))


def gpu_with(cuda: str) -> GpuReading:
    gpu = Gpu(0, "GPU-0a", "NVIDIA L4", 24 << 30, 0, 0, 40, 20.0, 72.0)
    return GpuReading((gpu,), "550.90", cuda, _(""))


def environment(root: Path, versions: Mapping[str, str], cuda: str | None = "13.0") -> Path:
    """Lay out a virtual environment with dist-info folders and return its Python."""
    site = root / "lib" / "python3.11" / "site-packages"
    for name, version in versions.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\n{REQUIRES if name == 'llamafactory' else ''}\n")
    (site / "torch").mkdir()
    (site / "torch" / "version.py").write_text(f"cuda: Optional[str] = {cuda!r}\n")
    (root / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    (root / "bin").mkdir()
    (root / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (root / "bin" / "python").chmod(0o755)
    return root / "bin" / "python"


def findings(
    root: Path, versions: Mapping[str, str], gpus: GpuReading = NO_GPU, cuda: str | None = "13.0"
) -> list[Check]:
    found = look(environment(root, versions, cuda), "managed")
    assert found is not None
    return list(check_versions(found, gpus))


def bad(checks: list[Check]) -> list[Check]:
    return [check for check in checks if not check.ok]


def bare(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return an environment in which nothing is found."""
    return {"PATH": str(tmp_path / "empty"), "LANG": "C.UTF-8", "OLLAMA_HOST": "127.0.0.1:9", **more}


def test_the_report_has_the_form_that_others_rely_on(tmp_path: Path) -> None:
    report = run_checks(Paths.under(tmp_path / "home"), Settings(), None, bare(tmp_path))
    value = json.loads(json.dumps(report.as_json()))
    assert list(value) == ["ok", "checks", "llamafactory", "ollama"]
    assert all(list(check) == ["id", "ok", "level", "message", "remedy"] for check in value["checks"])
    assert all(check["remedy"] for check in value["checks"] if not check["ok"])
    assert value["ok"] is all(check["level"] != "error" for check in value["checks"])
    assert not (tmp_path / "home").exists()


def test_a_machine_without_anything_gets_the_two_commands_that_mend_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", FRESH, str(tmp_path / "home")],
        env=bare(tmp_path),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    value = json.loads(done.stdout)
    remedies = {check["id"]: check["remedy"] for check in value["report"]["checks"] if check["level"] == "error"}
    assert remedies["ollama"] == "paddock setup ollama"
    assert remedies["llamafactory"] == "paddock setup llamafactory"
    assert value["report"]["ollama"] is None
    assert value["heavy"] == []
    assert value["seconds"] < 1


FRESH = """
import json, sys, time
from pathlib import Path
from backend.doctor.run import run_checks
from data.paths import Paths
from data.settings import Settings
start = time.perf_counter()
report = run_checks(Paths.under(Path(sys.argv[1])), Settings())
seconds = time.perf_counter() - start
heavy = {"torch", "transformers", "llamafactory", "textual", "rich", "httpx", "numpy", "pydantic", "gguf"}
print(json.dumps({"report": report.as_json(), "seconds": seconds, "heavy": sorted(heavy & set(sys.modules))}))
"""


def test_versions_that_fit_are_said_to_fit(tmp_path: Path) -> None:
    assert bad(findings(tmp_path, FITTING)) == []


def test_a_torchaudio_of_another_torch_is_an_error_with_the_command_that_mends_it(tmp_path: Path) -> None:
    first = bad(findings(tmp_path, {**FITTING, "torch": "2.15.0", "torchvision": "0.30.0"}))
    assert [(check.id, check.level) for check in first] == [("torch-versions", Level.ERROR)]
    assert "torchaudio 2.11.0 does not fit torch 2.15.0" in str(first[0].message)
    assert f"{tmp_path}/bin/python -m pip install 'torchaudio==2.15.*'" in str(first[0].remedy)


def test_a_transformers_that_llamafactory_refuses_is_an_error(tmp_path: Path) -> None:
    (found,) = bad(findings(tmp_path, {**FITTING, "transformers": "5.9.0"}))
    assert (found.id, found.level) == ("llamafactory-versions", Level.ERROR)
    assert "'transformers!=4.52.0,<=5.6.0,>=4.55.0'" in str(found.remedy)


def test_a_torchao_that_breaks_every_lora_is_an_error_with_the_command_that_mends_it(tmp_path: Path) -> None:
    assert not bad(findings(tmp_path / "older", {**FITTING, "torchao": "0.17.0"}))
    (found,) = bad(findings(tmp_path / "newest", {**FITTING, "torchao": "0.18.0"}))
    assert (found.id, found.level) == ("torchao", Level.ERROR)
    assert f"{tmp_path}/newest/bin/python -m pip install 'torchao<0.18'" in str(found.remedy)


def test_an_environment_without_torch_is_an_error(tmp_path: Path) -> None:
    (found,) = bad(findings(tmp_path, {"llamafactory": "0.9.5"}))
    assert "torch==2.11.0" in str(found.remedy)


@pytest.mark.parametrize(
    ("built_for", "driver", "level"),
    [
        ("13.0", "13.0", Level.OK),
        ("12.8", "13.0", Level.OK),
        ("13.0", "12.4", Level.ERROR),
        (None, "13.0", Level.WARNING),
    ],
)
def test_a_torch_is_compared_with_the_driver(tmp_path: Path, built_for: str | None, driver: str, level: Level) -> None:
    checks = findings(tmp_path, FITTING, gpu_with(driver), built_for)
    assert {check.level for check in checks if check.id == "torch-cuda"} == {level}


def test_no_gpu_is_no_fault_but_one_without_its_driver_is(tmp_path: Path) -> None:
    assert check_gpus(NO_GPU, tmp_path).level is Level.INFO
    device = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    assert check_gpus(NO_GPU, tmp_path).level is Level.WARNING
    mismatch = GpuReading((), NA, NA, _("The driver does not answer: version mismatch"))
    assert "Restart" in str(check_gpus(mismatch, tmp_path).remedy)
    assert check_gpus(gpu_with("13.0"), tmp_path).level is Level.OK


def logind(root: Path, text: str) -> Path:
    for folder in ("run/systemd/system", "proc/self", "etc/systemd/logind.conf.d", "dev/shm"):
        (root / folder).mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/user.slice/user-1000.slice/session-3.scope\n")
    (root / "etc/systemd/logind.conf").write_text("[Login]\n#KillUserProcesses=yes\nKillUserProcesses=no\n")
    (root / "etc/systemd/logind.conf.d/10-site.conf").write_text(text)
    return root


def test_a_logind_that_kills_at_logout_is_seen_with_its_remedy(tmp_path: Path) -> None:
    (found,) = check_survival({}, logind(tmp_path, "[Login]\nKillUserProcesses = yes\n"))
    assert (found.id, found.level) == ("logind", Level.WARNING)
    assert "loginctl enable-linger" in str(found.remedy)
    (tmp_path / "var/lib/systemd/linger").mkdir(parents=True)
    (tmp_path / "var/lib/systemd/linger" / pwd.getpwuid(os.getuid()).pw_name).touch()
    (found,) = check_survival({}, tmp_path)
    assert "systemd-run --user --scope" in str(found.remedy)


def test_a_logind_that_leaves_processes_alone_is_fine(tmp_path: Path) -> None:
    (found,) = check_survival({}, logind(tmp_path, "[Login]\n"))
    assert (found.id, found.level) == ("logind", Level.OK)


def test_slurm_and_containers_are_named(tmp_path: Path) -> None:
    assert [c.id for c in check_survival({"SLURM_JOB_ID": "7"}, tmp_path)] == ["slurm"]
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/slurmstepd.scope/job_7/step_extern\n")
    assert [c.id for c in check_survival({}, tmp_path)] == ["slurm"]
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.containerenv").touch()
    (found,) = check_survival({}, tmp_path)
    assert (found.id, found.level) == ("container", Level.INFO)
    assert list(check_survival({}, tmp_path / "nothing")) == []


def test_each_file_system_is_named_once(tmp_path: Path) -> None:
    checks = list(check_disks(Paths.under(tmp_path), tmp_path))
    assert [check.id for check in checks] == ["disk"]
    assert str(tmp_path / "data") in str(checks[0].message)


def test_the_state_folder_is_tried_out_not_believed(tmp_path: Path) -> None:
    (good,) = check_state_folder(Paths.under(tmp_path / "home"))
    assert good.ok
    assert list(tmp_path.iterdir()) == []
    (wrong,) = check_state_folder(Paths.under(Path("/proc/paddock")))
    assert wrong.level is Level.ERROR
    assert "PADDOCK_HOME" in str(wrong.remedy)


def test_a_network_file_system_is_known_by_the_mount_table(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 0:99 / /other rw - ext4 /dev/sda rw\n"
        f"36 35 {os.major(device)}:{os.minor(device)} / /home rw,noatime shared:1 - nfs4 server:/home rw\n"
    )
    assert file_system_of(tmp_path, mounts) == "nfs4"
    assert file_system_of(tmp_path, tmp_path / "none") == ""


@pytest.mark.parametrize(("version", "level"), [("0.32.7", Level.OK), ("0.11.4", Level.WARNING)])
def test_a_server_is_asked_for_its_version(tmp_path: Path, version: str, level: Level) -> None:
    with subprocess.Popen(program("ollama_server.py", version), stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        host = f"127.0.0.1:{server.stdout.readline().decode().strip()}"
        try:
            report = run_checks(Paths.under(tmp_path), Settings(), None, bare(tmp_path, OLLAMA_HOST=host))
        finally:
            server.kill()
    assert {check.level for check in report.checks if check.id == "ollama-server"} == {level}
    assert report.ollama == {"binary": None, "host": f"http://{host}", "version": version, "running": True}


def test_an_ollama_without_cuda_is_seen_only_beside_a_gpu(tmp_path: Path) -> None:
    engine = tmp_path / "lib" / "ollama"
    engine.mkdir(parents=True)
    (engine / "llama-server").touch()
    found = {"binary": str(tmp_path / "bin" / "ollama")}
    assert [c.level for c in check_acceleration(found, gpu_with("13.0"))] == [Level.WARNING]
    assert list(check_acceleration(found, NO_GPU)) == []
    (engine / "cuda_v13").mkdir()
    assert list(check_acceleration(found, gpu_with("13.0"))) == []
    assert list(check_acceleration(None, gpu_with("13.0"))) == []


def test_a_name_without_a_server_is_a_warning(tmp_path: Path) -> None:
    report = run_checks(Paths.under(tmp_path), Settings(), None, bare(tmp_path))
    (found,) = [check for check in report.checks if check.id == "ollama-server"]
    assert (found.level, report.ollama) == (Level.WARNING, None)


@pytest.mark.parametrize(
    "settings", [Settings(llamafactory_python="/none/python"), Settings(ollama_binary="/none/ollama")]
)
def test_a_setting_that_names_nothing_is_said_not_raised(tmp_path: Path, settings: Settings) -> None:
    report = run_checks(Paths.under(tmp_path), settings, None, bare(tmp_path))
    assert any("setting" in str(check.message) for check in report.checks if check.level is Level.ERROR)


@pytest.mark.parametrize(
    ("environ", "level"),
    [({"LANG": "zh_CN.UTF-8"}, Level.OK), ({"LANG": "zh_CN.utf8", "LC_ALL": "C"}, Level.WARNING), ({}, Level.WARNING)],
)
def test_a_terminal_without_utf8_is_seen(tmp_path: Path, environ: dict[str, str], level: Level) -> None:
    report = run_checks(
        Paths.under(tmp_path), Settings(), None, {"PATH": str(tmp_path), "OLLAMA_HOST": ":9", **environ}
    )
    assert [check.level for check in report.checks if check.id == "locale"] == [level]


def test_a_mirror_is_shown_but_not_asked(tmp_path: Path) -> None:
    report = run_checks(
        Paths.under(tmp_path), Settings(), None, bare(tmp_path, HF_ENDPOINT="https://mirror.invalid", HF_TOKEN="secret")
    )
    (hub,) = [check for check in report.checks if check.id == "hub"]
    assert "https://mirror.invalid" in str(hub.message)
    assert "secret" not in json.dumps(report.as_json())


def test_warnings_do_not_make_a_machine_unfit() -> None:
    warned = Check("disk", Level.WARNING, _("low"), _("free some"))
    assert DoctorReport((warned,), None, None).ok
    assert not warned.ok
    assert not DoctorReport((Check("x", Level.ERROR, _("bad")),), None, None).ok


@pytest.mark.parametrize("forbidden", ["", "1"])
def test_byte_code_that_is_there_is_well_whatever_forbids_to_write_it(forbidden: str) -> None:
    tops = [str(Path(data.__file__).parents[1] / name) for name in bytecode.OURS]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *tops], check=True)
    found = {check.id: check.level for check in check_own({"PYTHONDONTWRITEBYTECODE": forbidden})}
    assert found["bytecode"] is Level.OK


def test_missing_byte_code_that_stays_missing_is_told(tmp_path: Path) -> None:
    """Python looks for it in another, empty place."""
    code = "from backend.doctor.own import check_own; print(*[check.remedy for check in check_own({})], sep='\\n')"
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert "-m compileall -q" in done.stdout
