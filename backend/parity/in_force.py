"""Causes that lie in which of its ways the server takes to make a prompt: a renderer, a template, or none."""

from __future__ import annotations

from backend.parity import system_prompt
from backend.parity.asked import CHATML, RAW
from backend.parity.compare import Cause
from backend.parity.evidence import Evidence, because
from backend.parity.select import RENDERERS, known_texts
from data.i18n import _


def renderer(e: Evidence) -> Cause | None:
    """Return the cause where a part of Ollama writes the prompt, and no template."""
    name = e.served.renderer
    if not name or e.trained.text == e.sent.text:
        return None
    architecture = e.runner.vocabulary.architecture
    if architecture in RENDERERS:
        return because(
            "renderer",
            _(
                "Ollama writes the prompts of every {architecture} by its renderer {name}, and looks at no template.",
                architecture=architecture,
                name=name,
            ),
            _("No Modelfile takes it away: train with a template that writes the same, or use another server."),
            mends=False,
        )
    return because(
        "renderer",
        _(
            "The Modelfile has RENDERER {name}: this part of Ollama writes the prompt, not a template, and the model "
            "was trained on another one.",
            name=name,
        ),
    )


def raw(e: Evidence) -> Cause | None:
    """Issue 6320 of LLaMA-Factory: no template at all."""
    if not e.served.is_raw or e.trained.text == e.sent.text:
        return None
    if CHATML in e.sent.text:
        if system_prompt.is_all(e):
            return None
        if CHATML in e.trained.text:
            return because(
                "builtin-chatml",
                _(
                    "The model has neither a TEMPLATE nor a Jinja template in its GGUF, so Ollama {version} takes the "
                    "plain ChatML of llama.cpp, which does not write all that the training's template does.",
                    version=e.served.version,
                ),
            )
        return because(
            "builtin-chatml",
            _(
                "The model has neither a TEMPLATE nor a Jinja template in its GGUF, so Ollama {version} takes the "
                "ChatML of llama.cpp, which the model was not trained on. It then answers nonsense or does not stop.",
                version=e.served.version,
            ),
        )
    return because(
        "raw-prompt",
        _(
            "The server has no template for this model ({raw}): it sends the bare text without any roles, which the "
            "model was never trained on. It then answers nonsense, goes on without end, or talks to itself.",
            raw=RAW,
        ),
    )


def overridden(e: Evidence) -> Cause | None:
    """Return the cause where the GGUF's template is used, and not the one that somebody has put into the Modelfile."""
    if not e.served.is_jinja or e.served.written.strip() in ("", RAW) or e.served.written == e.served.template:
        return None
    if e.trained.text == e.sent.text or system_prompt.is_all(e) or e.served.written.strip() in known_texts():
        return None
    return because(
        "overridden",
        _(
            "The Modelfile has a TEMPLATE, but Ollama {version} uses the Jinja template in the GGUF "
            "instead, since that "
            "one shows more abilities. An upgrade of Ollama changes prompts in this way.",
            version=e.served.version,
        ),
    )
