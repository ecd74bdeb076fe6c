"""Run convert_lora_to_gguf.py of a llama.cpp folder several times in one process (its imports take most of the time).

llama_cpp_lora.py LLAMA_CPP < [[argument, …], …]
"""

import json
import runpy
import sys

sys.path.insert(0, sys.argv[1])
program = sys.argv[1] + "/convert_lora_to_gguf.py"
for arguments in json.load(sys.stdin):
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")
