"""Managed copies of LLaMA-Factory and Ollama."""
