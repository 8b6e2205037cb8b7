"""The weights of a NoteLSTM in the shapes that a note step reads, as numpy arrays.

The input of the first layer is a sum of rows of tables, so its product with the input weights is a sum of rows too:
one table row for each value of each attribute and condition, computed once. Biases go with what never changes.

Everything is padded with zeros to multiples of sixteen. A padded unit of the LSTM stays exactly zero; a padded output
of a head has the bias -inf and is never drawn.

Shapes: H hidden and E embedding, both padded; V_i values of attribute i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.controls import CONTROLS
from data.tokens import ATTRIBUTES, CONDITIONS, MODE, MOOD, TEMPO
from engine.checkpoint import Checkpoint
from engine.model_config import ModelConfig

FloatArray = npt.NDArray[np.float32]

UNIT = 16


@dataclass(frozen=True, slots=True)
class Affine:
    """`y = weight @ x + bias`; weight [outputs, inputs] float32, bias [outputs] float32, both sizes padded."""

    weight: FloatArray
    bias: FloatArray


@dataclass(frozen=True, slots=True)
class StepWeights:
    """One NoteLSTM.

    Gates stand in blocks of sixteen units, in each block as i, f, g, o: a block's sums are all that its units need.

    Attributes:
        hidden: H.
        embedding: E.
        rows: [sum of table sizes, 4H]: note attributes ("no note yet" last), then conditions, then controls.
        first_row: where each table begins in `rows`.
        layers: inputs are [H] of the layer itself in the first, [2H] of the layer below and itself in the others.
            The first one's bias is to be added to what the fixed conditions give.
        query: [5E, H].
        heads: [V_i, E] of each attribute.
        chosen: [V_j, E]: what attribute j of the same note tells attribute i; (i, j) row by row.
        model: its configuration.
    """

    hidden: int
    embedding: int
    rows: FloatArray
    first_row: list[int]
    layers: list[Affine]
    query: Affine
    heads: list[Affine]
    chosen: list[FloatArray]
    model: ModelConfig

    def told_rows(self, told: Sequence[int]) -> list[int]:
        """Which of `rows` a model is given that stay the same over a piece.

        Args:
            told: `Plan.told`; a model without controls reads only what it knows.
        """
        tables = (MOOD, MODE, TEMPO, *range(len(CONDITIONS), len(CONDITIONS) + len(CONTROLS)))
        begins = [self.first_row[at] for table in tables if (at := len(ATTRIBUTES) + table) < len(self.first_row)]
        return [begin + value for begin, value in zip(begins, told, strict=False)]

    def steady(self, told: Sequence[int]) -> FloatArray:
        """[4H] float32: what `told_rows` give to the first layer, its bias included."""
        return np.asarray(self.layers[0].bias + sum(self.rows[row] for row in self.told_rows(told)), np.float32)


def padded(size: int) -> int:
    """The next multiple of sixteen."""
    return -(-size // UNIT) * UNIT


def step_weights(checkpoint: Checkpoint) -> StepWeights:
    """Lay a model out."""
    config = checkpoint.config
    state = {name: array.astype(np.float32) for name, array in checkpoint.weights.items()}
    hidden, embedding = padded(config.hidden), padded(config.embedding)

    def gates(array: FloatArray, *segments: int) -> FloatArray:
        """[4 * config.hidden, ...] in torch's order i, f, g, o -> [4H, ...] in blocks; columns padded by segment."""
        by_gate = array.reshape(4, config.hidden, -1)
        by_gate = np.pad(by_gate, ((0, 0), (0, hidden - config.hidden), (0, 0)))
        columns, first = [], 0
        for width in segments:
            part = by_gate[:, :, first : first + width]
            columns.append(np.pad(part, ((0, 0), (0, 0), (0, padded(width) - width))))
            first += width
        whole = np.concatenate(columns, axis=2) if segments else by_gate
        blocks = whole.reshape(4, hidden // UNIT, UNIT, -1).swapaxes(0, 1)
        return np.ascontiguousarray(blocks.reshape(4 * hidden, -1))

    tables = [state[f"note_embeddings.{i}.weight"] for i in range(len(ATTRIBUTES))]
    tables += [state[f"condition_embeddings.{i}.weight"] for i in range(len(config.tables))]
    input_weights = state["lstm.weight_ih_l0"].astype(np.float64)
    rows = np.concatenate(tables).astype(np.float64) @ input_weights.T  # [sum V, 4 * config.hidden]
    layers = []
    for n in range(config.layers):
        bias = gates(state[f"lstm.bias_ih_l{n}"] + state[f"lstm.bias_hh_l{n}"])[:, 0]
        recurrent = state[f"lstm.weight_hh_l{n}"]
        if n == 0:
            weight = gates(recurrent, config.hidden)
        else:
            both = np.concatenate([state[f"lstm.weight_ih_l{n}"], recurrent], axis=1)
            weight = gates(both, config.hidden, config.hidden)
        layers.append(Affine(weight, bias))
    attributes = range(len(ATTRIBUTES))
    pairs = len(ATTRIBUTES) * (len(ATTRIBUTES) - 1) // 2
    queries = [
        _affine(state[f"queries.{i}.weight"], state[f"queries.{i}.bias"], hidden, outside=0.0) for i in attributes
    ]
    return StepWeights(
        hidden=hidden,
        embedding=embedding,
        rows=np.ascontiguousarray(gates(rows.T.astype(np.float32)).T),
        first_row=[0, *np.cumsum([len(table) for table in tables])[:-1].tolist()],
        layers=layers,
        query=Affine(np.concatenate([q.weight for q in queries]), np.concatenate([q.bias for q in queries])),
        heads=[
            _affine(
                state[f"outputs.{i}.weight"][: ATTRIBUTES[i].size],
                state[f"outputs.{i}.bias"][: ATTRIBUTES[i].size],
                embedding,
                outside=-np.inf,
            )
            for i in attributes
        ],
        chosen=[_pad_columns(state[f"chosen.{k}.weight"], embedding) for k in range(pairs)],
        model=config,
    )


def _pad_columns(array: FloatArray, width: int) -> FloatArray:
    return np.ascontiguousarray(np.pad(array, ((0, 0), (0, width - array.shape[1]))))


def _affine(weight: FloatArray, bias: FloatArray, inputs: int, *, outside: float) -> Affine:
    """Pad a linear layer; `outside` is the bias of the outputs that are added."""
    extra = padded(len(weight)) - len(weight)
    return Affine(
        _pad_columns(np.pad(weight, ((0, extra), (0, 0))), inputs),
        np.pad(bias, (0, extra), constant_values=outside),
    )


def quantised(weight: FloatArray) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Round to 8-bit integers, each row with its own scale.

    Returns:
        [outputs, inputs] int8 within +-127, and [outputs] float32: what 1 is worth in each row.
    """
    scale = np.abs(weight).max(axis=1) / 127
    scale[scale == 0] = 1.0
    return np.rint(weight / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def in_sixteen_bits(rows: FloatArray, first_row: list[int], tables: Sequence[int]) -> tuple[FloatArray, float]:
    """Round table rows to integers so small that a sum of one row of each table fits 16 bits.

    Args:
        rows: [sum of table sizes, 4H].
        first_row: where each table begins.
        tables: those that are summed; rows of the others are not used and may be clipped.

    Returns:
        the integers, as floats, and what 1 is worth.
    """
    ends = [*first_row[1:], len(rows)]
    largest = sum(np.abs(rows[first_row[i] : ends[i]]).max(axis=0) for i in tables)  # [4H]
    unit = float(np.max(largest)) / 32_000  # below 2**15 by more than the rounding of eight rows
    return np.rint(rows / unit).clip(-32_767, 32_767).astype(np.float32), unit
