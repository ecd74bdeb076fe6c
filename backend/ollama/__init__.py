"""Ollama: client, server life cycle, Modelfile text, create, pull, copy and remove."""
