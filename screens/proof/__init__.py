"""The proof of a model: each conversation as it was trained and as it is sent, and the one key that mends."""
