"""What a GGUF's file is called: llama.cpp's naming convention, by the functions of its own gguf package.

Source: ggml `docs/gguf.md`, "GGUF Naming Convention"; llama.cpp `conversion/base.py` ``TextModel.prepare_metadata``.
BaseName-SizeLabel-FineTune-Version-Encoding: gguf tells the parts of a name apart as it does for the ``general.`` keys.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from data.errors import RequestError

if TYPE_CHECKING:
    from backend.convert.plan import Counts

_ENDING: Final = ".gguf"
_STEP: Final = re.compile(r"-(checkpoint-[0-9]+)$")
_ADAPTERS: Final = -1
"""gguf's way to say that the numbers are not the model's own: a size in the name is then the base's, and stays"""


def file_name(title: str, outtype: str | None, counts: Counts | None = None, *, is_adapter: bool = False) -> str:
    """Return the name of the GGUF of the model ``title`` with weights of ``outtype``; None where that is not known.

    A size that the title names stands for the one of ``counts``, unless the two cannot be of one model. Neither a model
    card nor config.json is asked: after a fine-tuning both still name the model that it began from.
    """
    from gguf.metadata import Metadata  # noqa: PLC0415 - numpy comes with it
    from gguf.utility import naming_convention, size_label  # noqa: PLC0415 - as above

    total = _ADAPTERS if is_adapter else counts.total if counts else 0
    step = _STEP.search(title)  # gguf takes its number for a version of the model, and puts it elsewhere
    title = title[: step.start()] if step else title
    _name, _organisation, base, finetune, version, label = Metadata.get_model_id_components(title, total)
    if step:
        finetune = f"{finetune}-{step[1]}" if finetune else step[1]
    if label is None and counts is not None and total > 0:
        label = size_label(counts.total, counts.shared, counts.expert, counts.experts)
    kind: Literal["LoRA"] | None = "LoRA" if is_adapter else None
    return naming_convention(title or None, base, finetune, version, label, outtype, kind) + _ENDING


def title_of(folder: Path, base: str = "") -> str:
    """Return a name for what is made of the weights in ``folder``: the base's, the run's and the step's.

    ``base`` is the model under an adapter. Two checkpoints of a run are two models: they must not meet under a name.
    """
    step = ""
    if folder.name.startswith("checkpoint-"):
        folder, step = folder.parent, f"-{folder.name}"
    under = name_of(Path(base)) if base else ""
    return (f"{under}-{name_of(folder)}" if under else name_of(folder)) + step


def name_of(folder: Path) -> str:
    """Return the name of a model's folder; of a snapshot in the Hugging Face cache, which is a hash, its repository's.

    It is text that a GGUF can hold, also where the folder's own is not.
    Source: huggingface_hub `file_download.py` ``repo_folder_name``: ``models--OWNER--NAME/snapshots/HASH``.
    """
    folder = folder.absolute()
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        folder = Path(repository.rpartition("--")[2] or folder.name)
    return os.fsencode(folder.name).decode("utf-8", "replace")


def counts_of(folder: Path) -> Counts | None:
    """Return how many numbers the GGUF of the model in ``folder`` will hold; None where its weights cannot be read.

    Reads headers only. Of a model that our converter does not know, all weights are counted, and its experts are not.
    """
    from backend.convert.folder import ModelFolder  # noqa: PLC0415 - all families come with them
    from backend.convert.plan import Counts, parameter_counts  # noqa: PLC0415 - as above
    from backend.convert.planning import make_plan  # noqa: PLC0415 - as above
    from backend.convert.weights import read_weights  # noqa: PLC0415 - as above

    try:
        return parameter_counts(make_plan(folder).tensors)
    except RequestError:
        pass
    try:
        total = sum(weight.count for weight in read_weights(ModelFolder(folder)))
    except RequestError:
        return None
    return Counts(total, total, 0, 0)
