"""Ignores SIGTERM and SIGHUP, starts grandchildren in sessions of their own that do so too, and never ends.

stubborn.py PIDS_FILE [DEPTH]
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
depth = int(sys.argv[2]) if len(sys.argv) > 2 else 2
with Path(sys.argv[1]).open("a", encoding="ascii") as stream:
    stream.write(f"{os.getpid()}\n")
if depth:
    # One child keeps the mark of its job, the other is started with an empty environment.
    for environ in (dict(os.environ), {}):
        subprocess.Popen(
            [sys.executable, "-I", __file__, sys.argv[1], str(depth - 1)], env=environ, start_new_session=True
        )
while True:
    signal.pause()
