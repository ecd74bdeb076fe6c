"""One user goal per module, each with its .tcss beside it."""
