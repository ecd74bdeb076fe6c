"""Tests: unit (pure), jobs (real little programs), real (LLaMA-Factory and Ollama), ui, bench."""
