"""Reusable widgets: they take values and post messages, and do no I/O."""
