"""The ``push`` job: a model in Hugging Face's form, to a repository on a hub; all of it appears there in one commit.

    python -P -m backend.export.push JOB_FOLDER

Params: ``folder`` (of the model, absolute), ``repository`` (owner/name, or a name of the token's own account).
The token comes from ``HF_TOKEN``, the hub from ``HF_ENDPOINT``. Result: ``repository`` (with its owner), ``url``,
``commit``, ``files`` and ``bytes`` (how many), ``removed`` (weights of an earlier push).

LLaMA-Factory would push within its export, before anybody could look at the merge, and without its own progress.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from backend.export.reading import watching
from backend.train.pushing import HUB_TOKEN, is_repository, repository_words
from backend.train.record import RECORD_FILE
from data.errors import AppError, RequestError
from data.i18n import _
from data.jobs.folder import JobFolder
from data.jobs.report import Reporter, run_work
from data.jobs.spec import Chain, JobSpec

KIND: Final = "push"
_WEIGHTS: Final = (".safetensors", ".bin")
_MODEL_FILES: Final = (*_WEIGHTS, ".json", ".jinja", ".model", ".tiktoken", ".txt")
"""What a model is loaded from. GGUFs and Modelfiles, which lie beside it, stay here."""
_SIDECAR: Final = ".gguf.json"
_SHARD: Final = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")
"""The names that transformers looks for, and which it prefers: one file before an index with its shards"""
_REFUSED_BY_XET: Final = re.compile(r"HTTP status (?:client|server) error \(\d+")
"""In what hf-xet raises, as a ConnectionError, when an answer was no; it leaves out what the server said"""


@dataclass(frozen=True, slots=True)
class Request:
    """The params of the job, checked."""

    folder: Path
    repository: str

    @classmethod
    def read(cls, params: Mapping[str, object]) -> Request:
        """Read the job's params; raises RequestError for what is missing or has a wrong type."""
        folder, repository = params.get("folder"), params.get("repository")
        if not isinstance(folder, str) or not folder:
            raise RequestError(_("The push lacks its folder"), "", _("Start it with `paddock export`."))
        if not isinstance(repository, str) or not is_repository(repository):
            message, remedy = repository_words(str(repository or ""))
            raise RequestError(message, "", remedy)
        return cls(Path(folder), repository)


def push_spec(
    folder: Path, repository: str, *, workspace: Path, after: tuple[str, ...], chain: Chain | None
) -> JobSpec:
    """Return the job that pushes the model in ``folder``."""
    params: dict[str, object] = {"folder": str(folder), "repository": repository}
    return JobSpec.new(
        KIND, repository, workspace=str(workspace), params=params, after=after, needs_env=(HUB_TOKEN,), chain=chain
    )


def model_files(folder: Path) -> list[Path]:
    """Return what of ``folder`` a hub gets, by name; AppError where it holds no weights, or cannot be read."""
    try:
        found = sorted(file for file in folder.iterdir() if _is_pushed(file))
    except OSError as error:
        raise AppError(_("{path} cannot be read", path=folder), str(error), _("Merge again, and push then.")) from error
    if not any(file.suffix in _WEIGHTS for file in found):
        raise AppError(
            _("{path} holds no model", path=folder),
            _("There are no weights in it, such as a merge writes them."),
            _("Merge again, and push then."),
        )
    return found


def _is_pushed(file: Path) -> bool:
    is_ours = file.name == RECORD_FILE or file.name.endswith(_SIDECAR)
    return file.suffix in _MODEL_FILES and not file.name.startswith(".") and not is_ours and file.is_file()


def main(reporter: Reporter, params: Mapping[str, object]) -> None:
    """Upload every file, then commit them all; raises AppError for what the hub refuses, with its words.

    Weights of an earlier push that this model has not are removed in the same commit (they stay in the hub's history):
    transformers would load one ``model.safetensors`` of then before the shards of now.
    """
    request = Request.read(params)
    files = model_files(request.folder)
    sizes = {file: file.stat().st_size for file in files}
    reporter.stage("push", _("Asking the hub for {name}", name=request.repository))
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # they are for a terminal that moves its cursor
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi  # noqa: PLC0415 - reads the above

    hub = HfApi(token=os.environ.get(HUB_TOKEN))
    with _told(request.repository, hub.endpoint):
        repository = hub.create_repo(request.repository, exist_ok=True).repo_id
        stale = _stale(hub.list_repo_files(repository), files)
        done, total, sent = 0, sum(sizes.values()), list[CommitOperationAdd]()
        for file in files:
            reporter.stage("push", _("Sending {file} to {name}", file=file.name, name=repository))
            reporter.progress(done, total, "bytes")
            sent.append(CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file))
            before = done
            with watching(file, lambda read, before=before: reporter.progress(before + read, total, "bytes")):
                hub.preupload_lfs_files(repository, sent[-1:])
            done += sizes[file]
            sys.stdout.write(f"{file.name}: {sizes[file]} bytes\n")
        reporter.progress(done, total, "bytes")
        reporter.stage("push", _("Publishing {name}", name=repository))
        removed = [CommitOperationDelete(path_in_repo=name) for name in stale]
        commit = hub.create_commit(repository, [*sent, *removed], commit_message=f"Upload {request.folder.name}")
    reporter.result(
        repository=repository,
        url=f"{hub.endpoint}/{repository}",
        commit=commit.oid,
        files=len(files),
        bytes=done,
        removed=stale,
    )


def _stale(there: Sequence[str], files: Sequence[Path]) -> list[str]:
    names = {file.name for file in files}
    return [name for name in there if _SHARD.fullmatch(name) and name not in names]


@contextmanager
def _told(repository: str, endpoint: str) -> Generator[None]:
    """Turn what goes wrong between here and the hub into words."""
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415 - takes a while

    # Of the library's client, which is another one in each of its versions.
    http_error = cast("type[Exception]", HfHubHTTPError.__bases__[0])
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        detail = _(
            "{endpoint} answered {status}: {detail}",
            endpoint=endpoint,
            status=status,
            detail=error.server_message or _said(error),
        )
        if status in (401, 403, 404):
            raise AppError(
                _("The hub does not let you write to {name}", name=repository),
                detail,
                _("Set {variable} to a token that may write there, and resume.", variable=HUB_TOKEN),
            ) from error
        raise AppError(
            _("The hub refuses the push to {name}", name=repository),
            detail,
            _("Resume later: what was sent is not sent again."),
        ) from error
    except (OSError, http_error, RuntimeError, ValueError) as error:
        if _REFUSED_BY_XET.search(_said(error)):
            raise AppError(
                _("The hub's storage refuses the push to {name}", name=repository),
                _("{endpoint}: {detail}", endpoint=endpoint, detail=_said(error)),
                _(
                    "See that the token may write there, and that the account has room. With {variable}=1 set, files "
                    "go by git-lfs: a mirror without xet storage takes them, and a hub says more. Resume then.",
                    variable="HF_HUB_DISABLE_XET",
                ),
            ) from error
        raise AppError(
            _("The push to {name} broke off", name=repository),
            _("{endpoint}: {detail}", endpoint=endpoint, detail=_said(error)),
            _("Check the network and the proxy, or name a mirror in HF_ENDPOINT; resume sends what is missing."),
        ) from error


def _said(error: BaseException) -> str:
    """Return the last line of the first cause of ``error``: the library wraps a refused upload."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


if __name__ == "__main__":
    spec = JobFolder(Path(sys.argv[1])).read_spec()
    sys.exit(run_work(lambda reporter: main(reporter, spec.params)))
