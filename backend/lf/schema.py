"""Which arguments the installed LLaMA-Factory knows: a snapshot in the package, and a cache made by the bridge."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from backend.lf.command import Verb
from backend.lf.find import LlamaFactory
from backend.lf.kept import ask_and_keep, recall
from data.i18n import Message, _
from data.paths import Paths

_SNAPSHOT: Final = Path(__file__).with_name("arguments-0.9.5.json")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument as LLaMA-Factory declares it."""

    name: str
    group: str
    """model, data, training, finetuning or generating"""
    types: tuple[str, ...]
    """Of bool, int, float, str, dict, any"""
    is_list: bool
    nullable: bool
    choices: tuple[object, ...]
    default: object
    help: str


@dataclass(frozen=True, slots=True)
class Schema:
    """All arguments of one pair of versions."""

    llamafactory: str
    transformers: str
    verbs: Mapping[str, Mapping[str, Argument]]
    templates: frozenset[str]
    exact: bool
    """False when the installed versions are others than these: a key that is missing here may exist there."""

    def arguments(self, verb: Verb) -> Mapping[str, Argument]:
        """Return the arguments that ``llamafactory-cli VERB`` accepts, by name."""
        return self.verbs[verb]

    def nearest(self, name: str, verb: Verb) -> str | None:
        """Return the known argument that ``name`` was probably meant to be."""
        wanted = name.lower().lstrip("-").replace("-", "_")
        if wanted in self.verbs[verb]:
            return wanted
        close = difflib.get_close_matches(wanted, self.verbs[verb], n=1, cutoff=0.6)
        return close[0] if close else None


def template_remedy(name: str, names: Iterable[str]) -> Message:
    """Say which of the templates ``names`` were probably meant, and what lists all of them: they are many."""
    known = sorted(names)
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    if not close:
        return _("`paddock templates` lists all {count}; use the one of the model's family.", count=len(known))
    return _("Did you mean {names}? `paddock templates` lists all {count}.", names=", ".join(close), count=len(known))


@functools.cache
def snapshot() -> Schema:
    """Return the arguments of the pinned versions, from the package's own file."""
    return _parse(json.loads(_SNAPSHOT.read_bytes()))


def schema_for(lf: LlamaFactory | None, paths: Paths) -> Schema:
    """Return what is known of ``lf`` without waiting: its cache, else the snapshot (``exact`` for its versions)."""
    known = snapshot()
    if lf is None:
        return known
    pair = (lf.version, lf.packages.get("transformers", ""))
    if pair == (known.llamafactory, known.transformers):
        return known
    cached = recall(cache_file(lf, paths), _parse)
    if cached is not None and pair == (cached.llamafactory, cached.transformers):
        return cached
    return Schema(known.llamafactory, known.transformers, known.verbs, known.templates, exact=False)


def cache_file(lf: LlamaFactory, paths: Paths) -> Path:
    """Return where the answer of ``lf``'s bridge is kept: by version and path."""
    place = hashlib.sha256(os.fsencode(lf.python)).hexdigest()[:12]
    return paths.cache / "llamafactory" / f"arguments-{lf.version}-{place}.json"


def refresh(lf: LlamaFactory, paths: Paths) -> Schema:
    """Ask the installed LLaMA-Factory for its arguments (10 to 30 s), keep the answer, return it; raises AppError."""
    title = _("LLaMA-Factory could not be asked for its arguments")
    return ask_and_keep(lf, "arguments.py", title, cache_file(lf, paths), _parse)


def has_jit_checkpoint(lf: LlamaFactory, schema: Schema | None = None) -> bool:
    """Say whether the installed transformers can write a checkpoint on SIGTERM (``enable_jit_checkpoint``).

    An exact schema answers; else the installed source is read (never imported).
    """
    if schema is not None and schema.exact:
        return "enable_jit_checkpoint" in schema.arguments("train")
    source = lf.file("transformers", "training_args.py")
    if source is None:
        return False
    return re.search(rb"^    enable_jit_checkpoint\s*:", source.read_bytes(), re.MULTILINE) is not None


def _parse(raw: object) -> Schema:
    value = cast("Mapping[str, object]", raw)
    groups = cast("Mapping[str, Mapping[str, Mapping[str, object]]]", value["groups"])
    verbs: dict[str, Mapping[str, Argument]] = {}
    for verb, names in cast("Mapping[str, list[str]]", value["verbs"]).items():
        verbs[verb] = {
            name: Argument(
                name=name,
                group=group,
                types=tuple(cast("list[str]", one["types"])),
                is_list=bool(one["list"]),
                nullable=bool(one["nullable"]),
                choices=tuple(cast("list[object] | None", one["choices"]) or ()),
                default=one["default"],
                help=str(one["help"]),
            )
            for group in names
            for name, one in groups[group].items()
        }
    return Schema(
        llamafactory=str(value["llamafactory"]),
        transformers=str(value["transformers"]),
        verbs=verbs,
        templates=frozenset(cast("list[str]", value["templates"])),
        exact=True,
    )
