"""``paddock gguf``: what is in a GGUF file, and whether it agrees with itself. Safe on files made to do harm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from backend.convert.sidecar import read_sidecar
from data.errors import AppError, RequestError
from data.gguf import Header, Problem, check, facts, read_header
from data.i18n import _
from data.size import size
from data.text import inert, shell_word
from tui.commands.console import Console, columns
from tui.commands.form import Group, argument, command, common_options, flag
from tui.commands.session import Session
from tui.inspecting import extent

_VALUE_CHARACTERS: Final = 200


@command(
    "show",
    _(
        "Show what a GGUF consists of: keys, tensors, chat template, tokenizer, sizes, contradictions.\n\nLong arrays "
        "and texts are cut short. With --keys, --tensors or --template only these parts are shown, the template as it "
        "is. Only the header is read, never the weights."
    ),
    argument("file", path=True),
    flag("--keys", about=_("Show the keys.")),
    flag("--tensors", about=_("Show the tensors.")),
    flag("--template", about=_("Show the chat template.")),
)
def show(session: Session, file: Path, keys: bool, tensors: bool, template: bool) -> int:
    """Show one file."""
    console = session.console
    header = read_header(_existing(file))
    whole = not (keys or tensors or template)
    console.emit(
        _as_json(header, keys=keys or whole, tensors=tensors or whole, template=template or whole, whole=whole)
    )
    if console.as_json:
        return 0
    if whole:
        _say_summary(console, header)
    if keys:
        _say_keys(console, header)
    if tensors:
        _say_tensors(console, header)
    if template:
        _say_templates(console, header)
    return 0


@command(
    "check",
    _(
        "Check whether a GGUF agrees with itself: status 1 where it does not.\n\nllama.cpp answers some contradictions "
        "with an abort that takes the whole server down; `paddock deploy` makes the same check."
    ),
    argument("file", path=True),
)
def check_file(session: Session, file: Path) -> int:
    """Check one file."""
    console, path = session.console, _existing(file)
    problems = check(path)
    console.emit({"ok": not problems, "file": str(path), "problems": [_problem(problem) for problem in problems]})
    for problem in problems:
        console.say(f"{problem.rule}  {inert(str(problem.message))}")
        console.say(f"  {problem.remedy}")
    if not problems:
        console.say(_("{file} agrees with itself.", file=inert(str(path))))
    return 1 if problems else 0


def _existing(file: Path) -> Path:
    path = file.expanduser().absolute()
    if not path.exists():
        raise RequestError(
            _("There is no such GGUF file"), inert(str(path)), _("`paddock convert` makes a GGUF of a model's folder.")
        )
    return path


def _problem(problem: Problem) -> dict[str, object]:
    return {"rule": problem.rule, "message": problem.message.english(), "remedy": problem.remedy.english()}


def _as_json(header: Header, *, keys: bool, tensors: bool, template: bool, whole: bool) -> dict[str, object]:
    """Return the answer's object; parts that were not asked for are left out."""
    answer: dict[str, object] = {
        "file": str(header.path),
        "bytes": header.size_bytes,
        "version": header.version,
        "architecture": header.architecture,
    }
    if whole:
        tokenizer = facts.tokenizer_of(header)
        answer |= {
            "alignment": header.alignment,
            "data_offset": header.data_offset,
            "types": [share.as_json() for share in facts.shares_of(header)],
            "tokenizer": tokenizer.as_json() if tokenizer else None,
            "problems": [_problem(problem) for problem in check(header)],
            "made": read_sidecar(header.path),
        }
    if keys:
        answer["keys"] = [key.as_json() for key in facts.keys_of(header)]
    if tensors:
        answer["tensors"] = [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "type": tensor.type.name,
                "offset": tensor.offset,
                "bytes": tensor.size_bytes,
            }
            for tensor in header.tensors
        ]
    if template:
        found = facts.templates_of(header)
        answer["template"] = found.pop("", None)
        answer["templates"] = found
    return answer


def _say_summary(console: Console, header: Header) -> None:
    tokenizer = facts.tokenizer_of(header)
    shares = facts.shares_of(header)
    weights = sum(share.weights for share in shares)
    rows = [
        (str(_("File")), f"{header.path}  {size(header.size_bytes)}  GGUF {header.version}"),
        (str(_("Model")), f"{header.architecture or '–'}  {header.text('general.name')}"),
        (str(_("Weights")), str(_("{count} in {tensors} tensors", count=f"{weights:,}", tensors=len(header.tensors)))),
    ]
    rows += [("", f"{share.type_name}  {share.tensors}  {size(share.size_bytes)}") for share in shares]
    if tokenizer is not None:
        about = _(
            "{model}, rule {pre}: {tokens} tokens, {merges} merges",
            model=tokenizer.model or "–",
            pre=tokenizer.pre or "–",
            tokens=f"{tokenizer.tokens:,}",
            merges=f"{tokenizer.merges:,}",
        )
        rows.append((str(_("Tokenizer")), str(about)))
        rows += [("", f"{each.role}  {each.id}  {each.text or '–'}") for each in tokenizer.specials]
        rows += [("", f"{name}  {str(value).lower()}") for name, value in tokenizer.flags]
    for name, text in facts.templates_of(header).items():
        rows.append((str(_("Chat template")), f"{name}  {extent(text)}".strip()))
    rows.append((str(_("Metadata keys")), str(len(header.keys))))
    rows += _origin(read_sidecar(header.path) or {})
    for line in columns((name, _line(text)) for name, text in rows):
        console.say(line)
    _say_problems(console, header)
    console.say(_("`--keys`, `--tensors` and `--template` show them."))


def _origin(made: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return what the sidecar says about where the file comes from."""
    rows: list[tuple[str, str]] = []
    match made:
        case {"source": {"folder": str(folder)}, "made_at": str(moment)}:
            rows.append((str(_("Made from")), f"{folder}  {moment}"))
        case _:
            return []
    match made:
        case {"script": {"program": str(program)}} | {"ollama": {"program": str(program)}}:
            rows.append((str(_("Converted by")), program))
        case _:
            pass
    match made:
        case {"base": {"name": str(base)}} | {"base": {"folder": str(base)}}:
            rows.append((str(_("Base model")), base))
        case _:
            pass
    match made:
        case {"run": {"job": str(job), "template": str(template)}}:
            rows.append((str(_("Trained by")), f"{job}  {template}"))
        case {"run": {"job": str(job)}}:
            rows.append((str(_("Trained by")), job))
        case _:
            pass
    match made:
        case {"training": {"template": str(told)}, "run": {"template": str(trained)}} if told != trained:
            rows.append((str(_("Template")), str(_("{used}, not {trained} as trained", used=told, trained=trained))))
        case {"training": {"template": str(told)}, "run": None}:
            rows.append((str(_("Template")), told))
        case _:
            pass
    return rows


def _say_problems(console: Console, header: Header) -> None:
    problems = check(header)
    if not problems:
        console.say(_("The file agrees with itself."))
    for problem in problems:
        console.say(console.paint(f"{problem.rule}  {inert(str(problem.message))}", "bad"))
        console.say(f"  {problem.remedy}")


def _say_keys(console: Console, header: Header) -> None:
    rows = [(_line(key.name), key.type_name, _line(_shown(key))) for key in facts.keys_of(header)]
    for line in columns(rows) if rows else ():
        console.say(line)


def _shown(key: facts.Key) -> str:
    if not isinstance(key.value, tuple):
        return str(key.value)
    more = f" … ({key.count:,})" if key.count and key.count > len(key.value) else ""
    return f"[{', '.join(map(str, key.value))}]{more}"


def _say_tensors(console: Console, header: Header) -> None:
    rows = [
        (_line(tensor.name), tensor.type.name, " × ".join(map(str, tensor.shape)), size(tensor.size_bytes))
        for tensor in header.tensors
    ]
    for line in columns(rows, right=frozenset({3})) if rows else ():
        console.say(line)


def _say_templates(console: Console, header: Header) -> None:
    found = facts.templates_of(header)
    if not found:
        raise AppError(
            _("The file has no chat template"),
            inert(str(header.path)),
            _("Give one when it is deployed: `paddock deploy {file} NAME --template T`", file=shell_word(header.path)),
        )
    for name, text in found.items():
        if name:
            console.say(f"# {name}")
        console.say(inert(text))


def _line(text: str) -> str:
    """Return one line that a terminal shows and does not obey."""
    shown = text[: _VALUE_CHARACTERS + 1].replace("\r", "\\r").replace("\n", "\\n")
    cut = shown if len(text) <= _VALUE_CHARACTERS else shown[:_VALUE_CHARACTERS] + "…"
    return inert(cut)


gguf: Final = Group(
    "gguf",
    {
        "show": ("tui.commands.gguf:show", _("Show what a GGUF consists of.")),
        "check": ("tui.commands.gguf:check_file", _("Check whether a GGUF agrees with itself.")),
    },
    about=_("Look into GGUF files."),
    params=common_options(),
)
