"""Home: every job and its state, the machine beside it, and what to do next."""
