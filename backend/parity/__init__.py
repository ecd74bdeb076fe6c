"""What LLaMA-Factory trained on against what Ollama sends."""
