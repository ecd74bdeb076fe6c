"""Samples of GPUs, host and processes, with an explicit "not available"."""
