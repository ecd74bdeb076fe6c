"""Special tokens, merges, the chat template and what is added around a text, as a folder's tokenizer files say them.

Source of the rules: llama.cpp `gguf-py/gguf/vocab.py` ``SpecialVocab`` (archive 11434.0.0), which decides what
llama.cpp's script writes: tokenizer.json first, then tokenizer_config.json, then config.json for roles still open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from backend.convert.added import added_tokens
from backend.convert.folder import Json, ModelFolder
from backend.convert.keys import Keys

_ROLES: Final = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
# The names of the roles in GGUF; "cls" has none.
ID_KEYS: Final = {
    "bos": "tokenizer.ggml.bos_token_id",
    "eos": "tokenizer.ggml.eos_token_id",
    "eot": "tokenizer.ggml.eot_token_id",
    "eom": "tokenizer.ggml.eom_token_id",
    "unk": "tokenizer.ggml.unknown_token_id",
    "sep": "tokenizer.ggml.seperator_token_id",
    "pad": "tokenizer.ggml.padding_token_id",
    "mask": "tokenizer.ggml.mask_token_id",
}
_ADD_KEYS: Final = {role: f"tokenizer.ggml.add_{role}_token" for role in ("bos", "eos", "sep")}
CHAT_TEMPLATE: Final = "tokenizer.chat_template"


@dataclass(slots=True)
class SpecialTokens:
    """What stands in a GGUF beside the list of tokens; ids and flags in the order in which they were found."""

    ids: dict[str, int] = field(default_factory=dict[str, int])
    add: dict[str, bool] = field(default_factory=dict[str, bool])
    merges: Sequence[str] = ()
    chat_templates: tuple[tuple[str, str], ...] = ()
    """Name and text; the nameless one of most models is called "default" """
    lowercase: bool | None = None
    strip_accents: bool | None = None

    def add_keys(self, keys: Keys) -> None:
        """Add the keys, in llama.cpp's order."""
        keys.array("tokenizer.ggml.merges", self.merges)
        for role, number in self.ids.items():
            if role in ID_KEYS:
                keys.whole(ID_KEYS[role], number)
        for role, flag in self.add.items():
            if role in _ADD_KEYS:
                keys.flag(_ADD_KEYS[role], flag)
        self._add_templates(keys)
        if self.lowercase is not None:
            keys.flag("tokenizer.ggml.normalizer.lowercase", self.lowercase)
        if self.strip_accents is not None:
            keys.flag("tokenizer.ggml.normalizer.strip_accents", self.strip_accents)

    def _add_templates(self, keys: Keys) -> None:
        names: list[str] = []
        for raw_name, text in self.chat_templates:
            name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in raw_name)
            if name and name != "default":
                keys.text(f"{CHAT_TEMPLATE}.{name}", text)
                names.append(name)
        keys.array("tokenizer.chat_templates", sorted(set(names)))
        default = next((text for name, text in self.chat_templates if name == "default"), "")
        keys.text(CHAT_TEMPLATE, default)


def read_special(
    folder: ModelFolder, tokenizer: Json | None, *, merges: bool, tokens: int | None = None
) -> SpecialTokens:
    """Return the special tokens of ``folder``, whose tokenizer.json is ``tokenizer``.

    ``merges`` wants those too; ids of ``tokens`` and more are ignored.
    """
    special = SpecialTokens()
    config = folder.json("tokenizer_config.json")
    settings = dict(config) if config is not None else None
    added: dict[str, int] = {}
    roles: list[str] = list(_ROLES)
    if tokenizer is not None:
        if merges:
            special.merges = _merges(tokenizer) or _merges_txt(folder)
        _read_normalizer(tokenizer.get("normalizer"), special)
        added = {token.content: token.id for token in added_tokens(folder, tokenizer)}
        _read_post_processor(tokenizer.get("post_processor"), settings, special, roles)
    if settings is not None:
        special.chat_templates = _chat_templates(folder, settings)
        _read_roles(settings, roles, added, special, tokens)
    _read_config_ids(folder.config or {}, roles, special, tokens)
    return special


def _objects(value: object) -> Iterator[Json]:
    for item in cast("list[object]", value) if isinstance(value, list) else []:
        if isinstance(item, dict):
            yield cast("Json", item)


def _set(special: SpecialTokens, role: str, number: object, tokens: int | None) -> None:
    if isinstance(number, int) and not isinstance(number, bool) and number >= 0 and (tokens is None or number < tokens):
        special.ids.setdefault(role, number)


def _read_roles(
    settings: Json, roles: Sequence[str], added: Mapping[str, int], special: SpecialTokens, tokens: int | None
) -> None:
    for role in roles:
        flag = settings.get(f"add_{role}_token")
        if isinstance(flag, bool):
            special.add.setdefault(role, flag)
        entry = settings.get(f"{role}_token")
        content = cast("Json", entry).get("content") if isinstance(entry, dict) else entry
        if isinstance(content, str):
            _set(special, role, added.get(content), tokens)


def _read_config_ids(config: Json, roles: Sequence[str], special: SpecialTokens, tokens: int | None) -> None:
    inner = config.get("text_config")
    for role in roles:
        number = config.get(f"{role}_token_id")
        if number is None and isinstance(inner, dict):
            number = cast("Json", inner).get(f"{role}_token_id")
        _set(special, role, number, tokens)


def _merges(tokenizer: Json) -> Sequence[str]:
    """Return the merges as ``"left right"``; a space inside a part is written as Ġ, the byte-level space."""
    model = tokenizer.get("model")
    merges = cast("Json", model).get("merges") if isinstance(model, dict) else None
    if not isinstance(merges, list) or not merges:
        return ()
    if isinstance(merges[0], str):
        return cast("list[str]", merges)
    pairs = cast("list[list[str]]", merges)
    joined = list(map(" ".join, pairs))
    if "".join(joined).count(" ") == len(pairs):  # no space within a part
        return joined
    return [" ".join(part.replace(" ", "Ġ") for part in pair) for pair in pairs]


def _merges_txt(folder: ModelFolder) -> Sequence[str]:
    if not folder.has("merges.txt"):
        return ()
    lines = folder.text("merges.txt").splitlines()
    if lines and lines[0].strip().startswith("#"):
        lines = lines[1:]
    pairs = [line.split() for line in lines]
    return [" ".join(pair) for pair in pairs if len(pair) == 2]


def _read_normalizer(value: object, special: SpecialTokens) -> None:
    if not isinstance(value, dict):
        return
    normalizer = cast("Json", value)
    match normalizer.get("type"):
        case "Lowercase":
            special.lowercase = True
        case "StripAccents":
            special.strip_accents = True
        case "BertNormalizer":
            lowercase, strip = normalizer.get("lowercase"), normalizer.get("strip_accents")
            special.lowercase = lowercase if isinstance(lowercase, bool) else special.lowercase
            special.strip_accents = strip if isinstance(strip, bool) else special.strip_accents
        case "Sequence":
            for part in _objects(normalizer.get("normalizers")):
                _read_normalizer(part, special)
        case _:
            pass


def _read_post_processor(
    value: object, settings: dict[str, object] | None, special: SpecialTokens, roles: list[str]
) -> None:
    """Find what the tokenizer puts before and behind a text, from its post-processor."""
    if not isinstance(value, dict):
        return
    names = _Names(settings, roles)
    outer = cast("Json", value)
    inner = list(_objects(outer.get("processors")))
    for processor in inner if "processors" in outer else [outer]:
        match processor.get("type"):
            case "ByteLevel":
                special.add.setdefault("bos", False)
                special.add.setdefault("eos", False)
            case "RobertaProcessing":
                special.add.update(bos=True, eos=True, sep=True)
                names.from_roberta(processor)
            case "TemplateProcessing":
                _read_template(processor, names, special)
            case _:
                pass


class _Names:
    """The texts of the special tokens as tokenizer_config.json has them, completed by the post-processor."""

    def __init__(self, settings: dict[str, object] | None, roles: list[str]) -> None:
        self.settings = settings
        self.roles = roles
        self.bos, self.cls = self._get("bos"), self._get("cls")
        self.eos, self.sep = self._get("eos"), self._get("sep")
        if not self.bos and self.cls:
            self.bos = self.put("bos", self.cls)
        if not self.eos and self.sep:
            self.eos = self.put("eos", self.sep)

    def _get(self, role: str) -> object:
        return (self.settings or {}).get(f"{role}_token")

    def put(self, role: str, text: object) -> object:
        """Write a role into the settings, where there are any; return ``text``."""
        if self.settings is not None:
            self.settings[f"{role}_token"] = text
        return text

    def from_roberta(self, processor: Json) -> None:
        """Take cls and sep from a RobertaProcessing where tokenizer_config.json has none."""
        for role in ("cls", "sep"):
            entry = processor.get(role)
            if not getattr(self, role) and self.settings is not None and isinstance(entry, list) and entry:
                setattr(self, role, self.put(role, cast("list[object]", entry)[0]))

    def first(self, text: object) -> bool:
        """Take note of the token before a text; say whether it is the bos (or cls)."""
        if self.settings is None:
            self.bos = text
        elif text not in (self.bos, self.cls):
            if not self.bos:
                self.bos = self.put("bos", text)
            if not self.cls:
                self.cls = self.put("cls", text)
        return text in (self.bos, self.cls)

    def last(self, text: object) -> bool:
        """Take note of the token behind a text: it is the real eos, the configured one becomes the end of a turn."""
        if self.settings is not None and text != self.eos:
            role = next((role for role in ("eot", "eom") if role not in self.roles), None)
            if role:
                self.roles.append(role)
                self.put(role, self.eos)
            self.put("eos", text)
        self.eos = text
        return True


def _special_of(item: Json) -> object:
    entry = item.get("SpecialToken")
    return cast("Json", entry).get("id") if isinstance(entry, dict) else None


def _read_template(processor: Json, names: _Names, special: SpecialTokens) -> None:
    single = list(_objects(processor.get("single")))
    first = last = None
    if len(single) > 1:
        first, last = _special_of(single[0]), _special_of(single[-1])
        if first:
            special.add["bos"] = names.first(first)
        if last:
            special.add["eos"] = names.last(last)
    pair = list(_objects(processor.get("pair")))
    begin = 1 if pair and first and _special_of(pair[0]) == first else 0
    end = -1 if pair and last and _special_of(pair[-1]) == last else None
    pair = pair[begin:end]
    middle = pair[1:-1]
    if middle and _sequence(pair[0]) == "A" and _sequence(pair[-1]) == "B":
        separators = (names.sep, names.eos)
        found = _special_of(middle[0])
        add = bool(found) and found in separators and not last
        if len(middle) == 2:
            second = _special_of(middle[1])
            add = add or (bool(second) and second in separators)
        special.add["sep"] = add
        if add and not names.sep:
            names.put("sep", names.eos)


def _sequence(item: Json) -> object:
    entry = item.get("Sequence")
    return cast("Json", entry).get("id") if isinstance(entry, dict) else None


def _chat_templates(folder: ModelFolder, settings: Json) -> tuple[tuple[str, str], ...]:
    """Return the templates: tokenizer_config.json's own, else chat_template.jinja with its companions, else .json."""
    own = settings.get("chat_template", ...)
    if isinstance(own, str):
        return (("default", own),)
    if isinstance(own, list):
        return tuple(
            (str(entry.get("name", "")), str(entry["template"]))
            for entry in _objects(cast("list[object]", own))
            if entry.get("template") is not None
        )
    if own is not ...:  # null, or a form that nobody knows
        return ()
    if folder.has("chat_template.jinja"):
        more = sorted((folder.path / "additional_chat_templates").glob("*.jinja"))
        return (
            ("default", folder.text("chat_template.jinja")),
            *((file.stem, folder.text(f"additional_chat_templates/{file.name}")) for file in more),
        )
    other = (folder.json("chat_template.json") or {}).get("chat_template")
    return (("default", other),) if isinstance(other, str) else ()
