"""Slots stepped by PyTorch: on a GPU as CUDA graphs of several steps, on a CPU that has no C compiler step by step.

Slots stand in blocks of one size, each of which is computed whole and by itself (`engine.batching.torch_step`), because
a product of another height is computed in another order: so a piece is the same in every block, however many are
computed beside it. A block in which nothing is being written costs nothing on a CPU. On a GPU graphs are recorded of
the first 1, 2, 4, … blocks, and the smallest is replayed that covers what is being written: whoever fills the slots
takes the lowest first.

Inside a graph the blocks run side by side, each on a stream of its own, up to eight: the products of one block are far
too small to fill a GPU, and one after the other sixteen blocks would take sixteen times as long as one. cuBLAS promises
the same sums on several streams where each has a workspace of its own
(https://docs.nvidia.com/cuda/cublas/#results-reproducibility), which PyTorch gives it. None of this has been measured
on a GPU yet.

The host knows each piece's length, so it knows what was written without asking. Nothing is read back until pieces are
complete, and then in the one wait that ends a chunk, through pinned memory.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from data.tokens import ATTRIBUTES, IntArray
from engine.batching.torch_step import DeviceWeights, TorchBlock
from engine.batching.weights import step_weights
from engine.checkpoint import Checkpoint
from engine.plan import Plan
from engine.types import LENGTH_NOTES_MAX, ComposeRequest

log = logging.getLogger(__name__)

BLOCK = 64  # slots; fewer would leave more of a GPU idle, more would be computed for a single piece
_GRAPH_STEPS = 8  # in one replay: long enough to hide the launch
_STEPS_MAX = 16  # in one call: pieces join and are cancelled between calls
_STREAMS = 8  # beyond that the blocks of 64 fill the largest GPU, and each stream takes a workspace of 32 MB


class DeviceLost(RuntimeError):
    """The GPU failed: this process cannot use it again, since a CUDA context does not survive an error.

    Another process may (https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html: of most errors it says
    that "the process must be terminated and relaunched").
    """


class TorchSlots:
    """Pieces in the making on one device. For one thread, but for `stop`.

    Args:
        checkpoint: the model.
        count: slots; made a multiple of `block`.
        device: "cuda" or "cpu".
        dtype: of weights and of the states that they multiply; sums, cells and probabilities are float32.
        block: slots that are computed together. With another size a piece may be another one.

    Raises:
        RuntimeError: PyTorch cannot use the device, or it has too little memory (torch.OutOfMemoryError).
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        count: int,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        block: int = BLOCK,
    ) -> None:
        self.block = block
        self.count = -(-count // block) * block
        self.chunk_notes = _GRAPH_STEPS * block
        self.device = torch.device(device)
        weights = DeviceWeights(step_weights(checkpoint.model), self.device, dtype)
        self._blocks = [TorchBlock(weights, block, checkpoint.longest_pitch_run) for _ in range(0, self.count, block)]
        self._host_tokens = torch.zeros(
            (self.count, LENGTH_NOTES_MAX, len(ATTRIBUTES)), dtype=torch.uint8, pin_memory=self.device.type == "cuda"
        )
        # The host's own account of each slot.
        self._at = np.zeros(self.count, np.int64)
        self._end = np.zeros(self.count, np.int64)
        self._stop = np.zeros(self.count, np.bool_)
        # By the blocks that each one computes, the fewest first; none on a CPU.
        self._graphs: dict[int, torch.cuda.CUDAGraph] = self._record() if self.device.type == "cuda" else {}

    def _record(self) -> dict[int, torch.cuda.CUDAGraph]:
        """Graphs of `_GRAPH_STEPS` steps (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).

        They share their memory: nothing in it outlives a replay, and they are replayed one after the other.
        """
        streams = [torch.cuda.Stream(self.device) for _ in self._blocks[:_STREAMS]]  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            _side_by_side(self._blocks, streams, 2)  # warms up the libraries, which may not allocate while recording
            torch.cuda.synchronize(self.device)
            graphs, pool = dict[int, torch.cuda.CUDAGraph](), torch.cuda.graph_pool_handle()
            for count in counts_of_blocks(len(self._blocks)):
                graphs[count] = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graphs[count], pool=pool):
                    _side_by_side(self._blocks[:count], streams, _GRAPH_STEPS)
        return graphs

    @torch.inference_mode()
    def begin(
        self, slot: int, request: ComposeRequest, plan: Plan, *, attempt: int = 0, opening: IntArray | None = None
    ) -> None:
        """See `engine.batching.slots.Slots`."""
        block, place = divmod(slot, self.block)
        try:
            self._blocks[block].begin(place, request, plan, attempt=attempt, opening=opening)
        except RuntimeError as problem:
            raise self._known(problem) from problem
        self._at[slot], self._end[slot], self._stop[slot] = 0, request.length_notes, False

    def run(self, steps: int) -> int:
        """See `engine.batching.slots.Slots`. Sixteen steps at most; on CUDA rounded up to whole graphs.

        Raises:
            DeviceLost: see there.
            torch.OutOfMemoryError: fewer slots may fit.
        """
        try:
            return self._run(min(steps, _STEPS_MAX))
        except RuntimeError as problem:
            raise self._known(problem) from problem

    @torch.inference_mode()
    def _run(self, steps: int) -> int:
        stopped = np.flatnonzero(self._stop & (self._at < self._end))
        self._end[stopped] = self._at[stopped]
        for at in np.unique(stopped // self.block).tolist():
            self._blocks[at].end((stopped[stopped // self.block == at] % self.block).tolist())
        left = (self._end - self._at).reshape(-1, self.block).max(axis=1)  # [blocks]
        occupied = np.flatnonzero(left).tolist()
        if occupied and self._graphs:
            replays = -(-steps // _GRAPH_STEPS)
            steps = replays * _GRAPH_STEPS
            count = next(count for count in self._graphs if count > occupied[-1])
            for _ in range(replays):
                self._graphs[count].replay()
        else:
            for at in occupied:
                for _ in range(min(steps, int(left[at]))):
                    self._blocks[at].step()
        before, self._at = self._at, np.minimum(self._at + steps, self._end)
        complete = np.flatnonzero((before < self._end) & (self._at == self._end))
        for slot in (*complete.tolist(), *stopped.tolist()):
            block, place = divmod(slot, self.block)
            self._host_tokens[slot].copy_(self._blocks[block].tokens(place), non_blocking=True)
        if self.device.type == "cuda":
            # One wait for a chunk: the copies are there, and a lost device is noticed here.
            torch.cuda.synchronize(self.device)
        return int(self._at.sum() - before.sum())

    def _known(self, problem: RuntimeError) -> RuntimeError:
        """What a failure means for those who may have to make other slots."""
        if self.device.type != "cuda" or isinstance(problem, torch.OutOfMemoryError):
            return problem
        return DeviceLost(f"the GPU failed: {problem}")

    def stop(self, slot: int) -> None:
        """See `engine.batching.slots.Slots`: seen at the next call of `run`."""
        self._stop[slot] = True

    def finished(self) -> npt.NDArray[np.bool_]:
        """See `engine.batching.slots.Slots`."""
        return (self._at >= self._end) | self._stop

    def written(self, slot: int) -> int:
        """See `engine.batching.slots.Slots`."""
        return int(self._at[slot])

    def tokens(self, slot: int) -> IntArray:
        """See `engine.batching.slots.Slots`."""
        block, place = divmod(slot, self.block)
        complete = self._at[slot] == self._end[slot]
        source = self._host_tokens[slot] if complete else self._blocks[block].tokens(place)
        try:
            return source[: self.written(slot)].cpu().numpy().astype(np.int64)
        except RuntimeError as problem:
            raise self._known(problem) from problem


def counts_of_blocks(blocks: int) -> list[int]:
    """How many blocks graphs are recorded of: 1, 2, 4, … and all."""
    return sorted({*(1 << power for power in range(blocks.bit_length())), blocks})


def _side_by_side(blocks: Sequence[TorchBlock], streams: Sequence[torch.cuda.Stream], steps: int) -> None:
    """Some steps of each block, on streams that part from the current one and come back to it."""
    current = torch.cuda.current_stream()
    for at, block in enumerate(blocks):
        stream = streams[at % len(streams)]
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(steps):
                block.step()
    for stream in streams[: len(blocks)]:
        current.wait_stream(stream)
