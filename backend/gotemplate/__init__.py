"""Go's text/template language, that of Ollama's TEMPLATE: read with the place of every mistake, rendered in bounds."""

from __future__ import annotations

from backend.gotemplate.error import TemplateError
from backend.gotemplate.execute import render
from backend.gotemplate.parser import Parsed, parse

__all__ = ["Parsed", "TemplateError", "parse", "render"]
