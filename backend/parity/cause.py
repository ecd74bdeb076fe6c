"""Say in words why a prompt differs: the usual causes, each known by what it does to the text and the tokens."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Final

from backend.parity import in_force, system_prompt
from backend.parity.asked import Served
from backend.parity.compare import Cause, Verdict
from backend.parity.evidence import OTHER_TEMPLATE, Evidence, because, between, short
from backend.parity.expected import Expected
from backend.parity.tokenizer import Runner
from backend.parity.toolloss import loss_of
from data.i18n import _

_THINK: Final = re.compile(r"<think>.*?</think>|</?think>", re.DOTALL)
_DATE: Final = re.compile(r"Cutting Knowledge Date|Today Date|\b\d{1,2} [A-Z][a-z]{2} 20\d\d\b")


def explained(verdict: Verdict, expected: Expected, served: Served, runner: Runner) -> Verdict:
    """Return ``verdict`` with its cause."""
    if verdict.parting is None:
        return verdict
    evidence = Evidence(verdict.case, verdict.expected, verdict.actual, verdict.parting, expected, served, runner)
    cause = next((found for rule in _RULES if (found := rule(evidence)) is not None), None)
    return dataclasses.replace(verdict, cause=cause)


def _refused(e: Evidence) -> Cause | None:
    if e.trained.error:
        why = _("LLaMA-Factory's template refuses this conversation: {why}", why=e.trained.error)
        remedy = _("It cannot have been trained on; there is nothing to mend.")
        return because("training-refuses", why, remedy, mends=False, is_grave=False)
    if e.sent.error is None:
        return None
    detail = e.sent.error.detail or e.sent.error.title
    if e.case.tools and "does not support tools" in str(detail):
        return because("no-tools", _("The server's template knows no tools, so it refuses conversations with them."))
    return because("server-refuses", _("The server refuses this conversation: {why}", why=detail))


def _two_bos(e: Evidence) -> Cause | None:
    bos = e.runner.vocabulary.bos
    if bos is None or e.sent.ids[:2] != (bos, bos) or e.trained.ids[:2] == (bos, bos):
        return None
    return because(
        "two-bos",
        _(
            "The prompt begins with two BOS tokens ({token}): one is written in the template, and the runner adds one.",
            token=e.runner.vocabulary.text(bos),
        ),
    )


def _bos(e: Evidence) -> Cause | None:
    bos = e.runner.vocabulary.bos
    if bos is None:
        return None
    trained, sent = e.trained.ids[:1] == (bos,), e.sent.ids[:1] == (bos,)
    rest = (e.trained.ids[1:] if trained else e.trained.ids) == (e.sent.ids[1:] if sent else e.sent.ids)
    if trained == sent or not rest:
        return None
    token = e.runner.vocabulary.text(bos)
    if trained:
        return because("no-bos", _("The BOS token {token} that begins every trained prompt is missing.", token=token))
    return because(
        "extra-bos",
        _("The runner puts the BOS token {token} before the prompt, and the training had none.", token=token),
        _("Only the GGUF can say otherwise: convert it again with tokenizer.ggml.add_bos_token = false."),
        mends=False,
    )


def _messages(e: Evidence) -> Cause | None:
    told = [text for text in e.served.messages if text in e.sent.text and text not in e.trained.text]
    if not told:
        return None
    return because(
        "messages",
        _("The Modelfile has MESSAGE commands, which stand before every conversation: {text}", text=short(told[0])),
    )


def _unknown_tokens(e: Evidence) -> Cause | None:
    missing = e.expected.unknown
    if missing and e.trained.text != e.sent.text:
        return because(
            "other-template",
            _(
                "The vocabulary of the GGUF lacks tokens of the template: {tokens}. So this is not the template that "
                "the model was trained with, or they were never added to it.",
                tokens=", ".join(missing),
            ),
            OTHER_TEMPLATE,
            mends=False,
        )
    if not any(token in e.trained.text for token in missing):
        return None
    return because(
        "unknown-tokens",
        _("The vocabulary of the GGUF lacks tokens of the template: {tokens}.", tokens=", ".join(missing)),
        OTHER_TEMPLATE,
        mends=False,
    )


def _seam(e: Evidence) -> Cause | None:
    """Return the cause of blanks between parts, under a tokenizer that puts one before each (see ``seam``)."""
    trained, special = e.trained, e.runner.vocabulary.seams
    if special is None or trained.text == e.sent.text:
        return None
    if _answers_with_blank(e):
        return because(
            "reply-blank",
            _(
                "An answer in the conversation begins with a blank. The model's own replies come with the blank of "
                "their first token, so the template writes none before such an answer, where the training had two."
            ),
            _("No template can tell the two apart. Only answers that begin with a blank are concerned."),
            mends=False,
        )
    if e.sent.text == trained.plain:
        return because(
            "part-blank",
            _(
                "LLaMA-Factory encodes the parts of a conversation one by one, and this tokenizer puts a blank before "
                "each; the server's template writes none between them."
            ),
        )
    return None


def _answers_with_blank(e: Evidence) -> bool:
    """Say whether the sent text is the trained one without the blank before an answer that has one of its own."""
    sent = e.sent.text
    for turn in e.case.turns:
        if turn.role == "assistant" and turn.text.startswith(" "):
            sent = sent.replace(turn.text, f" {turn.text}")
    return sent == e.trained.text


def _cut(e: Evidence) -> Cause | None:
    """Return the cause where a line of Ollama does not know by which rule the vocabulary is cut."""
    if not e.runner.cuts_otherwise or e.trained.text != e.sent.text:
        return None
    return because(
        "pre-tokenizer",
        _(
            "The text is that of the training, but Ollama {version} does not know how this vocabulary is cut "
            "({rule}) and cuts it by another rule.",
            version=e.served.version,
            rule=e.runner.vocabulary.pre,
        ),
        _("No template can say this: use Ollama 0.30 or newer for this model."),
        mends=False,
    )


def _tokenised(e: Evidence) -> Cause | None:
    if e.parting.character is not None:
        return None
    if e.trained.ids == e.sent.ids:
        return because(
            "counted",
            _(
                "Text and tokens are those of the training, but the server counts {counted} tokens instead of {count}.",
                counted=str(e.sent.counted),
                count=len(e.trained.ids),
            ),
            _("Its tokenizer differs from the keys of the GGUF: convert the model again, or update Ollama."),
            mends=False,
        )
    return because(
        "boundary",
        _(
            "The text is that of the training, but not its tokens: LLaMA-Factory encodes the parts of "
            "a conversation one "
            "by one, the server the whole text, and at this place the two cut it differently."
        ),
        _("No template can say this. The models of this family live with it; it matters little."),
        mends=False,
        is_grave=False,
    )


def _date(e: Evidence) -> Cause | None:
    extra = between(e.trained.text, e.sent.text)[1]
    if not _DATE.search(extra) or _DATE.search(e.trained.text):
        return None
    return because("date", _("The server adds a block with dates that the model was never trained on."))


def _thinking(e: Evidence) -> Cause | None:
    trained, sent = e.trained.text, e.sent.text
    if len(_THINK.findall(trained)) == len(_THINK.findall(sent)) or _bare(trained) != _bare(sent):
        return None
    if len(trained) > len(sent):
        return because("no-thought", _("The empty thought that stands before an answer without thinking is missing."))
    return because("thinking", _("The server opens or closes a thought where the training had none."))


def _bare(text: str) -> str:
    """Return ``text`` without thoughts and blanks."""
    return "".join(_THINK.sub("", text).split())


def _blanks(e: Evidence) -> Cause | None:
    trained, sent = e.trained.text, e.sent.text
    if "".join(trained.split()) != "".join(sent.split()):
        return None
    lines = sent.count("\n") - trained.count("\n")
    if lines > 0:
        return because("line-too-many", _("The server writes {count} line ends more than the training.", count=lines))
    if lines < 0:
        return because("line-too-few", _("The server writes {count} line ends less than the training.", count=-lines))
    return because("blanks", _("Blanks differ: the server's template cuts off or adds some."))


def _tools_lost(e: Evidence) -> Cause | None:
    loss = loss_of(e.case)
    apart = between(e.trained.text, e.sent.text)[0]
    if not loss or (e.case.system and e.case.system in apart) or not loss.explains(e.trained.text, e.sent.text):
        return None
    return because(
        "tools-lost",
        _("Ollama loses a part of the tools before any template sees them: {what}.", what=loss.message()),
        _(
            "No template can bring it back. Tools whose schemas do without these keys, with properties in the order "
            "of their names and whole numbers without a point, are sent as they were trained."
        ),
        mends=False,
    )


def _tools(e: Evidence) -> Cause | None:
    if not e.case.tools:
        return None
    names = [str(tool.get("name")) for tool in e.case.tools]
    if not any(name in e.sent.text for name in names):
        return because("tools-missing", _("The tools are not in the prompt: the server's template knows none."))
    return because("tools", _("The server describes tools, calls or their results in another form than the training."))


def _roles(e: Evidence) -> Cause | None:
    """Return the cause of everything else: another template."""
    trained, sent = between(e.trained.text, e.sent.text)
    return because(
        "template",
        _(
            "The server's template is another one than the training's: it writes {sent} where the training wrote "
            "{trained}.",
            sent=repr(short(sent)),
            trained=repr(short(trained)),
        ),
    )


_RULES: Final[tuple[Callable[[Evidence], Cause | None], ...]] = (
    _refused,
    _unknown_tokens,
    _bos,
    in_force.renderer,
    in_force.raw,
    _two_bos,
    in_force.overridden,
    _messages,
    _cut,
    _seam,
    _tokenised,
    _tools_lost,
    _date,
    system_prompt.system,
    _thinking,
    _blanks,
    _tools,
    _roles,
)
