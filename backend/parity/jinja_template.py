"""The Jinja chat template of the GGUF: it writes what LLaMA-Factory trained on.

As Hugging Face has it, BOS in front is a part of the text; llama.cpp takes it away again where the GGUF says that it
is added (``common/chat.cpp``). System messages are joined, as Ollama joins them for a Go template.
"""

from __future__ import annotations

from backend.parity.expression import OBSERVATIONS, Tokens, check, parts, tools_of
from backend.parity.jinja_text import calls_text, macros, own_macro, quoted, tools_text, when, without_thoughts, write
from backend.parity.seam import begins_special, flag, joined
from backend.parity.template import Slots, Template
from data.i18n import Message


def jinja_template(template: Template, tokens: Tokens) -> str:
    """Return the chat template; raises InexpressibleError."""
    check(template)
    return _Writer(template, tokens).write()


class _Writer:
    def __init__(self, template: Template, tokens: Tokens) -> None:
        self._template = template
        self._tokens = tokens
        found = tools_of(template, tokens)
        self._tools = None if isinstance(found, Message) else found
        self._has_system = "ns.system or tools" if self._tools else "ns.system"

    def write(self) -> str:
        template, tools = self._template, self._tools
        named = macros(tools.shape) + own_macro(tools.calls) if tools else ""
        system = "ns.system + ('\\n\\n' if ns.system else '') + message['content']"
        collect = "{% for message in messages %}" + when(
            "message['role'] == 'system'", f"{{% set ns.system = {system} %}}"
        )
        default = f"{{% set ns.system = {quoted(template.default_system)} %}}"
        special = self._tokens.special
        seam = "" if special is None else f", seam={flag(template.prefix, special)}"
        return (
            named + f"{{% set ns = namespace(system='', first=true, tool=false{seam}) %}}" + collect + "{% endfor %}"
            + (when("not ns.system", default) if template.default_system else "")
            + write("".join(parts(template.prefix, self._tokens)))
            + ("" if template.kind == "fused" else self._system_turn())
            + self._turns() + self._thought_at_the_end()
        )  # fmt: skip

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
            blank=lambda start: when(
                f"ns.seam and {content}" if start == "content" and content else "ns.seam", write(" ")
            ),
            remember=lambda plain: f"{{% set ns.seam = {plain} %}}",
        )

    def _system_text(self) -> str:
        return "{{ ns.system }}" + (when("tools", tools_text(self._tools.shape)) if self._tools else "")

    def _system_turn(self) -> str:
        around = parts(self._template.system, self._tokens)
        text = self._system_text().join(write(part) for part in around)
        return when(self._has_system, self._part(self._template.system, text))

    def _turns(self) -> str:
        around = [write(part) for part in parts(self._template.observation, self._tokens)]
        content = "{{ message['content'] }}"
        before, after = self._part(self._template.observation, content.join(around[:-1])), around[-1]
        tool = ""
        closes = ""
        if self._tools:
            closes = when("ns.tool and message['role'] != 'tool'", after + "{% set ns.tool = false %}")
            joined = when("ns.tool", write(OBSERVATIONS), before + "{% set ns.tool = true %}")
            tool = "{% elif message['role'] == 'tool' %}" + joined + content
        return (
            "{% for message in messages %}" + closes
            + "{% if message['role'] == 'user' %}" + self._user()
            + "{% elif message['role'] == 'assistant' %}" + self._assistant() + tool
            + "{% endif %}{% endfor %}" + (when("ns.tool", after) if self._tools else "")
        )  # fmt: skip

    def _user(self) -> str:
        template, content = self._template, "{{ message['content'] }}"
        if template.kind == "fused":
            around = parts(template.system[:1], self._tokens)
            system = self._system_text().join(write(part) for part in around)
            content = when(f"ns.first and ({self._has_system})", system) + content + "{% set ns.first = false %}"
        text = content.join(write(part) for part in parts(template.user, self._tokens))
        return self._part(template.user, text, "message['content']")

    def _assistant(self) -> str:
        template, tokens = self._template, self._tokens
        thought, read = "", "{% set content = message['content'] or '' %}"
        if template.kind == "reasoning":
            first, last = (self._hidden(word) for word in template.thought_words)
            if template.preserve_thinking:
                thought = when(
                    "message['reasoning_content']", f"{{{{ {first} + message['reasoning_content'] + {last} }}}}"
                )
            else:
                read += without_thoughts(first, last)
        around = [write(part) for part in parts(template.assistant, tokens)]
        text = (thought + "{{ content }}").join(around)
        # A reply comes from the model with the blank that its first token has; it is not written again.
        text = self._part(template.assistant, text, "content and content[0] != ' '")
        if self._tools:
            opening = self._tools.calls.head or self._tools.calls.before
            calls = thought + "{{ content }}" + calls_text(self._tools.calls)
            calls = calls.join(write(part) for part in parts(template.function, tokens))
            text = when("message['tool_calls']", self._part(template.function, calls, opening=opening), text)
        return read + text

    def _hidden(self, text: str) -> str:
        """Return a constant in which Ollama does not see thinking (``<think>``) where the run never thought."""
        if self._template.enable_thinking is not False:
            return quoted(text)
        return " + ".join(quoted(part) for part in text.replace("think>", "\x00think>").split("\x00") if part) or "''"

    def _thought_at_the_end(self) -> str:
        template = self._template
        if template.kind != "reasoning":
            return ""
        wanted = "messages[-1]['role'] != 'assistant'"
        if template.enable_thinking is not False:
            wanted += " and enable_thinking is defined and not enable_thinking"
        special = self._tokens.special
        is_plain = special is not None and not begins_special(template.empty_thought, special)
        blank = when("ns.seam", write(" ")) if is_plain else ""
        return when(wanted, f"{blank}{{{{ {self._hidden(template.empty_thought)} }}}}")
