"""The experts of a mixture: gathered from their single matrices, stacked into one tensor for each kind of matrix.

Source of the order: llama.cpp `conversion/qwen.py` ``Qwen2MoeModel.modify_tensors``, `conversion/llama.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from backend.convert.plan import Part, Tensor
from backend.convert.weights import Weight
from data.errors import RequestError
from data.i18n import Message, _


class Experts:
    """Collects the experts' matrices, layer by layer; a layer's tensors come out with the last of them."""

    def __init__(self, stacked: Mapping[str, str], count: int) -> None:
        self._stacked = stacked
        self._count = count
        self._layers: dict[int, dict[tuple[str, int], Weight]] = {}

    def add(self, weight: Weight, layer: int, expert: int, matrix: str) -> Iterable[Tensor]:
        """Take one matrix in; return the layer's stacked tensors if it was the last, else nothing."""
        if expert >= self._count:
            raise self._wrong(_("There is {name}, but config.json says {count}.", name=weight.name, count=self._count))
        waiting = self._layers.setdefault(layer, {})
        waiting[matrix, expert] = weight
        if len(waiting) < self._count * len(self._stacked):
            return ()
        del self._layers[layer]
        return [self._stack(waiting, layer, matrix) for matrix in self._stacked]

    def _stack(self, waiting: Mapping[tuple[str, int], Weight], layer: int, matrix: str) -> Tensor:
        weights = [waiting[matrix, expert] for expert in range(self._count)]
        odd = next((weight for weight in weights if weight.shape != weights[0].shape), None)
        if odd:
            raise self._wrong(_("{name} has another shape than the first.", name=odd.name))
        shape = (self._count, *weights[0].shape)
        return Tensor(f"blk.{layer}.{self._stacked[matrix]}.weight", shape, tuple(Part(weight) for weight in weights))

    def refuse_rest(self) -> None:
        """Raise RequestError where a layer has got some of its experts, but not all."""
        for layer, waiting in self._layers.items():
            missing = next(
                (matrix, expert)
                for matrix in self._stacked
                for expert in range(self._count)
                if (matrix, expert) not in waiting
            )
            raise self._wrong(
                _("Layer {layer} lacks {matrix} of expert {expert}.", layer=layer, matrix=missing[0], expert=missing[1])
            )

    @staticmethod
    def _wrong(reason: Message) -> RequestError:
        return RequestError(
            _("The experts of the model are not complete"),
            reason,
            _("Export or download the model again."),
        )
