"""Look at the tokenizer of a training or an export before it starts: what transformers would make of its texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from backend.lf.checks import Check
from backend.lf.find import LlamaFactory
from backend.lf.hub import local_model
from backend.lf.tokenizer import CONFIG, RIGHT_CLASS, misread
from backend.lf.versions import release_of
from data.i18n import _

# Where every such text is known to lose its spaces. Later ones may have mended it, and are warned of.
_CERTAIN: Final = (5, 6)


def tokenizer_checks(
    args: Mapping[str, object], lf: LlamaFactory | None, environ: Mapping[str, str]
) -> Iterable[Check]:
    """Yield what the transformers of ``lf`` reads otherwise than tokenizer.json of the base model has it."""
    version = lf.packages.get("transformers", "") if lf is not None else ""
    folder = local_model(str(args.get("model_name_or_path") or ""), environ)
    if folder is None or release_of(version) < (5,):
        return
    remedy = _("In {path}, set tokenizer_class to {name}.", path=folder / CONFIG, name=RIGHT_CLASS)
    kind = misread(folder)
    if kind == "rule":
        words = _(
            "transformers {version} cuts words by GPT-2's rule, and not by tokenizer.json of {folder}",
            version=version,
            folder=folder,
        )
        yield Check("tokenizer.rule", "warning", words, remedy)
    elif kind is not None:
        words = _(
            "Texts would lose their spaces and all non-ASCII characters: transformers {version} takes the byte-level "
            "tokenizer of {folder} for a SentencePiece one",
            version=version,
            folder=folder,
        )
        if kind == "saved":
            remedy = _(
                "Copy tokenizer.json of the base model into it, and in {path} set tokenizer_class to {name}.",
                path=folder / CONFIG,
                name=RIGHT_CLASS,
            )
        level = "error" if release_of(version)[:2] == _CERTAIN else "warning"
        yield Check("tokenizer.spaces", level, words, remedy)
