"""Start, supervise, follow and stop jobs; knows no kind of job."""
