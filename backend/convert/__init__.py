"""The torch-free converter from a Hugging Face folder to GGUF."""
