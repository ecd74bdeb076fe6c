"""Where a supervisor runs: here, or later on a cluster."""
