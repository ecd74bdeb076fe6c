"""From a finished training to a model in Ollama: what can be exported, what it costs, the chain of jobs, its checks."""
