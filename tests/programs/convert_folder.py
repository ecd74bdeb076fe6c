"""Convert a folder in this process, and print what it held in memory at most: convert_folder.py FOLDER FILE TYPE."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from backend.convert.converter import convert

convert(Path(sys.argv[1]), Path(sys.argv[2]), outtype=sys.argv[3], name="Bench")
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps({"peak_mb": int(peak.split()[1]) / 1024}))
