"""What a GPU holds of slots and does in a call; see `engine.batching.gpu.slots`."""

from __future__ import annotations

from functools import lru_cache, partial

import torch
import triton
from torch import Tensor

from data.keys import Key
from data.moods import Mood
from data.tokens import ATTRIBUTES
from engine.batching.gpu import note as kernels
from engine.batching.gpu import orders
from engine.batching.gpu.cache import COUNTS, look_step
from engine.batching.gpu.layers import layer_step, query_step
from engine.batching.gpu.state import STATE_WIDTH
from engine.batching.gpu.weights import GpuWeights, power_of_two
from engine.batching.weights import StepWeights, step_weights
from engine.checkpoint import Checkpoint
from engine.model_config import CACHE_NOTES
from engine.plan import Plan
from engine.types import LENGTH_NOTES_MAX

# How programs are cut where slots are few, and where they are many: what was fastest on an H200 (docs/bench/README.md).
_MANY = 256
_LAYER: tuple[dict[str, int], dict[str, int]] = {"units": 8, "num_warps": 4}, {"units": 32, "num_warps": 8}
_QUERY: tuple[dict[str, int], dict[str, int]] = {"columns": 16}, {"columns": 64}
_LOOK = {"num_warps": 2}
_LOOKS, _LOOKS_UP_TO = 4, 512  # programs a slot, so that none waits for one whose piece is long; with more slots, one
_NOTE: tuple[dict[str, int], dict[str, int]] = (
    {"height": 128, "places": CACHE_NOTES, "num_warps": 4},
    {"height": 32, "places": 64, "num_warps": 1, "maxnreg": 128},
)
_TOLD_MAX = 1024
_DEPTH = 64  # how much of a product's inputs at a time


class GpuStep:
    """The memory of some slots, and a call: pieces join, some notes of all are written, and pieces leave.

    Args:
        checkpoint: the model.
        count: slots, a multiple of `block`.
        device: "cuda", or anything else where Triton interprets its kernels.
        dtype: of weights and of the states that they multiply.
        block: see `GpuSlots`; so is `graph_steps`.
        graph_steps: see there.

    Attributes:
        told: the rows of what a piece is told of a plan and a mood, which stays the same over it.
        state: [count, STATE_WIDTH] int32.
        tokens: [count, LENGTH_NOTES_MAX, 5] uint8.
        orders: int32, see `begin_step`.
        entry_width: numbers of a piece that joins.
        left: uint8, see `leave_step`.
        graphs: by the blocks that each one computes, the fewest first; none where there is no GPU.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        count: int,
        device: torch.device,
        dtype: torch.dtype,
        block: int,
        graph_steps: int,
    ) -> None:
        self._host, self._run_limit = step_weights(checkpoint), checkpoint.longest_pitch_run
        self._model = self._host.model
        self.count, self.device, self.block, self._graph_steps = count, device, block, graph_steps
        self._halves = 1 if self._model.guidance == 1 else 2
        # Takes of one request are told the same.
        self.told = lru_cache(_TOLD_MAX)(partial(_rows_told, self._host, self._halves))
        told = len(self.told(Plan(90, Key(0, "minor")), Mood.DARK))
        self._tables, self.entry_width = told // self._halves, orders.TOLD.value + told
        self.weights = GpuWeights(self._host, device, dtype)
        self._allocate(dtype)
        self.graphs: dict[int, torch.cuda.CUDAGraph] = self._record() if device.type == "cuda" else {}

    def write(self, blocks: int) -> None:
        """Do what the orders say, and write some notes of all pieces in the first so many blocks."""
        if self.graphs:
            next(graph for count, graph in self.graphs.items() if count >= blocks).replay()
        else:
            self._write(blocks, self._graph_steps)

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
        self.state = zeros(count, STATE_WIDTH.value)
        self._setting = zeros(count, 2, dtype=torch.float32)
        self._own_share = zeros(count, dtype=torch.float32)
        self.tokens = zeros(count, LENGTH_NOTES_MAX, len(ATTRIBUTES), dtype=torch.uint8)
        self._ends = zeros(count, kernels.RING.value)
        places = CACHE_NOTES if self._model.cache_share else 1
        self._keys = zeros(count, places, hidden, dtype=dtype)
        self._heads, self._matches = zeros(count, places), zeros(2, count, places)
        self._likeness = zeros(count, places, dtype=torch.float32)
        self._counts = zeros(count, COUNTS.value)
        self.orders = zeros(orders.HEADER.value + count * (1 + self.entry_width))
        self.left = zeros(self.tokens.numel(), dtype=torch.uint8)

    def _record(self) -> dict[int, torch.cuda.CUDAGraph]:
        """Graphs of `graph_steps` steps. They share their memory: they are replayed one after the other."""
        counts = counts_of_blocks(self.count // self.block)
        with torch.inference_mode():
            for blocks in counts:
                self._write(blocks, 2)  # compiles
            torch.cuda.synchronize(self.device)
            graphs, pool = dict[int, torch.cuda.CUDAGraph](), torch.cuda.graph_pool_handle()
            for blocks in counts:
                graphs[blocks] = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graphs[blocks], pool=pool):
                    self._write(blocks, self._graph_steps)
        return graphs

    def _write(self, blocks: int, steps: int) -> None:
        """Let some join, write so many notes, an even number, of all in the first blocks, and let some leave."""
        self._join()
        for step in range(steps):
            self._step(blocks, step % 2)
        self.leave()

    def _step(self, blocks: int, odd: int) -> None:
        weights, model, hidden = self.weights, self._model, self._host.hidden
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
            programs = _LOOKS if slots <= _LOOKS_UP_TO else 1
            look_step[slots, programs](
                self.state,
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
                programs=programs,
                **_LOOK,
            )
        kernels.note_step[(slots,)](
            self.state,
            self._setting,
            self._own_share,
            self.tokens,
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

    def _join(self) -> None:
        """Put the pieces of the orders into their slots."""
        weights, hidden = self.weights, self._host.hidden
        orders.begin_step[(self.count,)](
            self.orders,
            weights.layers[0][1],
            self.state,
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
            tables=self._tables,
            hidden=hidden,
            whole=power_of_two(4 * hidden),
        )

    def leave(self) -> None:
        """Put side by side what the slots of the orders hold."""
        orders.leave_step[(self.count,)](self.orders, self.tokens, self.left)


def _rows_told(weights: StepWeights, halves: int, plan: Plan, mood: Mood) -> list[int]:
    """The rows of what each half is told that stays the same over a piece."""
    return [row for half in [plan.told(mood), plan.untold()][:halves] for row in weights.told_rows(half)]


def counts_of_blocks(blocks: int) -> list[int]:
    """How many blocks graphs are recorded of: 1, 2, 4, … and all."""
    return sorted({*(1 << power for power in range(blocks.bit_length())), blocks})


def _dividing(size: int, most: int) -> int:
    """The largest power of two up to `most` that divides `size`."""
    return min(size & -size, most)
