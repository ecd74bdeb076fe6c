"""The Go TEMPLATE that makes Ollama write what LLaMA-Factory trained on.

Made of the template's slots, without any trimming of blanks. What Ollama does before a template sees a conversation
(ollama ``template/template.go``): system messages are joined into ``.System`` and stay in ``.Messages`` as well;
neighbours with one role are joined, but for those of tools.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.parity.expression import OBSERVATIONS, Tokens, check, parts, starts_with_bos, tools_of
from backend.parity.go_text import literal, quoted, when, without_thoughts
from backend.parity.go_tools import calls_text, definitions, tools_text
from backend.parity.gochat import GoChat
from backend.parity.seam import begins_special, flag, joined
from backend.parity.select import prefers_jinja
from backend.parity.template import Slots, Template
from data.i18n import Message


@dataclass(frozen=True, slots=True)
class GoTemplate:
    """The text, and what it leaves out."""

    text: str
    without_tools: Message | None
    """Why it knows no tools; None where it does"""


def go_template(template: Template, tokens: Tokens, jinja: str = "") -> GoTemplate:
    """Return the TEMPLATE for a GGUF with these tokens; raises InexpressibleError.

    ``jinja`` is another template in the GGUF, which Ollama from 0.30 on takes instead where it shows more abilities: a
    training without thoughts then gets a place for them that stays empty.
    """
    check(template)
    made = _Writer(template, tokens).write()
    if jinja and prefers_jinja(jinja, GoChat(made.text)):
        thinking = _Writer(template, tokens, shows_thoughts=True).write()
        if not prefers_jinja(jinja, GoChat(thinking.text)):
            return thinking
    return made


class _Writer:
    def __init__(self, template: Template, tokens: Tokens, *, shows_thoughts: bool = False) -> None:
        self._template = template
        self._shows_thoughts = shows_thoughts
        self._tokens = tokens
        found = tools_of(template, tokens)
        self._tools = None if isinstance(found, Message) else found
        self._without_tools = found if isinstance(found, Message) else None
        self._drops_bos = starts_with_bos(template) if tokens.adds_bos else ""
        default = template.default_system
        self._system = "$system" if default else "$.System"
        self._set_system = f"{{{{ $system := or .System {quoted(default)} }}}}" if default else ""

    def write(self) -> GoTemplate:
        template, tools = self._template, self._tools
        named = definitions(tools.shape, tools.calls) if tools else ""
        prefix = "".join(parts(template.prefix[1:] if self._drops_bos == "prefix" else template.prefix, self._tokens))
        first = "{{ $first := true }}" if self._needs_first else ""
        last = "{{ $last := 0 }}{{ if .Messages }}{{ $last = len (slice .Messages 1) }}{{ end }}"
        text = (
            self._set_system + last + first + self._before_all() + literal(prefix)
            + ("" if template.kind == "fused" else self._system_turn())
            + self._turns() + self._thought_at_the_end() + named
        )  # fmt: skip
        return GoTemplate(text, self._without_tools)

    @property
    def _needs_first(self) -> bool:
        return self._template.kind == "fused" or self._drops_bos == "turn"

    def _before_all(self) -> str:
        special = self._tokens.special
        if special is None:
            return ""
        return f"{{{{ $seam := {flag(self._template.prefix, special)} }}}}"

    def _part(self, slots: Slots, text: str, content: str = "", opening: str = "") -> str:
        """Return the text of a part with the blank before it that its tokens need; see ``seam``.

        For parts that begin with the content, ``content`` is the condition under which that wants the blank, and
        ``opening`` what it begins with, where that is known.
        """
        return joined(
            text,
            slots,
            self._tokens.special,
            opening=opening,
            blank=lambda start: when(f"and $seam {content}" if start == "content" and content else "$seam", " "),
            remember=lambda plain: f"{{{{ $seam = {plain} }}}}",
        )

    def _has_system(self) -> str:
        return f"or {self._system} $.Tools" if self._tools else self._system

    def _system_text(self) -> str:
        text = f"{{{{ {self._system} }}}}"
        return text + when("$.Tools", tools_text(self._tools.shape)) if self._tools else text

    def _system_turn(self) -> str:
        drops = self._drops_bos == "turn"
        around = parts(self._template.system[1:] if drops else self._template.system, self._tokens)
        text = self._part(self._template.system, self._system_text().join(literal(part) for part in around))
        return when(self._has_system(), text + ("{{ $first = false }}" if drops else ""))

    def _turns(self) -> str:
        template, tokens = self._template, self._tokens
        around = [literal(part) for part in parts(template.observation, tokens)]
        before, after = self._part(template.observation, "{{ .Content }}".join(around[:-1])), around[-1]
        closes = when('and $tool (ne .Role "tool")', after + "{{ $tool = false }}") if self._tools else ""
        tool = (
            '{{ else if eq .Role "tool" }}'
            + when("$tool", literal(OBSERVATIONS), before + "{{ $tool = true }}")
            + "{{ .Content }}"
        )
        return (
            ("{{ $tool := false }}" if self._tools else "")
            + "{{ range $i, $m := .Messages }}" + closes
            + '{{ if eq .Role "user" }}' + self._user()
            + '{{ else if eq .Role "assistant" }}' + self._assistant()
            + (tool if self._tools else "")
            + "{{ end }}{{ end }}"
            + (when("$tool", after) if self._tools else "")
        )  # fmt: skip

    def _user(self) -> str:
        template = self._template
        slots, bos = template.user, ""
        if self._drops_bos == "turn":
            slots, bos = slots[1:], when("not $first", literal(self._tokens.bos or ""))
        content = "{{ .Content }}"
        if template.kind == "fused":
            first = template.system[0] if template.system else ""
            around = parts((first,), self._tokens)
            system = self._system_text().join(literal(part) for part in around)
            content = when(f"and $first ({self._has_system()})", system) + content
        used = "{{ $first = false }}" if self._needs_first else ""
        text = content.join(literal(part) for part in parts(slots, self._tokens))
        return bos + self._part(template.user, text, ".Content") + used

    def _assistant(self) -> str:
        """Return an answer, or calls; the last message is left open, so that the model goes on with it."""
        template, tokens = self._template, self._tokens
        around = [literal(part) for part in parts(template.assistant, tokens)]
        strips = template.kind == "reasoning" and not template.preserve_thinking
        thought = self._thought()
        content = thought + ("{{ $c }}" if strips else "{{ .Content }}")
        text = content.join(around[:-1]) + content + when("ne $i $last", around[-1])
        # A reply comes from the model with the blank that its first token has; it is not written again.
        wants_blank = f'(ne (slice (print {"$c" if strips else ".Content"} " ") 0 1) " ")'
        text = self._part(template.assistant, text, wants_blank)
        if strips:
            text = "{{ $c := .Content }}" + when("ne $i $last", without_thoughts(*template.thought_words)) + text
        if self._tools is None:
            return text
        opening = self._tools.calls.head or self._tools.calls.before
        calls = "{{ .Content }}" + calls_text(self._tools.calls)
        calls = (thought + calls).join(literal(part) for part in parts(template.function, tokens))
        return when(".ToolCalls", self._part(template.function, calls, opening=opening), text)

    def _thought(self) -> str:
        """Return the thoughts of an answer: kept in the history only where the run kept them.

        Ollama finds the words around thoughts by the text around ``.Thinking`` (``thinking.InferTags``), and takes
        the model for one that thinks.
        """
        template = self._template
        if template.kind == "reasoning" and (template.enable_thinking is not False or template.preserve_thinking):
            shown = "$m.Thinking" if template.preserve_thinking else "and $m.Thinking (eq $i $last)"
        elif self._shows_thoughts:
            shown = "false"
        else:
            return ""
        first, last = template.thought_words
        return when(shown, f"{literal(first)}{{{{ .Thinking }}}}{literal(last)}")

    def _thought_at_the_end(self) -> str:
        """Return the empty thought that stands before an answer without thinking."""
        template = self._template
        if template.kind != "reasoning":
            return ""
        empty, special = literal(template.empty_thought), self._tokens.special
        if special is not None and not begins_special(template.empty_thought, special):
            empty = when("$seam", " ") + empty
        empty = when('ne (index .Messages $last).Role "assistant"', empty)
        wanted = ".Messages" if template.enable_thinking is False else "and .Messages .IsThinkSet (not .Think)"
        return when(wanted, empty)
