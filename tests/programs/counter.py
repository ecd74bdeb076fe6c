"""Counts through a report file, a step every DELAY seconds, and ends with STATUS; obeys SIGTERM by ending with 0.

counter.py STEPS DELAY_S [STATUS]
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

steps, delay_s = int(sys.argv[1]), float(sys.argv[2])
status = int(sys.argv[3]) if len(sys.argv) > 3 else 0
asked = threading.Event()
signal.signal(signal.SIGTERM, lambda _number, _frame: asked.set())


def report(**values: object) -> None:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with Path(os.environ["PADDOCK_REPORT"]).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"time": moment, **values}) + "\n")


for step in range(1, steps + 1):
    report(kind="progress", done=step, total=steps, unit="steps")
    report(kind="metric", step=step, loss=1.0 / step)
    print(f"step {step}", flush=True)
    if asked.wait(delay_s):
        break
report(kind="result", values={"steps": step})
sys.exit(status)
