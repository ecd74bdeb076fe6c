"""Print what gguf-py's SpecialVocab reads out of tokenizer folders: [folder, …] on stdin, JSON on stdout."""

import json
import sys
from pathlib import Path

from gguf.vocab import SpecialVocab

answers = []
for folder in json.load(sys.stdin):
    found = SpecialVocab(Path(folder), load_merges=True)
    answers.append(
        {
            "ids": found.special_token_ids,
            "add": found.add_special_token,
            "merges": list(found.merges),
            "chat_template": found.chat_template,
            "lowercase": found.normalizer_lowercase,
            "strip_accents": found.normalizer_strip_accents,
        }
    )
print(json.dumps(answers))
