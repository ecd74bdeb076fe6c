"""What was asked of a job: written once, before anything starts, and versioned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple, cast

from data.errors import AppError
from data.i18n import _

VERSION: Final = 1
_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_ID: Final = re.compile(r"\d{8}-\d{6}-[a-z0-9]+-[a-z0-9]{4}")


def now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """Return ``moment`` as RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Read RFC 3339; raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = f"no time zone in {text!r}"
        raise ValueError(msg)
    return moment


def is_job_id(text: str) -> bool:
    """Say whether ``text`` has the form of an id: 20261123-231512-train-k3fq."""
    return _ID.fullmatch(text) is not None


def new_id(kind: str, moment: datetime) -> str:
    """Return an id that sorts by time and can be said aloud: 20261123-231512-train-k3fq."""
    import secrets  # noqa: PLC0415 - brings OpenSSL, which readers of jobs do not need

    tail = "".join(secrets.choice(_ALPHABET) for _unused in range(4))
    return f"{moment.astimezone(UTC):%Y%m%d-%H%M%S}-{kind}-{tail}"


def new_chain_id(name: str, moment: datetime) -> str:
    """Return an id for jobs that are laid down at once: export-20261123-231512-3f9a."""
    import secrets  # noqa: PLC0415 - brings OpenSSL, which readers of jobs do not need

    return f"{name}-{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class GpuRequest(NamedTuple):
    """GPUs that a job needs: explicit indices (PCI bus order), or a count with free memory on each."""

    ids: tuple[int, ...] = ()
    number: int = 0
    """How many, whichever they are"""
    free_bytes: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the form in spec.json."""
        return {"ids": list(self.ids), "count": self.number, "free_bytes": self.free_bytes}


class Chain(NamedTuple):
    """The place of a job in a pipeline that was laid down at once."""

    id: str
    title: str
    position: int
    """0 for the first"""
    length: int

    def as_json(self) -> dict[str, object]:
        """Return the form in spec.json."""
        return {"id": self.id, "title": self.title, "index": self.position, "count": self.length}


class JobSpec(NamedTuple):
    """What was asked. ``params`` belong to the kind; ``env`` holds no secret, ``needs_env`` names what must be set."""

    id: str
    kind: str
    name: str
    created_at: datetime
    workspace: str
    params: Mapping[str, object] = MappingProxyType({})
    after: tuple[str, ...] = ()
    after_any: tuple[str, ...] = ()
    gpus: GpuRequest | None = None
    executor: str = "local"
    env: Mapping[str, str] = MappingProxyType({})
    needs_env: tuple[str, ...] = ()
    chain: Chain | None = None
    version: int = VERSION

    @classmethod
    def new(
        cls,
        kind: str,
        name: str,
        *,
        workspace: str,
        params: Mapping[str, object],
        after: tuple[str, ...] = (),
        after_any: tuple[str, ...] = (),
        gpus: GpuRequest | None = None,
        env: Mapping[str, str] | None = None,
        needs_env: tuple[str, ...] = (),
        chain: Chain | None = None,
        moment: datetime | None = None,
    ) -> JobSpec:
        """Make a spec with a fresh id."""
        created = moment or now()
        return cls(
            id=new_id(kind, created),
            kind=kind,
            name=name,
            created_at=created,
            workspace=workspace,
            params=dict(params),
            after=after,
            after_any=after_any,
            gpus=gpus,
            env=dict(env or {}),
            needs_env=needs_env,
            chain=chain,
        )

    def as_json(self) -> dict[str, object]:
        """Return the object of spec.json."""
        return {
            "version": self.version,
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "created_at": rfc3339(self.created_at),
            "workspace": self.workspace,
            "params": dict(self.params),
            "after": list(self.after),
            "after_any": list(self.after_any),
            "gpus": self.gpus.as_json() if self.gpus else None,
            "executor": self.executor,
            "env": dict(self.env),
            "needs_env": list(self.needs_env),
            "chain": self.chain.as_json() if self.chain else None,
        }

    @classmethod
    def from_json(cls, value: object) -> JobSpec:
        """Read the object of spec.json; raises AppError for a wrong form or a later version."""
        try:
            _check_version(cast("Mapping[str, object]", value)["version"])
            return _parse(cast("Mapping[str, object]", value))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AppError(
                _("This job's spec.json cannot be read"),
                repr(error),
                _("Something else has written it: mend it by hand, or remove the job with `paddock jobs remove`."),
            ) from error


def _check_version(version: object) -> None:
    """Raise AppError for the form of a later Paddock, whose meaning cannot be guessed."""
    if isinstance(version, int) and version > VERSION:
        raise AppError(
            _("This job was written by a later version of Paddock"),
            _("Its spec.json has the form {version}; this version reads {known}.", version=version, known=VERSION),
            _("Bring Paddock up to date, or read the folder by hand."),
        )
    if version != VERSION:
        msg = f"version {version!r}, expected {VERSION}"
        raise ValueError(msg)


def _parse(value: Mapping[str, object]) -> JobSpec:
    gpus = cast("Mapping[str, object] | None", value.get("gpus"))
    chain = cast("Mapping[str, object] | None", value.get("chain"))
    return JobSpec(
        id=_text(value["id"]),
        kind=_text(value["kind"]),
        name=_text(value["name"]),
        created_at=parse_time(_text(value["created_at"])),
        workspace=_text(value["workspace"]),
        params=dict(cast("Mapping[str, object]", value["params"])),
        after=_texts(value.get("after")),
        after_any=_texts(value.get("after_any")),
        gpus=None
        if gpus is None
        else GpuRequest(
            tuple(cast("list[int]", gpus["ids"])), cast("int", gpus["count"]), cast("int", gpus["free_bytes"])
        ),
        executor=_text(value.get("executor", "local")),
        env=dict(cast("Mapping[str, str]", value.get("env") or {})),
        needs_env=_texts(value.get("needs_env")),
        chain=None
        if chain is None
        else Chain(_text(chain["id"]), _text(chain["title"]), cast("int", chain["index"]), cast("int", chain["count"])),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = f"expected text, got {value!r}"
        raise TypeError(msg)
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(item) for item in cast("list[object]", value or []))
