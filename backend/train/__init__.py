"""Training and export jobs: specs, log reading, resume, stop."""
