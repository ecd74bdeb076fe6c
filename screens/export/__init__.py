"""Export: from a finished training to a model in Ollama, every step chosen before the chain starts."""
