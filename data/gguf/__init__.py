"""GGUF files: a reader of their headers that a hostile file cannot hurt, and the check before a server gets one."""

from __future__ import annotations

from data.gguf.consistency import PART, Problem, check
from data.gguf.header import Header, read_header
from data.gguf.layout import Array, TensorInfo, Value

__all__ = ["PART", "Array", "Header", "Problem", "TensorInfo", "Value", "check", "read_header"]
