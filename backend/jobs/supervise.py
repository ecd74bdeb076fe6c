"""The supervisor: one small process a job, in its own session: starts the work, follows it, writes its end."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from backend.jobs import environment, leases, processes
from backend.jobs.parents import ParentFailed, Parents
from backend.jobs.stop import StopLadder
from backend.jobs.work import Event, Follower, Work
from data.errors import AppError, system_failure
from data.i18n import Message, _
from data.jobs import process
from data.jobs.folder import JobFolder
from data.jobs.report import VARIABLE as REPORT_VARIABLE
from data.jobs.spec import JobSpec
from data.jobs.status import Fold

TICK_S: Final = 0.2
_HEARTBEAT_S: Final = 5.0
_PARENTS_S: Final = 0.4
_GPUS_S: Final = 2.0

Outcome = Literal["succeeded", "failed", "stopped"]


class Sampler:
    """Takes a sample of GPUs and host for the job; the runner brings the real one."""

    interval_s = 2.0

    def sample(self, pids: set[int]) -> None:
        """Write one sample; ``pids`` are the processes of the work."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the supervisor is given by the runner: it knows no kind, no driver and no directory by itself."""

    works: Mapping[str, Work]
    leases: Path
    read_gpus: leases.ReadGpus
    sampler: Callable[[JobFolder], Sampler]
    grace_s: float


class _Stopped(Exception):  # noqa: N818 - not an error: the person's wish
    """Asked to stop before the work began."""


class Supervisor:
    """Runs one job to its end. ``run`` is its whole life."""

    def __init__(self, folder: JobFolder, lock: int, around: Surroundings) -> None:
        os.set_inheritable(lock, False)  # the work must not keep the job owned when we die
        self._folder = folder
        self._spec: JobSpec = folder.read_spec()
        self._around = around
        self._reaper = processes.Reaper()
        self._lease: leases.Lease | None = None
        self._failure: AppError | None = None
        self._fold = Fold()
        """What had happened when we took over, and the artefacts since: for the ending nothing is read again"""
        self._beat_at = 0.0
        self._terminated = False
        self._cause = ""

    def run(self) -> None:
        """Take over the job and lead it to an ending; everything unexpected becomes the ending's detail."""
        self._prepare_process()
        self._folder = self._folder.publish()
        state = self._fold.add_all(self._folder.every_event())
        if self._fold.status is not None and not self._fold.status.is_live:
            # Resumed. Said here and not by whoever asked: who dies after that has left a job that is at work.
            again = {"kind": "waiting", "attempt": max(1, state.attempt) + 1}
            state = self._fold.add_all(self._folder.append_all((again,)))
        self._folder.append({"kind": "supervised", **process.identity()})
        try:
            if state.started_at is not None and state.ended_at is None:
                outcome, code = self._adopt(state.work_pid or 0)
            else:
                outcome, code = self._begin()
        except _Stopped:
            outcome, code = "stopped", None
        except AppError as error:
            self._failure = error
            outcome, code = "failed", None
        except Exception as error:  # noqa: BLE001 - the one broad except of a job
            traceback.print_exc()
            self._failure = system_failure(error) or AppError(
                _("Something unexpected went wrong in the supervisor"),
                f"{type(error).__name__}: {error}",
                _("supervisor.log in the job's folder has the details; this is a defect of Paddock worth reporting."),
            )
            outcome, code = "failed", None
            processes.sweep(self._spec.id, self._reaper)
        self._finish(outcome, code)

    # Before the work

    def _prepare_process(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only to wake the select below
        self._wake, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
        processes.become_subreaper()
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir("/")

    def _on_terminate(self, _number: int, _frame: object) -> None:
        self._terminated = True  # the machine goes down, or a batch system ends us: a stop like any other

    def _begin(self) -> tuple[Outcome, int | None]:
        self._wait_for_parents()
        self._wait_for_gpus()
        missing = environment.missing(os.environ, self._spec.needs_env)
        if missing:
            raise AppError(
                _("The environment lacks what this job needs"),
                _("Not set: {names}.", names=", ".join(missing)),
                _("Set it in the shell and run `paddock jobs resume {job}` there.", job=self._spec.id),
            )
        work = self._work()
        command = work.prepare(self._folder, self._spec)
        if not Path(command.cwd).is_dir():
            raise AppError(
                _("The folder that the job runs in does not exist"), command.cwd, _("Make it, then resume the job.")
            )
        follower = work.follower(self._folder, self._spec)
        shim = self._start(command.argv, command.cwd, command.env)
        return self._watch(shim, follower, work)

    def _work(self) -> Work:
        work = self._around.works.get(self._spec.kind)
        if work is None:
            raise AppError(
                _("This version of Paddock knows no job of kind {kind}", kind=self._spec.kind),
                "",
                _("Update Paddock, then resume the job."),
            )
        return work

    def _wait_for_parents(self) -> None:
        parents = Parents(self._folder.path.parent, self._spec)
        said: Message | None = None
        while True:
            try:
                why = parents.pending()
            except ParentFailed as failed:
                self._cause = "after"
                raise failed.error from failed
            if why is None:
                return
            if why != said:
                said = why
                self._say_waiting(why)
            self._pause(_PARENTS_S)

    def _wait_for_gpus(self) -> None:
        request = self._spec.gpus
        if request is None:
            return
        said: Message | None = None
        while True:
            answer = leases.take(self._around.leases, request, self._around.read_gpus())
            if isinstance(answer, leases.Lease):
                self._lease = answer
                return
            if answer != said:
                said = answer
                self._say_waiting(answer)
            self._pause(_GPUS_S)

    def _say_waiting(self, why: Message) -> None:
        self._folder.append({"kind": "waiting", "attempt": max(1, self._fold.state.attempt), "why": why.as_json()})

    def _pause(self, seconds: float) -> None:
        """Wait for a wish to stop, at most ``seconds``; raises _Stopped."""
        end = time.monotonic() + seconds
        while True:
            self._beat()
            if self._stop_wanted() is not None:
                raise _Stopped
            left = end - time.monotonic()
            if left <= 0:
                return
            self._sleep(min(left, TICK_S))

    # The work

    def _start(self, argv: tuple[str, ...], cwd: str, overrides: Mapping[str, str]) -> int:
        environ = dict(os.environ)
        environ |= self._spec.env
        environ |= overrides
        environ[process.JOB_VARIABLE] = self._spec.id
        environ[REPORT_VARIABLE] = str(self._folder.report)
        if self._lease is not None:
            environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, self._lease.indices))
        self._folder.exit_file.unlink(missing_ok=True)
        self._folder.mark_file.unlink(missing_ok=True)
        handles = self._lease.handles if self._lease else ()
        try:
            shim = processes.start(
                processes.Command(argv, cwd), self._folder.exit_file, self._folder.log, environ, handles
            )
        except OSError as error:
            raise AppError(
                _("The work cannot be started"), str(error), _("Check the program and the free memory.")
            ) from error
        self._reaper.watch(shim)
        stat = process.read_stat(shim)
        self._folder.append(
            {
                "kind": "started",
                "pid": shim,
                "create_time": stat.start_ticks if stat else 0,
                "boot_id": process.boot_id(),
                "host": process.host(),
                "argv": list(argv),
                "gpus": list(self._lease.indices) if self._lease else None,
            }
        )
        return shim

    def _adopt(self, shim: int) -> tuple[Outcome, int | None]:
        """Go on with a work whose supervisor died."""
        work = self._work()
        follower = work.follower(self._folder, self._spec)
        mark = self._folder.read_mark()
        if mark:
            follower.restore(mark)
        return self._watch(shim, follower, work, adopted=True)

    def _watch(self, shim: int, follower: Follower, work: Work, *, adopted: bool = False) -> tuple[Outcome, int | None]:
        ladder: StopLadder | None = None
        sampler = self._around.sampler(self._folder)
        sample_at = time.monotonic()
        while not self._has_ended(shim, adopted=adopted):
            if self._copy(follower.poll(), follower) and ladder is not None:
                ladder.progressed()
            wish = self._stop_wanted()
            if wish is not None:
                if ladder is None:
                    steps = work.ladder(self._folder, self._spec)
                    ladder = StopLadder(self._folder, shim, steps, grace_s=self._around.grace_s)
                ladder.step(wish)
            if time.monotonic() >= sample_at:
                sample_at = time.monotonic() + sampler.interval_s
                sampler.sample(processes.below(shim))
            self._beat()
            self._sleep(TICK_S)
        code = self._folder.read_exit()
        if code is None:
            code = self._reaper.status(shim)
        left = processes.sweep(self._spec.id, self._reaper)
        while self._copy(follower.poll(), follower):  # in pieces: there may be much that was not read yet
            pass
        self._copy(follower.finish(code), follower)
        sampler.sample(set())
        if left:
            self._folder.append({"kind": "left", "pids": sorted(left)})
        if self._stop_wanted() is not None:
            return "stopped", code
        if code == 0 and self._failure is None:
            return "succeeded", code
        if self._failure is None:
            self._failure = _unexplained(code)
        return "failed", code

    def _has_ended(self, shim: int, *, adopted: bool) -> bool:
        self._reaper.reap()
        if not adopted:
            return self._reaper.status(shim) is not None
        if self._folder.exit_file.exists():
            return True
        return not processes.of_job(self._spec.id)

    def _copy(self, events: list[Event], follower: Follower) -> bool:
        """Put a follower's events into the journal; say whether there were any."""
        for event in self._folder.append_all(event for event in events if event["kind"] != "failed"):
            if event["kind"] == "artifact":
                self._fold.add(event)
        for event in events:
            if event["kind"] == "failed":
                self._failure = AppError(
                    Message.from_json(event.get("title")),
                    Message.from_json(event.get("detail")),
                    Message.from_json(event.get("hint")),
                )
        if events:
            self._folder.write_mark(follower.mark())
        return bool(events)

    # The end

    def _finish(self, outcome: Outcome, code: int | None) -> None:
        failure = self._failure if outcome == "failed" else None
        event: Event = {"kind": "finished", "outcome": outcome, "exit_code": code}
        if failure is not None:
            event |= failure.as_json()
            event["messages"] = {
                "title": failure.title.as_json(),
                "detail": failure.detail.as_json(),
                "hint": failure.hint.as_json(),
            }
        if self._cause:
            event["cause"] = self._cause
        made = self._fold.state.artifacts.values()
        event["artifacts"] = [{"path": a.path, "what": a.what, "bytes": a.size_bytes} for a in made]
        self._folder.append(event)

    def _stop_wanted(self) -> Literal["graceful", "now"] | None:
        wish = self._folder.read_stop()
        if wish is None and self._terminated:
            self._folder.ask_stop("graceful")
            return "graceful"
        return wish

    def _beat(self) -> None:
        moment = time.monotonic()
        if moment >= self._beat_at:
            self._beat_at = moment + _HEARTBEAT_S
            self._folder.beat()

    def _sleep(self, seconds: float) -> None:
        ready, _w, _x = select.select([self._wake], [], [], seconds)
        if ready:
            with contextlib.suppress(BlockingIOError):
                while os.read(self._wake, 512):
                    pass


def _unexplained(code: int | None) -> AppError:
    hint = _("The last lines of the log usually say why.")
    if code is None:
        return AppError(_("The work ended without leaving its exit status"), _("It was killed with its parent."), hint)
    if code > 128:
        try:
            name = signal.Signals(code - 128).name
        except ValueError:
            name = str(code - 128)
        if name == "SIGKILL":
            hint = _("The system may have run out of memory: `dmesg` and the container's limit tell. Then the log.")
        return AppError(_("The work was ended by a signal"), name, hint)
    return AppError(_("The work failed"), _("It ended with exit status {code}.", code=code), hint)
