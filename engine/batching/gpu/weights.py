"""A model's weights as the kernels of a GPU read them; see `engine.batching.gpu.note`."""

from __future__ import annotations

import numpy as np
import torch

from data.tokens import ATTRIBUTES
from engine.batching.torch_step import OnDevice, by_unit
from engine.batching.weights import FloatArray, StepWeights

_PADDED = (16, 32, 128, 32, 16)  # values of each attribute, as the kernels have them


class GpuWeights(OnDevice):
    """A model's weights on a device, and the tables that a step looks things up in, as the kernels want them.

    Args:
        weights: the model.
        device: of all tensors.
        dtype: of what is multiplied as matrices; sums, cells and probabilities are float32.
    """

    def __init__(self, weights: StepWeights, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(weights, device, dtype, torch.int32, by_unit)
        self.width = power_of_two(weights.embedding)
        heads = list(zip(weights.heads, _PADDED, strict=True))
        self.head_weight = self._sent(
            np.concatenate([_in_corner(head.weight.T, self.width, padded).ravel() for head, padded in heads]), dtype
        )
        finite = [np.where(np.isfinite(head.bias), head.bias, 0)[None] for head, _ in heads]
        self.head_bias = self._sent(
            np.concatenate([_in_corner(bias, 1, padded)[0] for bias, padded in zip(finite, _PADDED, strict=True)])
        )
        self.told = self._sent(_told(weights))


def _in_corner(array: FloatArray, height: int, width: int) -> FloatArray:
    """[height, width], zero but for the array, of which what does not fit is padding."""
    large = np.zeros((height, width), np.float32)
    part = array[:height, :width]
    large[: part.shape[0], : part.shape[1]] = part
    return large


def _told(weights: StepWeights) -> FloatArray:
    """[all values, 5, E]: what each value of each attribute tells the attributes that follow it, else zero."""
    every = range(len(ATTRIBUTES))
    nothing = [np.zeros((attribute.size, weights.embedding), np.float32) for attribute in ATTRIBUTES]
    return np.concatenate(
        [
            np.stack([weights.chosen[i * (i - 1) // 2 + j] if i > j else nothing[j] for i in every], axis=1)
            for j in every
        ]
    )


def power_of_two(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()
