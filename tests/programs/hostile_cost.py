"""Say what looking at untrusted files costs: lines {"what", "path"} in, lines {"seconds", "mb", "said"} out.

Seconds are those of the processor, megabytes the growth of what was resident at most.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from backend.convert.planning import make_plan
from backend.deploy.create import check_gguf
from data.errors import AppError
from data.gguf import check, facts, read_header


def show(path):
    header = read_header(path)
    answer = [
        [key.as_json() for key in facts.keys_of(header)],
        [share.as_json() for share in facts.shares_of(header)],
        facts.templates_of(header),
        facts.tokenizer_of(header),
        [problem.message.english() for problem in check(header)],
    ]
    return "; ".join(answer[-1][:3]) or "fine"


LOOKS = {"show": show, "deploy": lambda path: check_gguf(path, "q4_K_M"), "convert": make_plan}


def peak_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


for line in sys.stdin:
    asked = json.loads(line)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = peak_mb(), time.process_time()
    try:
        said = str(LOOKS[asked["what"]](Path(asked["path"])))
    except AppError as error:
        said = f"{error.title.english()}: {error.detail.english()}"
    seconds = time.process_time() - began
    sys.stdout.write(json.dumps({"seconds": seconds, "mb": peak_mb() - before, "said": said[:500]}) + "\n")
    sys.stdout.flush()
