"""Job folders: spec, events, derived status, library."""
