"""Chat: talk with a model that Ollama has."""
