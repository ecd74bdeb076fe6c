"""A GGUF made by Ollama's own import of safetensors, for what neither our converter nor a llama.cpp here knows.

A server of our own imports, in a hidden folder beside the target: the weights are linked there under their digests, so
that nothing is sent, and of what it makes the model's blob becomes the target. What Ollama does not take from a folder
is set afterwards: the chat template of newer transformers, the model's name, how the tokenizer cuts a text. Sources:
Ollama 0.32.7 `convert/convert.go` (``LoadModelMetadata``, the same since 0.24.0 but for one name), `server/create.go`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.convert.adopt import adopt, files_of_weights, ids_of, looked_at, readable_weights, type_of
from backend.convert.byte_level import read_byte_level
from backend.convert.converter import ConvertReport, Imported, Overrides, override
from backend.convert.folder import ModelFolder
from backend.convert.keys import Keys
from backend.convert.naming import name_of
from backend.convert.plan import FILE_TYPES
from backend.convert.planning import own_type
from backend.convert.program import end, unwritable
from backend.convert.quantised import is_importable, method_of
from backend.convert.quants import BITS
from backend.convert.scratch import Scratch, cannot_write, scratch
from backend.convert.special import CHAT_TEMPLATE, read_special
from backend.convert.stream import Stopped
from backend.convert.target import require_space
from backend.convert.vocabulary import has_tokenizer, no_tokenizer
from backend.ollama import blob
from backend.ollama.address import Address
from backend.ollama.client import Client, Creation
from backend.ollama.discover import find_binary, version_of
from backend.ollama.modelfile import parse
from backend.ollama.private import server_environment
from backend.ollama.probe import version_at
from backend.ollama.reply import Progress
from backend.ollama.serve import free_port
from data.errors import AppError, RequestError
from data.gguf import Header
from data.i18n import _, lines_of
from data.paths import Paths
from data.settings import Settings

KNOWN: Final = frozenset(
    {
        "Gemma3nForConditionalGeneration",
        "Gemma4ForCausalLM",
        "Gemma4ForConditionalGeneration",
        "Glm4MoeLiteForCausalLM",
        "GptOssForCausalLM",
        "LagunaForCausalLM",
        "Lfm2ForCausalLM",
        "Lfm2MoeForCausalLM",
        "Lfm2VlForConditionalGeneration",
        "MllamaForConditionalGeneration",
        "NemotronHForCausalLM",
        "Qwen3NextForCausalLM",
        "Qwen3_5ForConditionalGeneration",
        "Qwen3_5MoeForConditionalGeneration",
    }
)
"""Architectures that answer, which Ollama imports and our converter does not know"""
_TYPES: Final = ("auto", "q8_0")
_FILES: Final = ("*.safetensors", "*.json", "tokenizer.model")
"""As ``ollama create`` sends them (`parser/parser.go`, ``filesForModel``), without those that hold programs"""
_MODEL: Final = "paddock-import"
_START_S: Final = 120.0
_TICK_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Importer:
    """An ollama program."""

    path: Path


def find_importer(paths: Paths, settings: Settings, environ: Mapping[str, str] = os.environ) -> Importer | None:
    """Return the Ollama that a private server would be; None where there is none. Starts nothing."""
    found = find_binary(paths, settings, environ)
    return Importer(found.path) if found else None


def is_known(folder: ModelFolder) -> bool:
    """Say whether the import makes a model of the folder that our converter makes none of."""
    return folder.architecture in KNOWN and is_importable(folder.config or {})


def require_importable(folder: Path) -> ModelFolder:
    """Return the model's folder; RequestError where the import refuses its weights or the form of its tokenizer."""
    model = ModelFolder(folder, weights=False)
    if not (method_of(model.config or {}) and is_importable(model.config or {})):
        model = ModelFolder(folder)
    if not has_tokenizer(model):
        raise no_tokenizer(model)
    return model


def require_type(outtype: str, folder: Path) -> None:
    """Raise RequestError for a type that this import does not make of the weights in ``folder``."""
    own = own_type(folder)
    if outtype not in (*_TYPES, own) and outtype not in BITS:
        raise RequestError(
            _("Ollama's import does not make the type {type}", type=outtype),
            _("It keeps the weights' own 16 bits (here {own}), or makes q8_0 of them.", own=own),
            _("Take auto or q8_0, or a type of llama-quantize."),
        )


def convert_by_import(
    source: Path,
    target: Path,
    importer: Importer,
    *,
    outtype: str = "auto",
    name: str | None = None,
    overrides: Overrides | None = None,
    replace: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> ConvertReport:
    """Let ``importer`` make the file ``target`` of the model in the folder ``source``; else as ``converter.convert``.

    Raises RequestError for a type that is not made of it so, AppError where Ollama refuses the folder or its file is no
    whole model, and Stopped; nothing is left behind then.
    """
    require_type(outtype, source)
    folder = require_importable(source)
    version = version_of(importer.path)
    if version is None:
        raise AppError(
            _("Ollama's program cannot be started"), str(importer.path), _("paddock doctor shows what is found now.")
        )
    weights = readable_weights(source)
    size = sum(path.stat().st_size for path in files_of_weights(source))
    with scratch(target) as work:
        require_space(target, 2 * size)
        blobs = work.folder / "models" / "blobs"
        try:
            files = _link(folder.path, blobs, stop_requested)
        except OSError as error:
            raise cannot_write(target, error) from error
        creation = Creation(files=files, quantize=outtype if outtype == "q8_0" else "")
        with _serving(importer, work, blobs.parent) as (process, address):
            _wait_for_answer(process, address, stop_requested)

            def look() -> None:
                if stop_requested():
                    raise Stopped
                # It writes the model twice: into a file of its own, then under its digest.
                progress(min(_written(blobs.parent), 2 * size), 2 * size)

            try:
                place = asyncio.run(_create(address, creation, look))
            except AppError as error:
                raise unwritable(target, (error.detail.english(),)) or _refused(error) from error
        part = blobs / Path(place).name
        header = looked_at(part, "Ollama")
        changes = _changes(header, folder, name)
        if overrides is not None:
            override(changes, overrides, ids_of(header))
        made_by = Imported(importer.path, version)
        return adopt(
            header,
            source,
            weights,
            target,
            changes,
            made_by,
            outtype,
            replace=replace,
            progress=progress,
            stop_requested=stop_requested,
        )


async def _create(address: Address, creation: Creation, look: Callable[[], None]) -> str:
    """Make the model, with a ``look`` now and then, and return the path of its weights; the eyes come behind them."""
    async with Client(address) as client:
        making = asyncio.ensure_future(_drain(client.create(_MODEL, creation)))
        try:
            while not (await asyncio.wait({making}, timeout=_TICK_S))[0]:
                await asyncio.to_thread(look)
            await making
            return parse((await client.show(_MODEL)).modelfile).sources[0]
        finally:
            making.cancel()


async def _drain(steps: AsyncGenerator[Progress]) -> None:
    async for _step in steps:
        pass


def _link(folder: Path, blobs: Path, stop_requested: Callable[[], bool]) -> dict[str, str]:
    """Put links to the files of ``folder`` where a server has its blobs; returns the digest of each name."""
    blobs.mkdir(parents=True)

    def look(_done: int, _total: int) -> None:
        if stop_requested():
            raise Stopped

    files: dict[str, str] = {}
    for path in sorted({path.absolute() for pattern in _FILES for path in folder.glob(pattern)}):
        files[path.name] = asyncio.run(blob.digest(path, look))
        place = blobs / files[path.name].replace(":", "-")
        if not place.exists():  # two files may be the same
            place.symlink_to(path)
    return files


@contextlib.contextmanager
def _serving(importer: Importer, work: Scratch, models: Path) -> Generator[tuple[subprocess.Popen[bytes], Address]]:
    """Run a server that has ``models``, on a free port; what it says goes into the log."""
    address = Address("127.0.0.1", free_port())
    environ = server_environment(address, models, work.folder, os.environ)
    environ["OLLAMA_NOPRUNE"] = "1"  # at its start it would remove blobs that no model has yet
    try:
        process = subprocess.Popen(
            [str(importer.path), "serve"], stdin=subprocess.DEVNULL, env=environ, pass_fds=(work.lock,)
        )
    except OSError as error:
        raise AppError(
            _("Ollama's program cannot be started"), str(error), _("paddock doctor shows what is found now.")
        ) from error
    try:
        yield process, address
    finally:
        end(process)


def _wait_for_answer(process: subprocess.Popen[bytes], address: Address, stop_requested: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_S
    while version_at(address) is None:
        if stop_requested():
            raise Stopped
        try:
            process.wait(_TICK_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
        raise AppError(
            _("Ollama's server did not start"),
            str(process.returncode),
            _("The log has all that it said. `paddock setup ollama` installs a fresh Ollama."),
        )


def _written(models: Path) -> int:
    """Return how many bytes a server has made so far; what was linked is not its own."""
    total = 0
    for path in models.rglob("*"):
        with contextlib.suppress(OSError):
            total += 0 if path.is_symlink() or path.is_dir() else path.stat().st_size
    return total


def _changes(header: Header, folder: ModelFolder, name: str | None) -> Keys:
    """Return what Ollama leaves out of the keys, or says wrongly: it takes no template but that of old transformers.

    UnknownHereError where it does not know how the tokenizer cuts a text, and we do not either.
    """
    keys = Keys()
    keys.text("general.name", name or name_of(folder.path))
    made = type_of(header)
    if made is not None:  # it always says f16
        keys.whole("general.file_type", FILE_TYPES[made])
    tokens = header.array("tokenizer.ggml.tokens")
    if (
        header.text("tokenizer.ggml.model") == "gpt2"
        and header.text("tokenizer.ggml.pre") in ("", "default")
        and tokens
    ):
        keys.text("tokenizer.ggml.pre", read_byte_level(folder, tokens.count).pre)
    if CHAT_TEMPLATE not in header.keys:
        templates = dict(read_special(folder, None, merges=False).chat_templates)
        keys.text(CHAT_TEMPLATE, templates.get("default", ""))
    return keys


def _refused(error: AppError) -> AppError:
    return AppError(
        _("Ollama could not import the model"),
        lines_of([error.title, error.detail]),
        _(
            "Nothing was kept; the log has all that it said. Another Ollama may know this model, or a llama.cpp: the "
            "setting llama_cpp_dir."
        ),
    )
