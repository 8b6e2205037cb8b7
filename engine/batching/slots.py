"""What a batch of pieces in the making can do, whatever computes it, and which computation this machine gets."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from data.tokens import IntArray
from engine.batching.native import NativeSlots
from engine.checkpoint import Checkpoint
from engine.native.build import CACHE, NoCompiler
from engine.plan import Plan
from engine.types import ComposeRequest

log = logging.getLogger(__name__)

_GPU_SLOTS, _GPU_SLOTS_MIN = 256, 64  # eight pieces of thirty-two takes; a slot of v2 takes 0.8 MB
_CUDA_DRIVER = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"


class Slots(Protocol):
    """Some pieces side by side; each call writes some notes of all of them. For one thread, but for `stop`.

    A piece's notes depend on its request, its plan and the kind of slots: never on the slot or on the other pieces.

    Attributes:
        name: what computes them, for an administrator.
        count: how many pieces fit.
        chunk_notes: how many notes are worth one call: a few milliseconds.
        behind: of how many calls of `run` a device may still be writing the notes when the last one has returned.
    """

    name: str
    count: int
    chunk_notes: int
    behind: int

    def begin(
        self, slot: int, request: ComposeRequest, plan: Plan, *, attempt: int = 0, opening: IntArray | None = None
    ) -> None:
        """Put a piece into a slot, whatever was in it.

        Args:
            slot: 0 to count - 1.
            request: length, temperature, top-p, seed and mood.
            plan: of the request: its tempo and mode are told to the model.
            attempt: 0, or which of further drawings of the same request, each with randomness of its own.
            opening: [n, 5] int64 with n <= request.length_notes: notes that the piece begins with, not drawn.
        """
        ...

    def run(self, steps: int) -> int:
        """Write up to `steps` notes of every piece that has some left; how many notes that was, over all.

        `written` counts those that a device is still writing, too (see `behind`); after a call that had nothing to
        write there are none.
        """
        ...

    def stop(self, slot: int) -> None:
        """Write no more of this piece; may be called from another thread while `run` runs."""
        ...

    def finished(self) -> npt.NDArray[np.bool_]:
        """[count] bool: slots in which nothing is left to do: complete, stopped or empty."""
        ...

    def written(self, slot: int) -> int:
        """Notes written so far, the opening included."""
        ...

    def tokens(self, slot: int) -> IntArray:
        """[written, 5] int64: a copy of the notes so far, in the model's key of C."""
        ...

    def take(self, slots: list[int]) -> Callable[[], list[IntArray]]:
        """What will give `tokens` of pieces that have ended, whoever is in the slots by then; it may have to wait."""
        ...


class DeviceFull(RuntimeError):
    """The GPU has too little memory: fewer slots may fit."""


class DeviceLost(RuntimeError):
    """The GPU failed: this process cannot use it again, since a CUDA context does not survive an error.

    Another process may (https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html: of most errors it says
    that "the process must be terminated and relaunched").
    """


def ways(checkpoint: Checkpoint, count: int, device: str | None = None) -> Iterator[Callable[[], Slots]]:
    """Every way to make slots here, the best first; each may raise, and the next one is then to be tried.

    Args:
        checkpoint: the model.
        count: how many pieces side by side; a GPU has more, unless its memory is too small.
        device: "cuda" or "cpu"; None: CUDA where there is one, and else the CPU.
    """
    if device == "cuda" or (device is None and _has_gpu()):
        slots = max(_GPU_SLOTS, count)
        yield partial(_on_gpu, checkpoint, slots)
        while slots > _GPU_SLOTS_MIN and _has_gpu():
            slots //= 2
            yield partial(_on_gpu, checkpoint, slots)
    yield partial(NativeSlots, checkpoint, count)
    yield partial(_by_pytorch, checkpoint, count)


def _has_gpu() -> bool:
    try:
        ctypes.CDLL(_CUDA_DRIVER)
    except OSError:
        return False
    try:
        import torch  # noqa: PLC0415 -- takes seconds and 180 MB, and without a GPU nobody needs it
    except (ImportError, OSError) as problem:  # OSError: of a library that it loads
        log.warning("The GPU cannot be used, so the CPU is: PyTorch cannot be loaded (%s).", problem)
        return False
    return torch.cuda.is_available()


def _on_gpu(checkpoint: Checkpoint, count: int) -> Slots:
    import torch  # noqa: PLC0415 -- see `_has_gpu`

    os.environ.setdefault("TRITON_CACHE_DIR", str(CACHE.parent / "triton"))  # where compiled kernels are kept
    try:
        from engine.batching.gpu.slots import GpuSlots  # noqa: PLC0415 -- PyTorch for a CPU has no Triton

        return GpuSlots(checkpoint, count)
    except torch.OutOfMemoryError as problem:
        raise DeviceFull(str(problem)) from problem
    except (RuntimeError, AssertionError):
        raise
    except Exception as problem:  # no Triton, no C compiler or Python headers for it, a GPU too small or too old
        raise RuntimeError(f"its kernels cannot be compiled ({problem!r})") from problem


def _by_pytorch(checkpoint: Checkpoint, count: int) -> Slots:
    from engine.batching.torch_slots import TorchSlots  # noqa: PLC0415 -- see `_has_gpu`

    # A block is computed whole: with sixteen slots a single piece takes half as long as with sixty-four.
    return TorchSlots(checkpoint, count, block=16)


def open_slots(remaining: Iterator[Callable[[], Slots]]) -> Slots:
    """Take the next way that works.

    Raises:
        StopIteration: there is none left.
    """
    while True:
        way = next(remaining)
        try:
            return way()
        except (NoCompiler, ValueError) as problem:  # ValueError: a larger model than the compiled code has room for
            # Whoever names a compiler means to have it used.
            level = logging.WARNING if os.environ.get("CC") and isinstance(problem, NoCompiler) else logging.INFO
            log.log(level, "Notes are written by PyTorch, many times slower than by compiled code: %s.", problem)
        except DeviceFull as problem:
            log.warning("The GPU has too little memory; fewer pieces side by side, or the CPU, are tried: %s", problem)
        except (RuntimeError, AssertionError) as problem:  # how PyTorch says that CUDA is missing or broken
            log.warning("The GPU cannot be used, so the CPU is: %s", problem)
