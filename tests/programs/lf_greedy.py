"""Go on with ids as transformers does, most likely token first: runs in LLaMA-Factory's Python.

lf_greedy.py < {"folders": […], "ids": […], "banned": […], "count"} > [[id, …], …]
"""

import json
import sys
from pathlib import Path

import torch
import transformers

asked = json.load(sys.stdin)
answers = []
for folder in asked["folders"]:
    kind = json.loads(Path(folder, "config.json").read_text())["architectures"][0]
    model = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor([asked["ids"]])
    with torch.no_grad():
        for _step in range(asked["count"]):
            logits = model(input_ids=ids).logits[0, -1].float()
            logits[asked["banned"]] = -torch.inf
            ids = torch.cat([ids, logits.argmax().view(1, 1)], 1)
    answers.append(ids[0, len(asked["ids"]) :].tolist())
print(json.dumps(answers))
