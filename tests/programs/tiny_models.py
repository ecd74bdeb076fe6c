"""Save tiny random models as transformers does: runs in LLaMA-Factory's Python.

tiny_models.py < [{"folder", "class", "config", "dtype", "shard"}, …]
"""

import json
import sys

import torch
import transformers

torch.manual_seed(7)
for wanted in json.load(sys.stdin):
    config = getattr(transformers, wanted["class"] + "Config")(**wanted["config"])
    model = getattr(transformers, wanted["class"] + "ForCausalLM")(config)
    with torch.no_grad():
        for number, weight in enumerate(model.parameters()):
            # Ties, zeros, tiny and large numbers, which a plain normal distribution lacks.
            weight.normal_(0, 0.02 if number % 3 else 2.0)
            flat = weight.view(-1)
            flat[::7] = torch.arange(len(flat[::7]), dtype=torch.float32).remainder(255).sub(127) / 127
            flat[::101] = 0
            flat[5::97] *= 1e-20
    model.to(getattr(torch, wanted["dtype"]))
    model.save_pretrained(wanted["folder"], max_shard_size=wanted["shard"])
