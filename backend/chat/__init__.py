"""One ChatEngine protocol and its engines."""
