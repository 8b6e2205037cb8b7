"""Slots stepped by a GPU: the kernels of `engine.batching.gpu.note`, recorded as CUDA graphs of several steps.

Graphs are recorded of the first 1, 2, 4, … blocks of slots, and the smallest is replayed that covers what is being
written: whoever fills the slots takes the lowest first. One replay is one launch for the host
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs), and asks it nothing: the host knows each piece's
length, so it knows what was written. Pieces that join go to the device in one copy, complete ones come back in one,
through pinned memory. A call returns while the device writes, and waits only for what an earlier one began: so the
host hands pieces over while the next notes are written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import triton
from torch import Tensor

from data.keys import Key
from data.moods import Mood
from data.tokens import ATTRIBUTES, IntArray
from engine.batching.account import Account
from engine.batching.gpu import note as kernels
from engine.batching.gpu.cache import COUNTS, look_step
from engine.batching.gpu.layers import layer_step, query_step
from engine.batching.gpu.state import LENGTH, NOTE, STATE_WIDTH
from engine.batching.gpu.weights import GpuWeights, power_of_two
from engine.batching.slots import DeviceLost
from engine.batching.weights import StepWeights, step_weights
from engine.checkpoint import Checkpoint
from engine.note_cache import CACHE_NOTES
from engine.plan import Plan
from engine.types import LENGTH_NOTES_MAX, ComposeRequest

BLOCK = 64  # slots; fewer would leave more of a GPU idle, more would be computed for a single piece
# In one replay, between which pieces join and are cancelled. Even, so that states end where they began.
_GRAPH_STEPS = 16
# One for the device to be busy with while the host hands pieces over, one more for when the host is late.
_BEHIND = 2
_TOLD_MAX = 1024
# How programs are cut where slots are few, and where they are many: what was fastest on an H200 (docs/bench/README.md).
_MANY = 256
_LAYER: tuple[dict[str, int], dict[str, int]] = {"units": 8, "num_warps": 4}, {"units": 32, "num_warps": 8}
_QUERY: tuple[dict[str, int], dict[str, int]] = {"columns": 16}, {"columns": 64}
_LOOK: tuple[dict[str, int], dict[str, int]] = {"programs": 4, "num_warps": 2}, {"programs": 1, "num_warps": 2}
_NOTE: tuple[dict[str, int], dict[str, int]] = (
    {"height": 128, "places": CACHE_NOTES, "num_warps": 4},
    {"height": 32, "places": 64, "num_warps": 1, "maxnreg": 128},
)
_DEPTH = 64  # how much of a product's inputs at a time


# The notes of a piece, [written, 5], and when they are there.
_Arriving: TypeAlias = tuple[npt.NDArray[np.uint8], "torch.cuda.Event | None"]


class GpuSlots(Account):
    """Pieces in the making on a GPU. For one thread, but for `stop`. See `engine.batching.slots.Slots`.

    Args:
        checkpoint: the model.
        count: slots; made a multiple of `block`.
        device: "cuda"; anything else only where Triton interprets its kernels.
        dtype: of weights and of the states that they multiply; sums, cells and probabilities are float32.
        block: slots that are computed together, a power of two and at least 16.
        graph_steps: notes of each piece that one replay writes, an even number.

    Raises:
        RuntimeError: PyTorch cannot use the device, or it has too little memory (torch.OutOfMemoryError).
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        count: int,
        *,
        device: str = "cuda",
        dtype: torch.dtype = torch.float16,
        block: int = BLOCK,
        graph_steps: int = _GRAPH_STEPS,
    ) -> None:
        self.block, self._graph_steps = block, graph_steps
        super().__init__(-(-count // block) * block)
        self.chunk_notes, self.behind = graph_steps * self.count, _BEHIND  # one replay, however many pieces there are
        self.device = torch.device(device)
        kind = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "GPU"
        self.name = f"{kind} ({str(dtype).removeprefix('torch.')})"
        self._host = step_weights(checkpoint.model)
        self._model = self._host.model
        self._run_limit = checkpoint.longest_pitch_run
        self._halves = 1 if self._model.guidance == 1 else 2
        # Takes of one request are told the same.
        self._told = lru_cache(_TOLD_MAX)(partial(_rows_told, self._host, self._halves))
        self._weights = GpuWeights(self._host, self.device, dtype)
        self._allocate(dtype)
        self._joining: dict[int, tuple[list[int], tuple[float, float], IntArray | None]] = {}
        self._complete: dict[int, _Arriving] = {}
        self._on_gpu = self.device.type == "cuda"
        self._begun: deque[torch.cuda.Event | None] = deque()  # what the last calls had the device do
        nothing = [0, 0, 0, 0, 0, *self._told(Plan(90, Key(0, "minor")), Mood.DARK)]
        self._joining[0] = nothing, (1.0, 1.0), None  # so that no piece waits for a kernel to be compiled
        self._join()
        # By the blocks that each one computes, the fewest first.
        self._graphs: dict[int, torch.cuda.CUDAGraph] = self._record() if self._on_gpu else {}

    def _allocate(self, dtype: torch.dtype) -> None:
        hidden, embedding, count, layers = self._host.hidden, self._host.embedding, self.count, len(self._host.layers)
        rows = self._halves * count

        def zeros(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.device)

        # [even and odd steps, layers, R, H]: a step reads one and writes the other.
        self._states = zeros(2, layers, rows, hidden, dtype=dtype)
        self._cells = zeros(layers, rows, hidden, dtype=torch.float32)
        self._fixed = zeros(rows, 4 * hidden, dtype=torch.float32)
        self._moving = zeros(count, 4 * hidden, dtype=torch.float32)
        self._queries = zeros(rows, len(ATTRIBUTES), embedding, dtype=torch.float32)
        self._state = zeros(count, STATE_WIDTH.value)
        self._setting = zeros(count, 2, dtype=torch.float32)
        self._own_share = zeros(count, dtype=torch.float32)
        self._tokens = zeros(count, LENGTH_NOTES_MAX, len(ATTRIBUTES), dtype=torch.uint8)
        self._ends = zeros(count, kernels.RING.value)
        places = CACHE_NOTES if self._model.cache_share else 1
        self._keys = zeros(count, places, hidden, dtype=dtype)
        self._heads, self._matches = zeros(count, places), zeros(2, count, places)
        self._likeness = zeros(count, places, dtype=torch.float32)
        self._counts = zeros(count, COUNTS.value)

    def _record(self) -> dict[int, torch.cuda.CUDAGraph]:
        """Graphs of `graph_steps` steps. They share their memory: they are replayed one after the other."""
        counts = counts_of_blocks(self.count // self.block)
        with torch.inference_mode():
            for blocks in counts:
                self._steps(blocks, 2)  # compiles
            torch.cuda.synchronize(self.device)
            graphs, pool = dict[int, torch.cuda.CUDAGraph](), torch.cuda.graph_pool_handle()
            for blocks in counts:
                graphs[blocks] = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graphs[blocks], pool=pool):
                    self._steps(blocks, self._graph_steps)
        return graphs

    def _steps(self, blocks: int, steps: int) -> None:
        """So many notes, an even number, of all pieces in the first so many blocks."""
        for step in range(steps):
            self._step(blocks, step % 2)

    def _step(self, blocks: int, odd: int) -> None:
        weights, model, hidden = self._weights, self._model, self._host.hidden
        embedding, slots, halves = self._host.embedding, blocks * self.block, self._halves
        depth, many = _dividing(hidden, _DEPTH), slots >= _MANY
        # Of one kind for all graphs, since the order of its sums depends on it.
        note = _NOTE[self.count > _MANY]
        units = _dividing(hidden, _LAYER[many]["units"])
        before, after = self._states[odd], self._states[1 - odd]
        for n, (weight, bias) in enumerate(weights.layers):
            layer_step[slots // self.block, halves, hidden // units](
                after[n - 1],
                before[n],
                weight,
                bias if n else self._fixed,
                self._moving,
                self._cells[n],
                after[n],
                self.count,
                hidden=hidden,
                first=n == 0,
                rows=self.block,
                depth=depth,
                **_LAYER[many] | {"units": units},
            )
        width = len(ATTRIBUTES) * embedding
        query_step[slots // self.block, halves, triton.cdiv(width, _QUERY[many]["columns"])](
            after[-1],
            *weights.query,
            self._queries,
            self.count,
            hidden=hidden,
            width=width,
            rows=self.block,
            depth=depth,
            **_QUERY[many],
        )
        if model.cache_share:
            look_step[slots, _LOOK[many]["programs"]](
                self._state,
                after[-1],
                self._keys,
                self._heads,
                self._matches[odd],
                self._matches[1 - odd],
                self._likeness,
                float(model.cache_sharpness),
                float(model.cache_match),
                hidden=hidden,
                depth=_dividing(hidden, 128),
                **_LOOK[many],
            )
        kernels.note_step[(slots,)](
            self._state,
            self._setting,
            self._own_share,
            self._tokens,
            self._ends,
            self._queries,
            after[-1],
            self._keys,
            self._heads,
            self._likeness,
            self._counts,
            weights.told,
            weights.head_weight,
            weights.head_bias,
            weights.rows,
            weights.row_offsets,
            self._moving,
            weights.remaining_bin,
            weights.delta_steps,
            weights.duration_steps,
            self.count,
            self._run_limit,
            float(model.guidance),
            float(model.cache_share),
            float(model.cache_stay),
            hidden=hidden,
            embedding=embedding,
            width=weights.width,
            depth=_dividing(hidden, 128),
            whole=power_of_two(4 * hidden),
            guided=halves - 1,
            cached=bool(model.cache_share),
            **note | {"height": min(note["height"], weights.width)},
        )

    def begin(
        self, slot: int, request: ComposeRequest, plan: Plan, *, attempt: int = 0, opening: IntArray | None = None
    ) -> None:
        """See `engine.batching.slots.Slots`."""
        known = 0 if opening is None else len(opening)
        seed = (request.seed ^ (1 << 31)) - (1 << 31)  # the same 32 bits, signed
        entry = [slot, request.length_notes, known, seed, attempt, *self._told(plan, request.mood)]
        self._joining[slot] = entry, (1.0 / request.temperature, request.top_p), opening
        self._begins(slot, request.length_notes)
        self._complete.pop(slot, None)

    def _join(self) -> None:
        """Put the pieces that have begun into their slots."""
        if not self._joining:
            return
        entries, settings, openings = zip(*self._joining.values(), strict=True)
        hidden, weights = self._host.hidden, self._weights
        whole = np.concatenate([np.array(settings, np.float32).view(np.int32), np.array(entries, np.int32)], axis=1)
        kernels.begin_step[(len(entries),)](
            self._sent(whole),
            weights.layers[0][1],
            self._state,
            self._setting,
            self._own_share,
            self._ends,
            self._states[0],
            self._cells,
            self._fixed,
            weights.rows,
            weights.row_offsets,
            self._moving,
            weights.remaining_bin,
            self.count,
            layers=len(weights.layers),
            halves=self._halves,
            tables=(whole.shape[1] - kernels.TOLD.value) // self._halves,
            hidden=hidden,
            whole=power_of_two(4 * hidden),
        )
        for slot, opening in zip(self._joining, openings, strict=True):
            if opening is not None:
                self._tokens[slot, : len(opening)] = self._sent(opening.astype(np.uint8))
        self._joining.clear()

    def _sent(self, array: np.ndarray) -> Tensor:
        sent = torch.from_numpy(array)
        return sent.pin_memory().to(self.device, non_blocking=True) if self._on_gpu else sent

    def run(self, steps: int) -> int:
        """See `engine.batching.slots.Slots`. One replay at most, rounded up to a whole one.

        Raises:
            DeviceLost: see there.
            torch.OutOfMemoryError: fewer slots may fit.
        """
        if steps <= 0:
            return 0
        try:
            return self._run()
        except RuntimeError as problem:
            raise _known(problem, self._on_gpu) from problem

    @torch.inference_mode()
    def _run(self) -> int:
        self._join()
        stopped = self._stopped()
        if len(stopped):
            ended = self._sent(stopped)
            self._state[ended, LENGTH.value] = self._state[ended, NOTE.value]
        writing = np.flatnonzero(self._at < self._end)
        if len(writing):
            blocks = int(writing[-1]) // self.block + 1
            if self._graphs:
                next(graph for count, graph in self._graphs.items() if count >= blocks).replay()
            else:
                self._steps(blocks, self._graph_steps)
        before = self._at[writing]
        self._at[writing] = np.minimum(before + self._graph_steps, self._end[writing])
        complete = [*writing[self._at[writing] == self._end[writing]].tolist(), *stopped.tolist()]
        arriving, done = self._fetch(complete)
        self._complete |= arriving
        self._begun.append(done)
        while len(self._begun) > (self.behind if len(writing) else 0):
            begun = self._begun.popleft()
            if begun is not None:
                begun.synchronize()  # a lost device is noticed here
        return int(self._at[writing].sum() - before.sum())

    def _fetch(self, slots: list[int]) -> tuple[dict[int, _Arriving], torch.cuda.Event | None]:
        """Have the device copy what these slots hold, behind all that it has to do before; and when that is done."""
        longest = int(self._at[slots].max()) if slots else 0
        host = torch.empty((len(slots), longest, len(ATTRIBUTES)), dtype=torch.uint8, pin_memory=self._on_gpu)
        if slots:
            host.copy_(self._tokens[:, :longest].index_select(0, self._sent(np.array(slots))), non_blocking=True)
        done = None
        if self._on_gpu:
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()
        notes = self._at[slots].tolist()
        return {
            slot: (tokens[:count], done) for slot, tokens, count in zip(slots, host.numpy(), notes, strict=True)
        }, done

    def take(self, slots: list[int]) -> Callable[[], list[IntArray]]:
        """See `engine.batching.slots.Slots`."""
        complete = self._complete
        late = [slot for slot in slots if slot not in complete]
        if late:  # stopped a moment ago
            try:
                complete = complete | self._fetch(late)[0]
            except RuntimeError as problem:
                raise _known(problem, self._on_gpu) from problem
        return partial(_arrived, [complete[slot] for slot in slots])

    def tokens(self, slot: int) -> IntArray:
        """See `engine.batching.slots.Slots`."""
        return self.take([slot])()[0]


def _rows_told(weights: StepWeights, halves: int, plan: Plan, mood: Mood) -> list[int]:
    """The rows of what each half is told that stays the same over a piece."""
    return [row for half in [plan.told(mood), plan.untold()][:halves] for row in weights.told_rows(half)]


def _arrived(arriving: list[_Arriving]) -> list[IntArray]:
    """Copies of what events say is there."""
    for done in {done for _, done in arriving}:
        if done is not None:
            try:
                done.synchronize()
            except RuntimeError as problem:
                raise _known(problem, on_gpu=True) from problem
    return [tokens.astype(np.int64) for tokens, _ in arriving]


def _known(problem: RuntimeError, on_gpu: bool) -> RuntimeError:
    """What a failure means for those who may have to make other slots."""
    if not on_gpu or isinstance(problem, torch.OutOfMemoryError):
        return problem
    return DeviceLost(f"the GPU failed: {problem}")


def counts_of_blocks(blocks: int) -> list[int]:
    """How many blocks graphs are recorded of: 1, 2, 4, … and all."""
    return sorted({*(1 << power for power in range(blocks.bit_length())), blocks})


def _dividing(size: int, most: int) -> int:
    """The largest power of two up to `most` that divides `size`."""
    return min(size & -size, most)
