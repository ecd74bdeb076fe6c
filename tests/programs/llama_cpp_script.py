"""Stands in for llama.cpp's convert_hf_to_gguf.py: takes its arguments, and writes ready.gguf of the model's folder.

What it does instead is in config.json under "script": fails, lacks, wants, fills, cuts, hangs, dies.
"""

import argparse
import errno
import json
import os
import signal
import sys
import threading
from pathlib import Path

import gguf  # the checkout's own, which the test puts there

parser = argparse.ArgumentParser()
parser.add_argument("model", type=Path)
parser.add_argument("--outfile", type=Path, required=True)
parser.add_argument("--outtype", choices=["f32", "f16", "bf16", "q8_0", "auto"], required=True)
parser.add_argument("--model-name")
args = parser.parse_args()
does = json.loads((args.model / "config.json").read_text()).get("script", "")
outfile = args.outfile.with_name(args.outfile.name.format(ftype=args.outtype))

print(f"INFO:hf-to-gguf:Loading model: {args.model.name} as {args.model_name} ({gguf.OF})", file=sys.stderr)
if does == "fails":
    raise NotImplementedError("BPE pre-tokenizer was not recognized")
if does == "lacks":
    raise ModuleNotFoundError("No module named 'mistral_common'")
if does == "wants":
    raise ImportError("Mistral format requires `mistral-common` to be installed.")
if does == "fills":
    outfile.write_bytes(b"GGUF")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
if does == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
ready = (args.model / "ready.gguf").read_bytes()
outfile.write_bytes(ready[: -len(ready) // 3] if does in ("cuts", "hangs") else ready)
sys.stderr.write("\rWriting:   0%|          | 0.00/1.25M [00:00<?, ?byte/s]")
sys.stderr.write("\rWriting:  40%|####      | 500k/1.25M [00:01<00:01, 500kbyte/s]")
sys.stderr.write("\rWriting: 100%|##########| 1.25M/1.25M [00:02<00:00, 600kbyte/s]\n")
sys.stderr.flush()
if does == "hangs":
    threading.Event().wait()
print("INFO:hf-to-gguf:Model successfully exported", file=sys.stderr)
