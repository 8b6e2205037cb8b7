"""What a machine can do at best, and what the work costs when it is counted by hand.

Matrix products. Of a model's parameters, P take part in one: an LSTM layer has 4 H (I + H) of them (I wide inputs, H
hidden units), each of the five attributes E H for its query and E V for its V values; embedding tables are looked up,
biases added. A product with P weights is P multiplications and P additions, 2 P FLOPs a note.

Training adds the backward pass with two such products, one for the gradient of the inputs and one for that of the
weights: 6 P FLOPs a note.

A step of the engine looks the first layer's inputs up in a table, 4 H E parameters less; with guidance it has two rows
of state for each slot; and its cache of K notes multiplies H numbers with each of them, 2 K H FLOPs a slot. The bytes
that it cannot help to move are the weights, once, and of each slot the keys of its K notes, read, and the states of its
rows, read and written.

The machine's own limits are measured, not looked up: the best of some square products, and a copy too large for any
cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from data.tokens import ATTRIBUTES
from engine.model_config import CACHE_NOTES, ModelConfig

_SIZES = {"cpu": (512, 1024, 2048), "cuda": (1024, 4096, 8192)}
_COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}
_AT_LEAST_S = 0.125


def multiplied(config: ModelConfig) -> int:
    """The parameters that take part in matrix products: P above."""
    layers = (config.embedding, *[config.hidden] * (config.layers - 1))
    lstm = sum(4 * config.hidden * (inputs + config.hidden) for inputs in layers)
    return lstm + sum(config.embedding * (config.hidden + attribute.size) for attribute in ATTRIBUTES)


def step_flops(config: ModelConfig, slots: int, kept: int = CACHE_NOTES) -> int:
    """FLOPs of one note of each of so many slots, when the engine writes it and the cache has kept so many notes."""
    stepped = multiplied(config) - 4 * config.hidden * config.embedding
    cache = kept * config.hidden if config.cache_share else 0
    return 2 * slots * (_rows(config) * stepped + cache)


def step_bytes(config: ModelConfig, slots: int, dtype: torch.dtype, kept: int = CACHE_NOTES) -> int:
    """Bytes that such a note of each of so many slots has to move to and from memory; cells are float32."""
    stepped = multiplied(config) - 4 * config.hidden * config.embedding
    state = 2 * config.layers * config.hidden * (dtype.itemsize + torch.float32.itemsize)
    keys = kept * config.hidden * dtype.itemsize if config.cache_share else 0
    return stepped * dtype.itemsize + slots * (_rows(config) * state + keys)


def _rows(config: ModelConfig) -> int:
    return 1 if config.guidance == 1 else 2


def gemm(device: torch.device, dtype: torch.dtype) -> list[Callable[[], float]]:
    """For each size a function that multiplies two square matrices for a moment; FLOPs per second."""
    return [_square(size, device, dtype) for size in _SIZES[device.type]]


def copying(device: torch.device) -> Callable[[], float]:
    """A function that copies for a moment; bytes per second, those read and those written."""
    source = torch.ones(_COPIED_BYTES[device.type] // 4, device=device)
    target = torch.empty_like(source)
    return _timed(lambda: target.copy_(source), 2 * source.nbytes, device)


def _square(size: int, device: torch.device, dtype: torch.dtype) -> Callable[[], float]:
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return _timed(lambda: torch.matmul(left, right), 2 * size**3, device)


def _timed(work: Callable[[], object], amount: int, device: torch.device) -> Callable[[], float]:
    work()

    def measure() -> float:
        wait(device)
        started, times = time.perf_counter(), 0
        while not times or time.perf_counter() - started < _AT_LEAST_S:
            work()
            times += 1
            wait(device)
        return amount * times / (time.perf_counter() - started)

    return measure


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
