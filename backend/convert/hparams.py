"""A model's hyper-parameters: config.json with the defaults of its class, and the keys that every family shares.

Sources: the configuration classes of transformers 5.6 and its ``RotaryEmbeddingConfigMixin`` (what is missing in
config.json), llama.cpp `conversion/base.py` ``TextModel.set_gguf_parameters`` (names, types and order of the keys).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from backend.convert.folder import Json, unusable
from backend.convert.keys import LARGEST_REAL, Keys
from backend.convert.refusal import UnknownHereError
from data.gguf.shapes import MAX_LAYERS
from data.i18n import _

EXPERT_COUNTS: Final = ("num_local_experts", "num_experts", "n_routed_experts")
MOST_IN_A_HEAD: Final = 65_536
"""Far more numbers than a head of any model has"""
_WITH_ORIGINAL_CONTEXT: Final = ("llama3", "yarn", "longrope")
_GATING_FUNCTIONS: Final = {"softmax": 1, "sigmoid": 2}
"""llama.cpp's ``ExpertGatingFuncType``"""


class HParams:
    """config.json over the ``defaults`` of its model class, read by type; RequestError names a wrong entry."""

    def __init__(self, config: Json, defaults: Mapping[str, object]) -> None:
        self._values: dict[str, object] = {**defaults, **config}
        self._given = config.keys()
        kinds = self._nested_rope()
        self.rope = self._complete(kinds["full_attention"])
        """The rope parameters in the form of transformers 5, whatever form config.json has"""
        self.local_rope = kinds.get("sliding_attention")
        """Those of the layers with a sliding window; None in a model where all are the same"""

    def find(self, *names: str) -> object:
        """Return the first of ``names`` that is there and not null; None where none is."""
        return next((value for name in names if (value := self._values.get(name)) is not None), None)

    def is_given(self, name: str) -> bool:
        """Say whether config.json itself has the entry."""
        return name in self._given

    def put(self, name: str, value: object) -> None:
        """Set what the model's class derives from other values."""
        self._values[name] = value

    def whole(self, *names: str) -> int:
        """Return a positive whole number."""
        value = self.find(*names)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**32:
            raise unusable(names[0], value)
        return value

    @property
    def layers(self) -> int:
        """How many layers the model has; RequestError for more than any model."""
        count = self.whole("num_hidden_layers")
        if count > MAX_LAYERS:
            raise unusable("num_hidden_layers", count)
        return count

    def whole_or_none(self, *names: str) -> int | None:
        """Return a positive whole number; None where none of ``names`` is there."""
        return None if self.find(*names) is None else self.whole(*names)

    def real(self, *names: str) -> float:
        """Return a number that a float of 32 bits holds."""
        return self._number(names[0], self.find(*names))

    def real_or_none(self, *names: str) -> float | None:
        """Return a number; None where none of ``names`` is there."""
        return None if self.find(*names) is None else self.real(*names)

    def flag(self, name: str) -> bool:
        """Return a truth value; False where it is not there."""
        return self._values.get(name) is True

    def rope_real(self, name: str, default: float | None = None) -> float:
        """Return a number of the rope parameters that a float of 32 bits holds."""
        return self._rope_number(name, self.rope.get(name, default))

    def local_theta(self) -> float | None:
        """Return the rope's base of the layers with a sliding window; None in a model where all are the same."""
        if self.local_rope is None:
            return None
        return self._rope_number("sliding_attention.rope_theta", self.local_rope.get("rope_theta"))

    def _rope_number(self, name: str, value: object) -> float:
        return self._number("rope_parameters." + name, value)

    def _number(self, name: str, value: object) -> float:
        """Return a number of config.json, which Python reads with NaN, Infinity and 1e400 in it."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -LARGEST_REAL <= value <= LARGEST_REAL:
            raise unusable(name, value)
        return float(value)

    def rope_positive(self, name: str, default: float) -> float:
        """Return a number of the rope parameters that is above zero."""
        value = self.rope_real(name, default)
        if value <= 0:
            raise unusable("rope_parameters." + name, value)
        return value

    def rope_reals(self, name: str) -> list[float]:
        """Return a list of numbers of the rope parameters; empty where there is none."""
        value = self.rope.get(name)
        if value is None:
            return []
        items = cast("list[object]", value) if isinstance(value, list) else [value]
        return [self._rope_number(name, item) for item in items]

    def _nested_rope(self) -> dict[str, dict[str, object]]:
        """Return the rope parameters by kind of layer; a model with one kind has all under ``full_attention``."""
        given = self.find("rope_parameters")
        older = self.find("rope_scaling")
        for name, value in (("rope_parameters", given), ("rope_scaling", older)):
            if value is not None and not isinstance(value, dict):
                raise unusable(name, value)
        nested = cast("dict[str, object]", given or {})
        local = self.find("rope_local_base_freq")
        if local is None and "full_attention" not in nested and "sliding_attention" not in nested:
            return {"full_attention": dict(cast("dict[str, object]", older or given or {}))}
        kinds = {"full_attention": dict(cast("dict[str, object]", older or {})), "sliding_attention": {}}
        for kind, values in kinds.items():
            inner = nested.get(kind)
            if isinstance(inner, dict):
                kinds[kind] = {**cast("dict[str, object]", inner), **values}
        kinds["sliding_attention"].setdefault("rope_theta", local)
        return kinds

    def _complete(self, rope: dict[str, object]) -> dict[str, object]:
        if rope.get("rope_theta") is None:
            rope["rope_theta"] = self._values.get("rope_theta", 10_000.0)
        rope.setdefault("rope_type", rope.get("type", "default"))
        partial = self._values.get("partial_rotary_factor")
        if partial is not None:
            rope.setdefault("partial_rotary_factor", partial)
        if rope["rope_type"] in _WITH_ORIGINAL_CONTEXT:
            original = self._values.get("original_max_position_embeddings")
            if original is not None:
                rope["original_max_position_embeddings"] = original
            else:
                rope.setdefault("original_max_position_embeddings", self._values.get("max_position_embeddings"))
        return rope


def add_common(keys: Keys, arch: str, hparams: HParams, file_type: int) -> None:
    """Add the keys of ``arch`` that every decoder has; ``file_type`` is llama.cpp's ``LlamaFileType``."""
    keys.whole(f"{arch}.block_count", hparams.layers)
    _add_wholes(
        keys,
        arch,
        hparams,
        context_length=("max_position_embeddings", "n_ctx", "n_positions"),
        embedding_length=("hidden_size", "n_embd"),
        feed_forward_length=("intermediate_size", "n_inner"),
        **{"attention.head_count": ("num_attention_heads", "n_head")},
        **{"attention.head_count_kv": ("num_key_value_heads",)},
    )
    _add_rope(keys, arch, hparams)
    for name, choices in (
        ("attention.layer_norm_rms_epsilon", ("rms_norm_eps", "norm_eps")),
        ("attention.layer_norm_epsilon", ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")),
    ):
        value = hparams.real_or_none(*choices)
        if value is not None:
            keys.real(f"{arch}.{name}", value)
    _add_wholes(
        keys,
        arch,
        hparams,
        expert_count=EXPERT_COUNTS,
        expert_used_count=("num_experts_per_tok", "num_experts_per_token", "top_k_experts"),
        expert_group_count=("n_group",),
        expert_group_used_count=("topk_group",),
    )
    _add_gating(keys, arch, hparams)
    head_dim = hparams.whole_or_none("head_dim")
    if head_dim is not None:
        keys.whole(f"{arch}.attention.key_length", head_dim)
        keys.whole(f"{arch}.attention.value_length", head_dim)
    keys.whole("general.file_type", file_type)


def _add_wholes(keys: Keys, arch: str, hparams: HParams, **choices: tuple[str, ...]) -> None:
    for name, names in choices.items():
        value = hparams.whole_or_none(*names)
        if value is not None:
            keys.whole(f"{arch}.{name}", value)


def _add_gating(keys: Keys, arch: str, hparams: HParams) -> None:
    function = hparams.find("scoring_func", "score_function", "score_func")
    if function is None:
        return
    if not isinstance(function, str) or function not in _GATING_FUNCTIONS:
        raise UnknownHereError(
            _("The model chooses its experts in an unknown way ({function})", function=str(function)),
            _("Known are: {names}", names=", ".join(_GATING_FUNCTIONS)),
        )
    keys.whole(f"{arch}.expert_gating_func", _GATING_FUNCTIONS[function])


def _add_rope(keys: Keys, arch: str, hparams: HParams) -> None:
    rope = hparams.rope
    kind = rope["rope_type"]
    if kind in ("linear", "yarn") and rope.get("factor") is not None:
        keys.text(f"{arch}.rope.scaling.type", str(kind))
        keys.real(f"{arch}.rope.scaling.factor", hparams.rope_real("factor"))
    if kind == "yarn" and rope.get("factor") is not None:
        original = int(hparams.rope_real("original_max_position_embeddings"))
        keys.whole(f"{arch}.rope.scaling.original_context_length", original)
        for name, choices in (
            ("yarn_ext_factor", ("extrapolation_factor",)),
            ("yarn_attn_factor", ("attention_factor", "attn_factor")),
            ("yarn_beta_fast", ("beta_fast",)),
            ("yarn_beta_slow", ("beta_slow",)),
        ):
            present = next((choice for choice in choices if choice in rope), None)
            if present is not None and rope[present] is not None:
                keys.real(f"{arch}.rope.scaling.{name}", hparams.rope_real(present))
    if kind in ("su", "longrope"):
        keys.text(f"{arch}.rope.scaling.type", "longrope")
    if kind not in ("default", "linear", "yarn", "su", "longrope", "llama3", "dynamic", "mrope"):
        raise UnknownHereError(
            _("The model scales its rope in an unknown way ({kind})", kind=str(kind)),
            _("Written without that scaling, it would answer wrongly beyond its first context length."),
        )
    sections = [int(number) for number in hparams.rope_reals("mrope_section")]
    if not all(0 <= number <= MOST_IN_A_HEAD for number in sections):
        raise unusable("rope_parameters.mrope_section", sections)
    if sections:  # of time, height, width, and a fourth
        keys.array(f"{arch}.rope.dimension_sections", [*sections, 0, 0, 0, 0][:4])
    if rope.get("rope_theta") is not None:
        keys.real(f"{arch}.rope.freq_base", hparams.rope_real("rope_theta"))
    local = hparams.local_theta()
    if local is not None:
        keys.real(f"{arch}.rope.freq_base_swa", local)
