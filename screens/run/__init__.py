"""Run: one job in its pipeline: progress, curve, meters, log, and what can be done with it."""
