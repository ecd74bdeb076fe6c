"""The tokens that are added to a model's vocabulary, under the ids that a training meets them by.

The library gives a token that the model's vocabulary lacks the next free id, whatever the file says: holes between the
ids of a file are closed. Sources: huggingface/tokenizers `tokenizers/src/tokenizer/added_vocabulary.rs` ``add_tokens``;
transformers 5.6 `tokenization_utils_base.py` ``_from_pretrained`` and `tokenization_utils_tokenizers.py`, which adds
the tokens of tokenizer.json by their ids to the tokenizers that it has a class of its own for, else as they stand;
behind them those that only tokenizer_config.json has: the numbered ones, the ones with a role, then the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Final, cast

from backend.convert.folder import Json, ModelFolder

_ROLE_KEYS: Final = tuple(f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_AS_THEY_STAND: Final = ("PreTrainedTokenizerFast", "TokenizersBackend")
_END_OF_TEXT: Final = "<|endoftext|>"
_DEFAULTS: Final[Mapping[str, Json]] = {
    "Qwen2Tokenizer": dict.fromkeys(("eos_token", "unk_token", "pad_token"), _END_OF_TEXT),
    "GPT2Tokenizer": dict.fromkeys(("bos_token", "eos_token", "unk_token"), _END_OF_TEXT),
    "CodeGenTokenizer": dict.fromkeys(("bos_token", "eos_token", "unk_token"), _END_OF_TEXT),
    "GPTNeoXTokenizer": {
        **dict.fromkeys(("bos_token", "eos_token", "unk_token"), _END_OF_TEXT),
        "pad_token": "<|padding|>",
    },
    "CohereTokenizer": {
        "bos_token": "<BOS_TOKEN>",
        "eos_token": "<|END_OF_TURN_TOKEN|>",
        "unk_token": "<UNK>",
        "sep_token": "<SEP>",
        "pad_token": "<PAD>",
        "cls_token": "<CLS>",
        "mask_token": "<MASK_TOKEN>",
    },
}
"""The classes that make a byte-level BPE anew, of its vocabulary and merges, and the roles that they give themselves"""
_CLASSES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "qwen2_audio", "qwen2_5_omni", "internvl"),
            *("qwen3", "qwen3_moe", "qwen3_next", "qwen3_vl", "qwen3_vl_moe", "qwen3_omni_moe"),
        ),
        "Qwen2Tokenizer",
    ),
    **dict.fromkeys(("cohere", "cohere2", "aya_vision"), "CohereTokenizer"),
    **dict.fromkeys(
        (
            *("gpt2", "gpt_bigcode", "gpt_neo", "gptj", "codegen", "dbrx", "phi", "starcoder2", "flex_olmo"),
            *("granite", "granitemoe", "granitemoehybrid", "granitemoeshared"),
        ),
        "GPT2Tokenizer",
    ),
    **dict.fromkeys(("gpt_neox", "mpt", "olmo", "olmo2", "olmoe", "stablelm"), "GPTNeoXTokenizer"),
    **dict.fromkeys(("gemma", "gemma2", "gemma3", "gemma3_text"), "GemmaTokenizer"),
}
"""Which class a model_type has whose tokenizer_config.json names none; transformers 5.6 `tokenization_auto.py`"""
_MARK_ALL: Final = ("Qwen2Tokenizer", "CohereTokenizer")
"""Those of them that make every token with a role, and every extra one, a special one"""


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is found as a whole before a text is cut."""

    id: int
    content: str
    normalized: bool
    special: bool


def added_tokens(folder: ModelFolder, description: Json | None) -> tuple[AddedToken, ...]:
    """Return the added tokens that ``description``, tokenizer.json of ``folder``, has itself, with its marks."""
    listed: dict[str, AddedToken] = {}
    for token in _listed(description or {}):
        listed.setdefault(token.content, token)
    ids = {token.content: token.id for token in trained_tokens(folder, description)}
    return tuple(replace(token, id=ids[text]) for text, token in listed.items() if text in ids)


def trained_tokens(folder: ModelFolder, description: Json | None) -> tuple[AddedToken, ...]:
    """Return all tokens that a training has beside those of the model's vocabulary, whichever file of ``folder`` adds.

    A token with a role is among them where it is in the vocabulary as well, under its id there.
    """
    known, size = _vocabulary(description or {})
    following = count(size)
    found: dict[str, AddedToken] = {}
    for token in _in_order(folder, description or {}):
        if token.content in found:
            number = found[token.content].id
        else:
            number = known[token.content] if token.content in known else next(following)
        found[token.content] = replace(token, id=number)
    return tuple(found.values())


def _in_order(folder: ModelFolder, description: Json) -> Iterator[AddedToken]:
    """Yield what transformers adds, in its order; the marks of the last of equal tokens count."""
    settings = folder.json("tokenizer_config.json") or {}
    listed = list(_listed(description))
    if "added_tokens_decoder" in settings:
        numbered = _numbered(settings["added_tokens_decoder"])
    else:  # saved by an older version, which had more files
        older = folder.json("special_tokens_map.json") or {}
        settings = {**older, **settings, **{key: older[key] for key in _ROLE_KEYS if key in older}}
        numbered = {**_plain(folder, settings), **{token.id: token for token in listed}}
    usual = _CLASSES.get(str((folder.config or {}).get("model_type")), _AS_THEY_STAND[-1])
    name = str(settings.get("tokenizer_class") or usual)
    own = _DEFAULTS.get(name.removesuffix("Fast"))
    defaults = _padding(description) if own is None else own
    named, extra = list(_named({**defaults, **settings})), list(_extra(settings))
    roles = {token.content for token in named}
    if own is None:
        yield from listed if name in _AS_THEY_STAND else sorted(listed, key=lambda token: token.id)
    behind = [numbered[number] for number in sorted(numbered)]
    taken = {token.content for token in (*behind, *(() if own else listed))}
    more = (token for token in (*named, *extra) if token.content not in taken)
    yield from (replace(token, special=token.special or token.content in roles) for token in (*behind, *more))
    if name.removesuffix("Fast") in _MARK_ALL:
        yield from (replace(token, normalized=False, special=True) for token in (*named, *extra))


def _listed(description: Json) -> Iterator[AddedToken]:
    entries = description.get("added_tokens")
    for item in cast("list[object]", entries if isinstance(entries, list) else []):
        entry: Json = cast("Json", item) if isinstance(item, dict) else {}
        number, token = entry.get("id"), _token(entry)
        if token is not None and isinstance(number, int) and number >= 0:
            yield replace(token, id=number)


def _numbered(decoder: object) -> dict[int, AddedToken]:
    entries = cast("dict[str, object]", decoder if isinstance(decoder, dict) else {})
    found = ((key, _token(entry)) for key, entry in entries.items() if key.isdecimal() and not isinstance(entry, str))
    return {int(key): token for key, token in found if token is not None}


def _plain(folder: ModelFolder, settings: Json) -> dict[int, AddedToken]:
    """Return the tokens of added_tokens.json, which has their ids only."""
    special = {token.content for token in (*_named(settings), *_extra(settings))}
    return {
        number: AddedToken(number, text, text not in special, text in special)
        for text, number in (folder.json("added_tokens.json") or {}).items()
        if isinstance(number, int) and text
    }


def _named(settings: Json) -> Iterator[AddedToken]:
    """Yield the tokens with a role: the usual ones, then those that a model has names of its own for."""
    more = [value for key, value in settings.items() if key.endswith("_token") and key not in _ROLE_KEYS]
    named = _extra_entry(settings)
    if isinstance(named, dict):
        more += cast("Json", named).values()
    for value in (*(settings.get(key) for key in _ROLE_KEYS), *more):
        token = _token(value)
        if token is not None:
            yield replace(token, special=True)


def _extra(settings: Json) -> Iterator[AddedToken]:
    entries = _extra_entry(settings)
    for value in cast("list[object]", entries if isinstance(entries, list) else []):
        token = _token(value)
        if token is not None:
            yield token


def _extra_entry(settings: Json) -> object:
    return settings.get("extra_special_tokens", settings.get("additional_special_tokens"))


def _padding(description: Json) -> Json:
    padding = description.get("padding")
    return {"pad_token": cast("Json", padding).get("pad_token")} if isinstance(padding, dict) else {}


def _token(value: object) -> AddedToken | None:
    """Return a token, whose id is not known yet, from its text or from its text and marks."""
    if isinstance(value, str):
        return AddedToken(-1, value, normalized=False, special=True) if value else None
    entry: Json = cast("Json", value) if isinstance(value, dict) else {}
    content, special = entry.get("content"), entry.get("special") is True
    if not isinstance(content, str) or not content:
        return None
    normalized = entry.get("normalized", not special) is True
    return AddedToken(-1, content, normalized, special)


def _vocabulary(description: Json) -> tuple[Mapping[str, int], int]:
    """Return the ids of the model's own tokens, and how many there are, which need not be behind the highest."""
    model = description.get("model")
    vocab = cast("Json", model).get("vocab") if isinstance(model, dict) else None
    if isinstance(vocab, dict):
        return cast("dict[str, int]", vocab), len(cast("Json", vocab))
    pairs = cast("list[object]", vocab if isinstance(vocab, list) else [])
    texts = [cast("list[object]", pair)[0] if isinstance(pair, list) and pair else None for pair in pairs]
    return {text: number for number, text in enumerate(texts) if isinstance(text, str)}, len(pairs)
