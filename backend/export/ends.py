"""The tokens with which a template ends an answer, looked for in a model before any job: no proof holds without them.

LLaMA-Factory's export gives the tokens that its template lacks to the tokenizer of the merge, and no row for them to
the model (``fix_special_tokens`` in its ``data/template.py``). So a merge is judged by what the training had.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from backend.convert.folder import Json, read_json
from backend.convert.tokenizer_json import LIMITS
from backend.convert.vocabulary import TOKENIZER_JSON
from backend.export.plan import ExportPlan
from backend.lf.hub import local_model
from backend.parity.expression import Tokens, eos_of
from backend.parity.stops import end_of_turn, stops
from backend.parity.template import Template, Templates
from backend.parity.training import tokens_of, tokens_of_folder
from backend.parity.vocabulary import from_header
from data.errors import AppError, RequestError
from data.gguf import read_header
from data.i18n import Message, _

_MORE_FILES: Final = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def require_in_gguf(template: Template, gguf: Path) -> None:
    """Raise RequestError where ``gguf`` lacks a token with which ``template`` ends an answer."""
    try:
        vocabulary = from_header(read_header(gguf))
    except AppError as error:
        raise RequestError(error.title, error.detail, error.hint) from error
    ends = _ends(template, tokens_of(template, vocabulary))
    remedy = _(
        "Name the template that it was trained with, or convert the merged model again. --unproven publishes it all "
        "the same."
    )
    for token in ends:
        if token not in vocabulary.tokens:
            raise _lacking(template, token, gguf.name, remedy)


def require_in_training(template: Template, plan: ExportPlan, known: Templates) -> None:
    """Raise RequestError where ``template`` is not the training's and ends an answer with a token that it had not.

    Looks into the tokenizer that LLaMA-Factory saved with the weights or with their run, and that of the base. Nothing
    is raised where none of them can be read, or ``known`` has no template of the training's name.
    """
    facts = plan.source.facts
    trained = known.by_name.get(facts.template or "")
    if trained is None or trained.name == template.name:
        return
    base = local_model(plan.base) if plan.base else None
    places = (plan.source.path, Path(facts.origin).parent, *([base] if base else []))
    texts = functools.cache(_texts_of)  # some have megabytes of them
    folder = next((place for place in places if texts(place)), None)
    if folder is None:
        return
    tokens = tokens_of_folder(trained, folder)
    own = stops(trained, tokens)
    ends = _ends(template, dataclasses.replace(tokens, eos=eos_of(template, tokens.eos)))
    for token in ends:
        if token not in own and not any(token in texts(place) for place in places):
            remedy = _("Take the template that it was trained with: {name}.", name=trained.name)
            if plan.deployment is not None:
                remedy = _("{remedy} --unproven starts it all the same.", remedy=remedy)
            raise _lacking(template, token, f"{folder.name}/{TOKENIZER_JSON}", remedy)


def _ends(template: Template, tokens: Tokens) -> tuple[str, ...]:
    return tuple(text for text in (tokens.eos, end_of_turn(template, tokens)) if text is not None)


def _lacking(template: Template, token: str, file: str, remedy: Message) -> RequestError:
    return RequestError(
        _("{file} has no token {token}", file=file, token=token),
        _("The template {name} ends an answer with it.", name=template.name),
        remedy,
    )


def _texts_of(folder: Path) -> frozenset[str]:
    """Return all tokens that the tokenizer's files in ``folder`` name, and their other texts; empty for none."""
    try:
        description = read_json(folder / TOKENIZER_JSON, limits=LIMITS)
        more = [read_json(folder / name) for name in _MORE_FILES]
    except RequestError:  # a job that needs it says what is wrong with it
        return frozenset()
    if description is None:
        return frozenset()
    model = description.get("model")
    bare = {**cast("Json", model), "merges": None} if isinstance(model, dict) else None  # many, and no tokens
    return frozenset(_texts([{**description, "model": bare}, *more]))


def _texts(value: object) -> Iterator[str]:
    left = [value]
    while left:
        match one := left.pop():
            case str():
                yield one
            case dict():
                entries = cast("Json", one)
                yield from entries
                left += entries.values()
            case list():
                left += cast("list[object]", one)
            case _:
                pass
