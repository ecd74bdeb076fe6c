"""The local executor: the supervisor is a detached process on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from data.errors import AppError
from data.i18n import _
from data.jobs.folder import JobFolder
from data.jobs.process import JOB_VARIABLE

RUNNER = "backend.runner"


def start_supervisor(folder: JobFolder, lock: int, environ: Mapping[str, str]) -> None:
    """Start a supervisor for ``folder``, hand it the ``lock`` and forget it. Closes ``lock`` in any case.

    It gets a session of its own (a hang-up of the terminal cannot reach it), no stdin, and its output in the folder.
    """
    argv = [sys.executable, "-P", "-m", RUNNER, str(folder.path), str(lock)]
    try:
        with folder.supervisor_log.open("ab") as output:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={**environ, JOB_VARIABLE: folder.id},
                pass_fds=(lock,),
                start_new_session=True,
            )
    except OSError as error:
        raise AppError(
            _("The supervisor of the job cannot be started"),
            str(error),
            _("The machine may be out of processes or memory; nothing was started."),
        ) from error
    finally:
        os.close(lock)
    _forget(child)


_children: set[int] = set()


def _forget(child: subprocess.Popen[bytes]) -> None:
    """Reap ended supervisors at the next start; until then they are zombies, which cost nothing."""
    child.returncode = 0  # no warning at interpreter exit: it is meant to outlive us
    _children.add(child.pid)
    reap()


def reap() -> None:
    """Collect supervisors that we started and that have ended."""
    for pid in tuple(_children):
        try:
            done, _status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            done = pid
        if done:
            _children.discard(pid)
