"""The experts of a mixture: gathered from their single matrices, stacked into one tensor for each kind of matrix.

Sources: llama.cpp `conversion/qwen.py` ``Qwen2MoeModel.modify_tensors`` and `conversion/llama.py` (order),
`conversion/qwen3vl.py` ``Qwen3VLMoeTextModel.modify_tensors`` and ``Llama4Model`` (stacks that lie transposed).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from backend.convert.plan import Part, Tensor
from backend.convert.weights import Weight
from data.errors import RequestError
from data.i18n import Message, _

if TYPE_CHECKING:
    from backend.convert.plan import Rows


class Experts:
    """Collects the experts' matrices, layer by layer; a layer's tensors come out with the last of them."""

    def __init__(self, stacked: Mapping[str, str], count: int) -> None:
        self._stacked = stacked
        self._count = count
        self._layers: dict[int, dict[tuple[str, int], Weight]] = {}

    def add(self, weight: Weight, layer: int, expert: int, matrix: str) -> Iterable[Tensor]:
        """Take one matrix in, (rows, columns); return the layer's stacks if it was the last, else nothing.

        A stack is (experts, rows, columns), in the order of the experts' numbers.
        """
        if expert >= self._count:
            raise self._wrong(_("There is {name}, but config.json says {count}.", name=weight.name, count=self._count))
        waiting = self._layers.setdefault(layer, {})
        waiting[matrix, expert] = weight
        if len(waiting) < self._count * len(self._stacked):
            return ()
        del self._layers[layer]
        return [self._stack(waiting, layer, matrix) for matrix in self._stacked]

    def _stack(self, waiting: Mapping[tuple[str, int], Weight], layer: int, matrix: str) -> Tensor:
        """Return the (experts, rows, columns) of one kind of matrix."""
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


def turned(name: str, weight: Weight) -> Tensor:
    """Return the stack (experts, columns, rows) of a weight whose matrices lie transposed: (experts, rows, columns)."""
    experts, rows, columns = _stack_shape(weight)
    parts = (Part(weight.rows(expert * rows, rows), columns, _turn) for expert in range(experts))
    return Tensor(name, (experts, columns, rows), tuple(parts))


def turned_halves(names: tuple[str, str], weight: Weight) -> tuple[Tensor, Tensor]:
    """Return the two stacks (experts, columns / 2, rows) whose matrices lie transposed and side by side in a weight."""
    experts, rows, columns = _stack_shape(weight)
    if columns % 2:
        raise _misshapen(weight)
    shape = (experts, columns // 2, rows)
    first, second = (
        Tensor(
            name,
            shape,
            tuple(
                Part(
                    weight.rows(expert * rows, rows), columns, partial(_turn_half, is_second=is_second), keeps_half=True
                )
                for expert in range(experts)
            ),
        )
        for name, is_second in zip(names, (False, True), strict=True)
    )
    return first, second


def _stack_shape(weight: Weight) -> tuple[int, int, int]:
    match weight.shape:
        case (experts, rows, columns):
            return experts, rows, columns
        case _:
            raise _misshapen(weight)


def _misshapen(weight: Weight) -> RequestError:
    return RequestError(
        _("The weight {name} does not fit its config.json", name=weight.name),
        _("It should hold two matrices of each expert."),
        _("Export or download the model again."),
    )


def _turn(rows: Rows) -> Rows:
    return rows.T


def _turn_half(rows: Rows, *, is_second: bool) -> Rows:
    half = rows.shape[1] // 2
    return (rows[:, half:] if is_second else rows[:, :half]).T
