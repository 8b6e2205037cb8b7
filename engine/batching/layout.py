"""The structs of `engine/native/step.c` as ctypes and numpy see them, and a model laid out in them.

Python owns every byte; C gets addresses. What an address points to is kept alive by `Laid.kept`.
"""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from data.score import STEPS_PER_BAR
from data.tokens import ATTRIBUTES, BAR_POSITION, CONDITIONS, DELTA_STEPS, DURATION_STEPS, POLYPHONY, REMAINING
from data.tokens import remaining_bin as bin_of_remaining
from engine.batching.weights import Affine, StepWeights, in_sixteen_bits, quantised
from engine.types import LENGTH_NOTES_MAX

Precision = Literal["float32", "int8"]

PIECES_MAX, LAYERS_MAX, HIDDEN_MAX, RING = 1024, 8, 4096, 512  # the same in step.c
_MOVING = (*range(len(ATTRIBUTES)), *(len(ATTRIBUTES) + c for c in (REMAINING, BAR_POSITION, POLYPHONY)))
_CHOSEN = len(ATTRIBUTES) * (len(ATTRIBUTES) - 1) // 2

# struct piece: an array of them is one numpy array, so that Python writes a field as it writes any array.
PIECE = np.dtype(
    [
        ("length", np.int32),
        ("note", np.int32),
        ("stop", np.int32),
        ("forced", np.int32),
        ("run", np.int32),
        ("run_limit", np.int32),
        ("onset", np.int32),
        ("sounding", np.int32),
        ("seed", np.uint32),
        ("stream", np.uint32),
        ("inverse_temperature", np.float32),
        ("top_p", np.float32),
        ("previous", np.int32, (len(ATTRIBUTES),)),
        ("heard", np.float32),
    ]
)


class Matrix(Structure):
    """struct matrix."""

    _fields_ = (
        ("outputs", c_int32),
        ("inputs", c_int32),
        ("weights", c_void_p),
        ("scale", c_void_p),
        ("bias", c_void_p),
        ("start", c_void_p),
    )


class Model(Structure):
    """struct model."""

    _fields_ = (
        ("layers", c_int32),
        ("hidden", c_int32),
        ("embedding", c_int32),
        ("bar_steps", c_int32),
        ("polyphony_max", c_int32),
        ("logits", c_int32),
        ("row_unit", c_float),
        ("cache_share", c_float),
        ("cache_stay", c_float),
        ("cache_sharpness", c_float),
        ("cache_match", c_float),
        ("guidance", c_float),
        ("first_row", c_int32 * len(_MOVING)),
        ("sizes", c_int32 * len(ATTRIBUTES)),
        ("first_logit", c_int32 * len(ATTRIBUTES)),
        ("rows", c_void_p),
        ("chosen", c_void_p * _CHOSEN),
        ("delta_steps", c_void_p),
        ("duration_steps", c_void_p),
        ("remaining_bin", c_void_p),
        ("layer", Matrix * LAYERS_MAX),
        ("query", Matrix),
        ("head", Matrix * len(ATTRIBUTES)),
    )


class Memory(Structure):
    """struct memory."""

    _fields_ = (
        ("tokens_stride", c_int32),
        ("inputs_stride", c_int32),
        ("cells", c_void_p),
        ("inputs", c_void_p),
        ("fixed", c_void_p),
        ("queries", c_void_p),
        ("spoken", c_void_p),
        ("logits", c_void_p),
        ("ends", c_void_p),
        ("tokens", c_void_p),
        ("nats", c_void_p),
        ("keys", c_void_p),
        ("cached", c_void_p),
    )


@dataclass(frozen=True, slots=True)
class Laid:
    """A model ready for C, and the arrays that it points to."""

    model: Model
    kept: list[npt.NDArray[Any]]


def declare(compiled: ctypes.CDLL) -> None:
    """Say what the functions of `step.c` take and return."""
    compiled.step.argtypes = (c_void_p, c_void_p, c_void_p, c_int32, c_int32)
    compiled.step.restype = c_int64
    compiled.begin.argtypes = (c_void_p, c_void_p, c_int32, c_int32)
    compiled.begin.restype = None
    compiled.pack.argtypes = (c_void_p, c_void_p, c_int32, c_int32)
    compiled.pack.restype = None


def aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Zeros that begin at a cache line: a vector that straddles two costs twice."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + size].view(dtype).reshape(shape)


def lay_out(compiled: ctypes.CDLL, weights: StepWeights, *, int8: bool) -> Laid:
    """Pack a model's weights as the compiled step reads them."""
    kept: list[npt.NDArray[Any]] = []

    def address(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> int:
        copy = aligned(array.shape, dtype)
        copy[...] = array
        kept.append(copy)
        return copy.ctypes.data

    def matrix(affine: Affine) -> Matrix:
        outputs, inputs = affine.weight.shape
        packed = aligned((outputs * inputs * compiled.weight_bytes(),), np.uint8)
        kept.append(packed)
        raw: npt.NDArray[Any] = np.ascontiguousarray(affine.weight, np.float32)
        scale, start = np.ones(outputs, np.float32), np.zeros(outputs, np.int32)
        if int8:
            raw, unit = quantised(affine.weight)
            scale = unit / np.float32(127)  # inputs are hidden states in 127ths
            start = -compiled.input_offset() * raw.sum(axis=1, dtype=np.int32)
        compiled.pack(raw.ctypes.data, packed.ctypes.data, outputs, inputs)
        return Matrix(
            outputs,
            inputs,
            packed.ctypes.data,
            address(scale, np.float32),
            address(affine.bias, np.float32),
            address(start, np.int32),
        )

    if len(weights.layers) > LAYERS_MAX:
        raise ValueError(f"{len(weights.layers)} layers: at most {LAYERS_MAX}")
    if weights.hidden > HIDDEN_MAX:
        raise ValueError(f"{weights.hidden} hidden units: at most {HIDDEN_MAX}")
    rows, unit = weights.rows, 1.0
    if int8:
        rows, unit = in_sixteen_bits(weights.rows, weights.first_row, _MOVING)
    widths = [len(head.bias) for head in weights.heads]
    bins = np.array([0] + [bin_of_remaining(left) for left in range(1, LENGTH_NOTES_MAX + 1)])
    model = Model(
        layers=len(weights.layers),
        hidden=weights.hidden,
        embedding=weights.embedding,
        bar_steps=STEPS_PER_BAR,
        polyphony_max=CONDITIONS[POLYPHONY].size - 1,
        logits=sum(widths),
        first_row=(c_int32 * len(_MOVING))(*(weights.first_row[i] for i in _MOVING)),
        sizes=(c_int32 * len(ATTRIBUTES))(*(attribute.size for attribute in ATTRIBUTES)),
        first_logit=(c_int32 * len(ATTRIBUTES))(*(sum(widths[:i]) for i in range(len(widths)))),
        row_unit=unit,
        cache_share=weights.model.cache_share,
        cache_stay=weights.model.cache_stay,
        cache_sharpness=weights.model.cache_sharpness,
        cache_match=weights.model.cache_match,
        guidance=weights.model.guidance,
        rows=address(rows, np.int16 if int8 else np.float32),
        chosen=(c_void_p * _CHOSEN)(*(address(table, np.float32) for table in weights.chosen)),
        delta_steps=address(np.array(DELTA_STEPS), np.int32),
        duration_steps=address(np.array(DURATION_STEPS), np.int32),
        remaining_bin=address(bins, np.uint8),
        layer=(Matrix * LAYERS_MAX)(*(matrix(layer) for layer in weights.layers)),
        query=matrix(weights.query),
        head=(Matrix * len(ATTRIBUTES))(*(matrix(head) for head in weights.heads)),
    )
    return Laid(model, kept)
