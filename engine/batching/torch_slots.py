"""Slots stepped by PyTorch: on CUDA as one graph of several steps, on a CPU that has no C compiler step by step.

All state lies on the device and every step has the same shapes whatever the slots hold, for two reasons: a CUDA graph
replays fixed shapes, and a matrix product of one shape is computed the same way each time, so that a piece does not
depend on its company. A slot without a piece is computed and thrown away.

The host knows each piece's length, so it knows what was written without asking. Nothing is read back until pieces are
complete, and then in the one wait that ends a chunk, through pinned memory.

There is one graph for all slots rather than one for each of several slot counts: cuBLAS computes a product of another
height in another order, and a piece would depend on its company. Its cost on a GPU has not been measured yet.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.score import STEPS_PER_BAR
from data.tokens import (
    ATTRIBUTES,
    BAR_POSITION,
    CONDITIONS,
    DELTA,
    DELTA_STEPS,
    DURATION,
    DURATION_STEPS,
    PART,
    PITCH,
    POLYPHONY,
    REMAINING,
    IntArray,
    remaining_bin,
)
from engine.batching.randomness import uniforms
from engine.batching.torch_cache import TorchCache
from engine.batching.weights import padded, step_weights
from engine.checkpoint import Checkpoint
from engine.guidance import guided
from engine.plan import Plan
from engine.types import LENGTH_NOTES_MAX, ComposeRequest

log = logging.getLogger(__name__)

_RING = 512  # steps; more than the longest duration and the longest delta
_GRAPH_STEPS = 8  # in one replay: long enough to hide the launch
_STEPS_MAX = 16  # in one call: pieces join and are cancelled between calls


class TorchSlots:
    """Pieces in the making on one device. For one thread, but for `stop`.

    Args:
        checkpoint: the model.
        count: slots; padded to a multiple of sixteen.
        device: "cuda" or "cpu".
        dtype: of weights and of the states that they multiply; sums, cells and probabilities are float32.

    Raises:
        RuntimeError: PyTorch cannot use the device.
    """

    def __init__(
        self, checkpoint: Checkpoint, count: int, *, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.count = padded(count)
        self.chunk_notes = _GRAPH_STEPS * self.count
        self.device = torch.device(device)
        self._dtype = dtype
        self._run_limit = checkpoint.longest_pitch_run
        self._load(checkpoint)
        self._allocate()
        self._graph: torch.cuda.CUDAGraph | None = None
        if self.device.type == "cuda":
            self._capture()

    def _load(self, checkpoint: Checkpoint) -> None:
        self._weights = weights = step_weights(checkpoint.model)
        self.hidden, self._embedding = weights.hidden, weights.embedding

        def on_device(array: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.from_numpy(array.copy()).to(self.device, dtype)

        self._rows = on_device(weights.rows)  # [sum V, 4H]
        moving = [*range(len(ATTRIBUTES)), *(len(ATTRIBUTES) + c for c in (REMAINING, BAR_POSITION, POLYPHONY))]
        self._row_offsets = on_device(np.array([weights.first_row[i] for i in moving]), torch.int64)  # [8]
        # Transposed, so that each product reads its weights in order.
        self._layers = [
            (on_device(layer.weight.T.copy(), self._dtype), on_device(layer.bias)) for layer in weights.layers
        ]
        self._query = on_device(weights.query.weight.T.copy(), self._dtype), on_device(weights.query.bias)
        self._heads = [(on_device(head.weight.T.copy(), self._dtype), on_device(head.bias)) for head in weights.heads]
        self._chosen = [on_device(table) for table in weights.chosen]
        self._delta_steps = on_device(np.array(DELTA_STEPS), torch.int64)
        self._duration_steps = on_device(np.array(DURATION_STEPS), torch.int64)
        bins = np.array([0] + [remaining_bin(left) for left in range(1, LENGTH_NOTES_MAX + 1)])
        self._remaining_bin = on_device(bins, torch.int64)
        self._ring = torch.arange(_RING, device=self.device)
        self._values = [torch.arange(len(head.bias), device=self.device) for head in weights.heads]

    def _allocate(self) -> None:
        count, layers = self.count, len(self._layers)
        # With guidance each piece has two rows of state; in the second, behind all first ones, it is told nothing.
        self._guidance = self._weights.model.guidance
        rows = count if self._guidance == 1 else 2 * count

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.device)

        self._h = [zeros(rows, self.hidden, dtype=self._dtype) for _ in range(layers)]
        self._c = [zeros(rows, self.hidden, dtype=torch.float32) for _ in range(layers)]
        self._fixed = zeros(rows, 4 * self.hidden, dtype=torch.float32)
        self._previous = zeros(count, len(ATTRIBUTES))
        self._note, self._length, self._forced = zeros(count), zeros(count), zeros(count)
        self._run, self._onset, self._sounding = zeros(count), zeros(count), zeros(count)
        self._ends = zeros(count, _RING)
        self._inverse_temperature = zeros(count, 1, dtype=torch.float32)
        self._top_p = zeros(count, 1, dtype=torch.float32)
        self._uniforms = zeros(count, LENGTH_NOTES_MAX, len(ATTRIBUTES), dtype=torch.float32)
        self._tokens = zeros(count, LENGTH_NOTES_MAX, len(ATTRIBUTES))
        self._cache: TorchCache | None = None
        if self._weights.model.cache_share:
            self._cache = TorchCache(self._weights, count, self.device, self._dtype)
        pinned = self.device.type == "cuda"
        self._host_tokens = torch.zeros(self._tokens.shape, dtype=torch.int64, pin_memory=pinned)
        # The host's own account of each slot.
        self._at = np.zeros(count, np.int64)
        self._end = np.zeros(count, np.int64)
        self._stop = np.zeros(count, np.bool_)

    def _capture(self) -> None:
        """Record `_GRAPH_STEPS` steps as one graph (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs)."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(stream):
            self._step()  # warms up the libraries, which may not allocate while recording
            self._step()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(self._graph):
            for _ in range(_GRAPH_STEPS):
                self._step()

    @torch.inference_mode()
    def begin(
        self, slot: int, request: ComposeRequest, plan: Plan, *, attempt: int = 0, opening: IntArray | None = None
    ) -> None:
        """See `engine.batching.slots.Slots`."""
        self._fixed[slot].copy_(torch.from_numpy(self._weights.steady(plan.told(request.mood))))
        if self._guidance != 1:
            self._fixed[self.count + slot].copy_(torch.from_numpy(self._weights.steady(plan.untold())))
        for state in (*self._h, *self._c):
            state[slot :: self.count] = 0
        for state in (self._ends, self._note, self._run, self._onset, self._sounding):
            state[slot] = 0
        self._previous[slot].copy_(torch.tensor([attribute.size for attribute in ATTRIBUTES]))
        self._inverse_temperature[slot] = 1.0 / request.temperature
        self._top_p[slot] = request.top_p
        self._uniforms[slot, : request.length_notes].copy_(
            torch.from_numpy(uniforms((request.seed, attempt), request.length_notes))
        )
        if opening is not None:
            self._tokens[slot, : len(opening)].copy_(torch.from_numpy(opening))
        self._forced[slot] = 0 if opening is None else len(opening)
        self._length[slot] = request.length_notes
        self._at[slot], self._end[slot], self._stop[slot] = 0, request.length_notes, False

    @torch.inference_mode()
    def run(self, steps: int) -> int:
        """See `engine.batching.slots.Slots`. Sixteen steps at most; on CUDA rounded up to whole graphs."""
        steps = min(steps, _STEPS_MAX)
        stopped = np.flatnonzero(self._stop & (self._at < self._end))
        if len(stopped):
            self._end[stopped] = self._at[stopped]
            ended = torch.from_numpy(stopped).to(self.device)
            self._length[ended] = self._note[ended]
        if self._graph is not None:
            replays = -(-steps // _GRAPH_STEPS)
            steps = replays * _GRAPH_STEPS
            for _ in range(replays):
                self._graph.replay()
        else:
            for _ in range(min(steps, int((self._end - self._at).max()))):
                self._step()
        before, self._at = self._at, np.minimum(self._at + steps, self._end)
        for slot in np.flatnonzero((before < self._end) & (self._at == self._end)).tolist():
            self._host_tokens[slot].copy_(self._tokens[slot], non_blocking=True)
        if self.device.type == "cuda":
            # One wait for a chunk: the copies are there, and a lost device is noticed here.
            torch.cuda.synchronize(self.device)
        return int(self._at.sum() - before.sum())

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
        complete = self._at[slot] == self._end[slot]
        source = self._host_tokens if complete else self._tokens
        return source[slot, : self.written(slot)].cpu().numpy().copy()  # on a CPU `.cpu()` is no copy

    def _step(self) -> None:
        """One note of every slot; slots whose piece is complete, or that are empty, keep what they have."""
        active = self._note < self._length  # [S]
        hidden = self._lstm(active)  # [R, H]
        bias = self._query[1]
        queries = (hidden @ self._query[0]).float() + bias  # [R, 5E]
        hidden = hidden[: self.count]
        at = torch.clamp(self._note, max=LENGTH_NOTES_MAX - 1)
        forced = self._note < self._forced
        row = at[:, None, None].expand(-1, 1, len(ATTRIBUTES))
        given = self._tokens.gather(1, row)[:, 0]  # [S, 5]
        uniform = self._uniforms.gather(1, row)[:, 0]  # [S, 5]
        if self._cache is not None:
            self._cache.look(hidden, self._note)
        note: list[Tensor] = []
        for attribute, (weight, head_bias) in enumerate(self._heads):
            query = queries[:, attribute * self._embedding : (attribute + 1) * self._embedding]
            first = attribute * (attribute - 1) // 2
            for j in range(attribute):
                query = query + self._chosen[first + j].index_select(0, self._of_rows(note[j]))
            alone = (torch.tanh(query).to(self._dtype) @ weight).float() + head_bias  # [R, V]
            if self._guidance != 1:
                told, untold = alone.chunk(2)
                # Padded values are -inf in both, and stay so.
                alone = torch.where(torch.isinf(told), told, guided(told, untold, self._guidance))  # [S, V]
            logits = alone if self._cache is None else self._cache.mix(attribute, alone)
            logits = logits.masked_fill(self._forbidden(attribute, note), -torch.inf)
            drawn = self._draw(logits, uniform[:, attribute, None])
            note.append(torch.where(forced, given[:, attribute], drawn))
            if self._cache is not None:
                self._cache.choose(attribute, note[-1])
        whole = torch.stack(note, dim=1)
        if self._cache is not None:
            self._cache.keep(active, self._note, hidden, whole)
        self._advance(active, at, whole)

    def _lstm(self, active: Tensor) -> Tensor:
        """[R, H]: the last layer's hidden state after the step."""
        polyphony = torch.clamp(self._sounding, max=CONDITIONS[POLYPHONY].size - 1)
        moving = torch.cat(
            [
                self._previous,
                self._remaining_bin[torch.clamp(self._length - self._note, min=0)][:, None],
                (self._onset % STEPS_PER_BAR)[:, None],
                polyphony[:, None],
            ],
            dim=1,
        )  # [S, 8]
        gates = self._fixed + self._of_rows(self._rows[moving + self._row_offsets].sum(1))  # [R, 4H]
        active = self._of_rows(active)
        below = self._h[0]
        for n, (weight, bias) in enumerate(self._layers):
            if n == 0:
                gates = gates + (self._h[0] @ weight).float()
            else:
                gates = (torch.cat([below, self._h[n]], dim=1) @ weight).float() + bias
            blocks = gates.view(-1, self.hidden // 16, 4, 16)
            write, forget, candidate, read = (blocks[:, :, g].reshape(-1, self.hidden) for g in range(4))
            c = torch.sigmoid(forget) * self._c[n] + torch.sigmoid(write) * torch.tanh(candidate)
            below = (torch.sigmoid(read) * torch.tanh(c)).to(self._dtype)
            self._c[n].copy_(torch.where(active[:, None], c, self._c[n]))
            self._h[n].copy_(torch.where(active[:, None], below, self._h[n]))
        return below

    def _of_rows(self, of_slots: Tensor) -> Tensor:
        """What each of R rows is given out of [S, ...]: with guidance the second rows are given the same."""
        return of_slots if self._guidance == 1 else torch.cat([of_slots, of_slots])

    def _forbidden(self, attribute: int, note: list[Tensor]) -> Tensor:
        """[S, V] bool: the rules of `forbid` in engine/sampler.py."""
        values = self._values[attribute]
        if attribute not in {DELTA, PITCH}:
            return (values < 0).expand(self.count, -1)
        begins = (self._note == 0)[:, None]
        same_part = note[PART] == self._previous[:, PART]
        pitch = self._previous[:, PITCH]
        if attribute == DELTA:
            top = pitch == ATTRIBUTES[PITCH].size - 1
            no_chord = (note[PART] < self._previous[:, PART]) | (same_part & top)
            return torch.where(begins, values > 0, no_chord[:, None] & (values == 0))
        chord = ((note[DELTA] == 0) & same_part)[:, None]
        full = (self._run >= self._run_limit)[:, None]
        return ~begins & torch.where(chord, values <= pitch[:, None], full & (values == pitch[:, None]))

    def _draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """[S] int64 from the nucleus (Holtzman et al. 2020) of [S, V] logits, without sorting or branching."""
        highest = logits.amax(1, keepdim=True)
        mass = torch.exp((logits - highest) * self._inverse_temperature)  # [S, V]
        heavier = (mass[:, None, :] * (mass[:, None, :] > mass[:, :, None])).sum(2)  # [S, V]
        inside = mass * (heavier < self._top_p * mass.sum(1, keepdim=True))
        cumulative = inside.cumsum(1)
        drawn = (cumulative <= uniform * cumulative[:, -1:]).sum(1)  # [S]
        # Rounding may lead past the last value of the nucleus: then that one.
        last = (self._values_of(inside) * (inside > 0)).amax(1)
        return torch.minimum(drawn, last)

    def _values_of(self, row: Tensor) -> Tensor:
        return torch.arange(row.shape[1], device=self.device)

    def _advance(self, active: Tensor, at: Tensor, note: Tensor) -> None:
        """Take [S, 5] written notes in: the same as data.tokens.Position."""
        on = active.long()
        here = at[:, None, None].expand(-1, 1, len(ATTRIBUTES))
        old = self._tokens.gather(1, here)
        self._tokens.scatter_(1, here, torch.where(active[:, None, None], note[:, None], old))
        delta = self._delta_steps[note[:, DELTA]] * on
        ending = ((self._ring - self._onset[:, None] - 1) % _RING < delta[:, None]).long()  # [S, RING]
        self._sounding += on - (self._ends * ending).sum(1)
        self._ends *= 1 - ending
        self._onset += delta
        end = (self._onset + self._duration_steps[note[:, DURATION]]) % _RING
        self._ends.scatter_add_(1, end[:, None], on[:, None])
        repeated = note[:, PITCH] == self._previous[:, PITCH]
        self._run.copy_(torch.where(active, torch.where(repeated, self._run + 1, 1), self._run))
        self._previous.copy_(torch.where(active[:, None], note, self._previous))
        self._note += on
