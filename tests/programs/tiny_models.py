"""Save tiny random models as transformers does: runs in LLaMA-Factory's Python.

tiny_models.py < [{"folder", "config_class", "model_class", "config", "dtype", "shard"}, …]
An entry with "weights" (name to shape) instead of the classes is one whose code transformers does not have.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

torch.manual_seed(7)


def fill(weight, number):
    # Ties, zeros, tiny and large numbers, which a plain normal distribution lacks.
    weight.normal_(0, 0.02 if number % 3 else 2.0)
    flat = weight.view(-1)
    flat[::7] = torch.arange(len(flat[::7]), dtype=torch.float32).remainder(255).sub(127) / 127
    flat[::101] = 0
    flat[5::97] *= 1e-20


for wanted in json.load(sys.stdin):
    folder, dtype = Path(wanted["folder"]), getattr(torch, wanted["dtype"])
    if "weights" in wanted:
        folder.mkdir(parents=True)
        tensors = {}
        for number, (name, shape) in enumerate(wanted["weights"].items()):
            weight = torch.empty(shape)
            fill(weight, number)
            tensors[name] = weight.to(dtype)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(wanted["config"]))
        continue
    config = getattr(transformers, wanted["config_class"])(**wanted["config"])
    model = getattr(transformers, wanted["model_class"])(config)
    with torch.no_grad():
        for number, weight in enumerate(model.parameters()):
            fill(weight, number)
        for number, buffer in enumerate(model.buffers()):
            if buffer.dtype.is_floating_point and buffer.dim() == 1 and not torch.isfinite(buffer).all():
                fill(buffer, number)
    model.to(dtype)
    model.save_pretrained(folder, max_shard_size=wanted["shard"])
