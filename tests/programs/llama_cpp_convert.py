"""Run convert_hf_to_gguf.py of a llama.cpp folder several times in one process (its imports take most of the time).

llama_cpp_convert.py LLAMA_CPP < [{"arguments": […], "pre"}, …]
"pre" names the pre-tokenizer of a vocabulary whose hash llama.cpp does not know because it was made for the test.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])
import convert_hf_to_gguf  # found only in that folder
from conversion.base import TextModel

by_hash = TextModel.get_vocab_base_pre
named = None


def by_hash_or_name(self, tokenizer):
    try:
        return by_hash(self, tokenizer)
    except NotImplementedError:
        if named is None:
            raise
        return named


TextModel.get_vocab_base_pre = by_hash_or_name
for run in json.load(sys.stdin):
    named = run["pre"]
    sys.argv = ["convert_hf_to_gguf.py", *run["arguments"]]
    convert_hf_to_gguf.main()
