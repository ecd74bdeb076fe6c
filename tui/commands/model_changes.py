"""``paddock models pull, copy, remove, stop``: what changes a server's models, or its memory."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import click

from backend.deploy.server import Server, ensure_server
from backend.ollama.client import Client
from backend.ollama.name import ModelName, parse_name
from backend.ollama.reply import ListedModel, Progress
from data.errors import AppError, RequestError
from data.i18n import Message, _
from data.size import size
from data.text import inert
from tui.commands.console import Console
from tui.commands.following import PLAIN_EVERY_S
from tui.commands.form import argument, command, flag, option, plain_option
from tui.commands.model_servers import no_model, running, server_with, tell_passed_over
from tui.commands.session import Session
from tui.services import Services
from tui.wording import amount, clip, clock_span

_HOST_HELP: Final = _("Ollama server, as in OLLAMA_HOST.")


class PullInterrupted(AppError):  # noqa: N818 - somebody wanted it so
    """The person stopped the fetching."""

    exit_status = 130


@command(
    "pull",
    _(
        "Fetch a model from its registry into the Ollama server.\n\nThe server fetches it, by its own network "
        "settings. What was fetched stays when it is interrupted: the same command goes on."
    ),
    argument("model"),
    option("--host", metavar="HOST", about=_HOST_HELP),
    plain_option(),
)
def pull(session: Session, model: str, host: str | None) -> int:
    """Fetch one model."""
    console, services = session.console, session.services(adopt=True)
    name = parse_name(model)
    try:
        server, listed = asyncio.run(_pull(console, services, name, host or ""))
    except KeyboardInterrupt:
        console.leave_echo()
        raise PullInterrupted(
            _("{model} is not complete", model=str(name)),
            _("What was fetched is kept by the server."),
            _("`paddock models pull {model}` goes on.", model=str(name)),
        ) from None
    finally:
        console.end_update()
    size_bytes = listed.size_bytes if listed else None
    console.emit({"name": str(name), "host": server.host, "bytes": size_bytes, "digest": listed and listed.digest})
    console.say(_("{model} is on {host}: {bytes}", model=str(name), host=server.host, bytes=size(size_bytes or 0)))
    return 0


async def _pull(console: Console, services: Services, name: ModelName, host: str) -> tuple[Server, ListedModel | None]:
    server = await ensure_server(services.paths, services.settings, host=host, environ=services.environ)
    tell_passed_over(console, [server])
    course = _Course(console, str(name))
    async with Client(server.host) as client:
        async with aclosing(client.pull(str(name))) as steps:
            async for step in steps:
                course.tell(step, time.monotonic())
        return server, await _listed(client, name)


class _Course:
    """The course of a pull: its layers' bytes in one sum, the server's other steps as lines."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._layers: dict[str, tuple[int, int]] = {}
        self._status = ""
        self._begun: tuple[float, int] | None = None
        self._told_at: float | None = None

    def tell(self, step: Progress, moment: float) -> None:
        """Show ``step``; ``moment`` is a monotonic time in seconds."""
        if step.total_bytes:
            self._layers[step.digest] = (step.completed_bytes or 0, step.total_bytes)
            self._tell_bytes(moment)
        elif step.status != self._status:
            self._status = step.status
            if not step.digest:  # each layer is also announced before its first byte
                self._console.tell(f"  {inert(step.status)}")

    def _tell_bytes(self, moment: float) -> None:
        done, total = (sum(column) for column in zip(*self._layers.values(), strict=True))
        if self._begun is None:
            self._begun = (moment, done)
        pieces = [amount(done, total, "bytes")]
        seconds, fetched = moment - self._begun[0], done - self._begun[1]
        if seconds > 1 and fetched > 0:
            pieces.append(str(_("{bytes} a second", bytes=size(fetched / seconds))))
            pieces.append(str(_("{time} left", time=clock_span((total - done) * seconds / fetched))))
        words = " · ".join(pieces)
        if self._console.is_live:
            self._console.update(clip(f"▸ {self._name} · {words}", self._console.width() - 1))
        elif self._told_at is None or moment - self._told_at >= PLAIN_EVERY_S or done == total:
            self._told_at = moment
            self._console.tell(f"  {words}")


async def _listed(client: Client, name: ModelName) -> ListedModel | None:
    return next((model for model in await client.list() if name.same_as(model.name)), None)


@command(
    "copy",
    _("Give a model a second name on its server; both share the same data."),
    argument("model"),
    argument("name"),
    flag("--force", about=_("Replace a model of that name.")),
    option("--host", metavar="HOST", about=_HOST_HELP),
)
def copy(session: Session, model: str, name: str, force: bool, host: str | None) -> int:
    """Copy one model."""
    console, services = session.console, session.services(adopt=True)
    source, target = parse_name(model), parse_name(name)
    server = asyncio.run(_copy(services, source, target, force=force, host=host or ""))
    console.emit({"model": str(source), "name": str(target), "host": server.host})
    console.say(_("{model} is also {name} on {host}.", model=str(source), name=str(target), host=server.host))
    return 0


async def _copy(services: Services, source: ModelName, target: ModelName, *, force: bool, host: str) -> Server:
    server = await server_with(services, str(source), host)
    async with Client(server.host) as client:
        there = None if force or target.same_as(str(source)) else await _listed(client, target)
        if there is not None:
            raise RequestError(
                _("There is a model {model} already", model=str(target)),
                _("{bytes} on {host}", bytes=size(there.size_bytes), host=server.host),
                _("Choose another name, or add --force to replace it."),
            )
        await client.copy(str(source), str(target))
    return server


@dataclass(frozen=True, slots=True)
class _Doomed:
    """A model that is to be removed."""

    name: ModelName
    server: Server
    size_bytes: int
    shared_with: tuple[str, ...]
    """Names that stay and are the same model: the data stays with them"""

    @property
    def consequence(self) -> Message:
        """What is lost, in bytes."""
        values: dict[str, object] = {"model": str(self.name), "host": self.server.host}
        if self.shared_with:
            names = ", ".join(map(inert, self.shared_with))
            return _("{model} on {host}: only this name goes; {names} is the same model", names=names, **values)
        return _("{model} on {host}: {bytes} are deleted", bytes=size(self.size_bytes), **values)

    def as_json(self) -> dict[str, object]:
        return {
            "name": str(self.name),
            "host": self.server.host,
            "bytes": 0 if self.shared_with else self.size_bytes,
            "same_as": list(self.shared_with),
        }


@command(
    "remove",
    _("Remove models from their servers, after saying what is lost. On a terminal it asks first."),
    argument("models", many=True, label="MODEL…"),
    flag("--yes", "-y", about=_("Do not ask.")),
    option("--host", metavar="HOST", about=_HOST_HELP),
)
def remove(session: Session, models: tuple[str, ...], yes: bool, host: str | None) -> int:
    """Remove models."""
    console, services = session.console, session.services(adopt=True)
    names = list({str(name).lower(): name for name in map(parse_name, models)}.values())
    doomed = asyncio.run(_doomed(services, names, host or ""))
    for each in doomed:
        console.tell(each.consequence)
    if not yes and not _agreed(console):
        return 1
    asyncio.run(_remove(doomed))
    console.emit({"removed": [each.as_json() for each in doomed]})
    console.say(_("Removed: {names}", names=", ".join(str(each.name) for each in doomed)))
    return 0


async def _doomed(services: Services, names: Sequence[ModelName], host: str) -> list[_Doomed]:
    """Find every model first: where one is missing, none is removed."""
    found: list[_Doomed] = []
    for name in names:
        server = await server_with(services, str(name), host)
        async with Client(server.host) as client:
            listed = await client.list()
        digests = {model.digest for model in listed if name.same_as(model.name)}
        same = [m.name for m in listed if m.digest in digests and not any(gone.same_as(m.name) for gone in names)]
        size_bytes = next((model.size_bytes for model in listed if name.same_as(model.name)), 0)
        found.append(_Doomed(name, server, size_bytes, tuple(same)))
    return found


async def _remove(doomed: Sequence[_Doomed]) -> None:
    for each in doomed:
        async with Client(each.server.host) as client:
            if any(each.name.same_as(model.name) for model in await client.ps()):
                await client.unload(str(each.name))  # a model without a name could not be taken out of memory
            await client.delete(str(each.name))


def _agreed(console: Console) -> bool:
    """Ask on a terminal; without one, nothing is deleted unasked."""
    if sys.stdin.isatty() and not console.as_json:
        return click.confirm(str(_("Remove?")), default=False)
    raise RequestError(
        _("A model is only removed when somebody agrees"), _("There is no terminal to ask on."), _("Add --yes.")
    )


@command(
    "stop",
    _("Take a model out of memory; it stays on the server and is loaded again when it is asked. Starts no server."),
    argument("model"),
    option("--host", metavar="HOST", about=_HOST_HELP),
)
def stop(session: Session, model: str, host: str | None) -> int:
    """Unload one model wherever it is loaded."""
    console, services = session.console, session.services(adopt=True)
    name = parse_name(model)
    hosts = asyncio.run(_stop(services, name, host or ""))
    console.emit({"name": str(name), "unloaded_from": hosts})
    if hosts:
        console.say(_("{model} is out of memory on {hosts}.", model=str(name), hosts=", ".join(hosts)))
    else:
        console.say(_("{model} was not in memory.", model=str(name)))
    return 0


async def _stop(services: Services, name: ModelName, host: str) -> list[str]:
    """Unload the model; return the hosts where it was loaded. Raises AppError where no running server has it."""
    found = await running(services, host)
    hosts: list[str] = []
    known = not found  # nothing runs: nothing of it is in memory
    for server in found:
        async with Client(server.host) as client:
            known = known or await client.has(str(name))
            if any(name.same_as(model.name) for model in await client.ps()):
                await client.unload(str(name))
                hosts.append(server.host)
    if not known:
        raise no_model(str(name), found)
    return hosts
