"""Run convert_hf_to_gguf.py of a llama.cpp folder several times in one process (its imports take most of the time).

llama_cpp_convert.py LLAMA_CPP < [[argument, …], …]
"""

import json
import sys

sys.path.insert(0, sys.argv[1])
import convert_hf_to_gguf  # found only in that folder

for arguments in json.load(sys.stdin):
    sys.argv = ["convert_hf_to_gguf.py", *arguments]
    convert_hf_to_gguf.main()
