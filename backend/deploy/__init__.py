"""Put a GGUF into an Ollama server, starting the private one when none is there."""
