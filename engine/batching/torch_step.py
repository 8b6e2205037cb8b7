"""The note step in PyTorch, for a block of slots that is always computed whole.

Every step has the same shapes whatever the slots hold, because a matrix product of one shape is computed the same way
each time, where one of another height is summed up in another order. So a piece depends neither on its company in the
block nor on how many blocks there are. A slot without a piece is computed and thrown away.

Masses and the cache's weights are made integers before they are accumulated: integer sums are exact in any order.

Shapes: S slots of a block; R rows of state, S or with guidance 2S, of which the second S are told nothing; H hidden,
E embedding, V values of an attribute, padded.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
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
from engine.batching.weights import UNIT, FloatArray, StepWeights
from engine.guidance import guided
from engine.plan import Plan
from engine.types import LENGTH_NOTES_MAX, ComposeRequest

_RING = 512  # steps; more than the longest duration and the longest delta
MASS_BITS = 23  # of the likeliest value: 128 of them fit 31 bits
_RANDOM_BITS = 24  # of a random number (`engine.batching.randomness`)


class OnDevice:
    """What every step on a device reads of a model: its products, and the tables that it looks things up in.

    Args:
        weights: the model.
        device: of all tensors.
        dtype: of what is multiplied as matrices; sums, cells and probabilities are float32.
        index: of what is looked up.
        ordered: puts gates, [..., 4H] in the blocks of `StepWeights`, into the order in which the step has them.
    """

    def __init__(
        self,
        weights: StepWeights,
        device: torch.device,
        dtype: torch.dtype,
        index: torch.dtype,
        ordered: Callable[[FloatArray], FloatArray],
    ) -> None:
        self.device, self.dtype = device, dtype
        self.rows = self._sent(ordered(weights.rows))  # [sum V, 4H]
        # What of the input of a step moves with the notes: five attributes and three conditions.
        moving = [*range(len(ATTRIBUTES)), *(len(ATTRIBUTES) + c for c in (REMAINING, BAR_POSITION, POLYPHONY))]
        self.row_offsets = self._sent(np.array([weights.first_row[i] for i in moving]), index)  # [8]
        # Transposed, so that each product reads its weights in order.
        self.layers = [
            (self._sent(ordered(layer.weight.T), dtype), self._sent(ordered(layer.bias[None])[0]))
            for layer in weights.layers
        ]
        self.query = self._sent(weights.query.weight.T, dtype), self._sent(weights.query.bias)  # [H, 5E], [5E]
        self.delta_steps = self._sent(np.array(DELTA_STEPS), index)
        self.duration_steps = self._sent(np.array(DURATION_STEPS), index)
        bins = np.array([0] + [remaining_bin(left) for left in range(1, LENGTH_NOTES_MAX + 1)])
        self.remaining_bin = self._sent(bins, index)

    def _sent(self, array: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
        """A copy on the device, whose rows lie one after the other."""
        return torch.from_numpy(np.array(array, order="C")).to(self.device, dtype)


class DeviceWeights(OnDevice):
    """A model's weights as `TorchBlock` reads them. All blocks share them.

    Args:
        weights: the model.
        device: of all tensors.
        dtype: see `OnDevice`.
    """

    def __init__(self, weights: StepWeights, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(weights, device, dtype, torch.int64, by_gate)
        self.of_host = weights
        self.hidden, self.embedding = weights.hidden, weights.embedding
        self.heads = [(self._sent(head.weight.T, dtype), self._sent(head.bias)) for head in weights.heads]
        # What attribute j tells all that follow it, side by side: [V_j, (4 - j) E].
        chosen, follow = weights.chosen, range(len(ATTRIBUTES))
        self.told = [
            self._sent(np.concatenate([chosen[i * (i - 1) // 2 + j] for i in follow if i > j], axis=1))
            for j in range(len(ATTRIBUTES) - 1)
        ]
        self.ring = torch.arange(_RING, device=device)
        self.values = [torch.arange(len(head.bias), device=device) for head in weights.heads]


def by_gate(columns: FloatArray) -> FloatArray:
    """[..., 4H] in the blocks of `StepWeights` -> i, f, o, g one after the other: three alike, then the candidate."""
    return np.ascontiguousarray(_blocks(columns).swapaxes(-3, -2)).reshape(columns.shape)


def by_unit(columns: FloatArray) -> FloatArray:
    """[..., 4H] in the blocks of `StepWeights` -> i, f, o, g of one unit after the other."""
    return np.ascontiguousarray(_blocks(columns).swapaxes(-2, -1)).reshape(columns.shape)


def _blocks(columns: FloatArray) -> FloatArray:
    """[..., blocks, 4, units], the gates in the order i, f, o, g."""
    return columns.reshape(*columns.shape[:-1], -1, 4, UNIT)[..., (0, 1, 3, 2), :]


class TorchBlock:
    """Some slots side by side. `begin` fills one; `step` writes a note of each that has any left.

    Args:
        weights: of the model.
        slots: S.
        run_limit: a pitch is repeated so often in a row, and no oftener.
    """

    def __init__(self, weights: DeviceWeights, slots: int, run_limit: int) -> None:
        self._weights, self._slots, self._run_limit = weights, slots, run_limit
        model = weights.of_host.model
        self._guidance = model.guidance
        rows = slots if self._guidance == 1 else 2 * slots

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=weights.device)

        self._h = [zeros(rows, weights.hidden, dtype=weights.dtype) for _ in weights.layers]
        self._c = [zeros(rows, weights.hidden, dtype=torch.float32) for _ in weights.layers]
        self._fixed = zeros(rows, 4 * weights.hidden, dtype=torch.float32)
        self._previous = zeros(slots, len(ATTRIBUTES))
        self._note, self._length, self._forced = zeros(slots), zeros(slots), zeros(slots)
        self._run, self._onset, self._sounding = zeros(slots), zeros(slots), zeros(slots)
        self._ends = zeros(slots, _RING)  # notes that end at each step
        self._inverse_temperature = zeros(slots, 1, dtype=torch.float32)
        self._top_p = torch.ones(slots, 1, device=weights.device)
        # In both, the row after the last note is where slots read and write that have nothing to write.
        self._random = zeros(slots, LENGTH_NOTES_MAX + 1, len(ATTRIBUTES), dtype=torch.int32)
        self._tokens = zeros(slots, LENGTH_NOTES_MAX + 1, len(ATTRIBUTES), dtype=torch.uint8)
        self._cache: TorchCache | None = None
        if model.cache_share:
            self._cache = TorchCache(model, slots, weights.hidden, weights.device, weights.dtype)

    def begin(
        self, slot: int, request: ComposeRequest, plan: Plan, *, attempt: int = 0, opening: IntArray | None = None
    ) -> None:
        """See `engine.batching.slots.Slots`."""
        steady = self._weights.of_host.steady
        for row, told in zip(
            range(slot, len(self._fixed), self._slots), (plan.told(request.mood), plan.untold()), strict=False
        ):
            self._fixed[row].copy_(torch.from_numpy(by_gate(steady(told)[None])[0]))
        for state in (*self._h, *self._c):
            state[slot :: self._slots] = 0
        for state in (self._ends, self._note, self._run, self._onset, self._sounding):
            state[slot] = 0
        self._previous[slot].copy_(torch.tensor([attribute.size for attribute in ATTRIBUTES]))
        self._inverse_temperature[slot] = 1.0 / request.temperature
        self._top_p[slot] = request.top_p
        drawn = np.ldexp(uniforms((request.seed, attempt), request.length_notes), _RANDOM_BITS)
        self._random[slot, : request.length_notes].copy_(torch.from_numpy(drawn.astype(np.int32)))
        if opening is not None:
            self._tokens[slot, : len(opening)].copy_(torch.from_numpy(opening.astype(np.uint8)))
        self._forced[slot] = 0 if opening is None else len(opening)
        self._length[slot] = request.length_notes

    def end(self, slots: list[int]) -> None:
        """Write no more in these slots."""
        ended = torch.tensor(slots, device=self._weights.device)
        self._length[ended] = self._note[ended]

    def tokens(self, slot: int) -> Tensor:
        """[LENGTH_NOTES_MAX, 5] uint8 on the device: the notes so far, and what an earlier piece left behind them."""
        return self._tokens[slot, :LENGTH_NOTES_MAX]

    def step(self) -> None:
        """One note of every slot; of those whose piece is complete, or that are empty, none is kept."""
        weights, size = self._weights, self._weights.embedding
        active = self._note < self._length  # [S]
        rows = self._lstm()  # [R, H]
        hidden = rows[: self._slots]
        queries = (rows @ weights.query[0]).float() + weights.query[1]  # [R, 5E]
        forced = self._note < self._forced
        at = torch.where(active, self._note, LENGTH_NOTES_MAX)[:, None, None].expand(-1, 1, len(ATTRIBUTES))
        given = self._tokens.gather(1, at)[:, 0].long()  # [S, 5]
        random = self._random.gather(1, at)[:, 0].long()  # [S, 5]
        if self._cache is not None:
            self._cache.look(hidden, self._note)
        note: list[Tensor] = []
        for attribute, (weight, bias) in enumerate(weights.heads):
            # The first E are this attribute's; those of the attributes that follow stand behind.
            alone = (torch.tanh(queries[:, :size]).to(weights.dtype) @ weight).float() + bias  # [R, V]
            if self._guidance != 1:
                told, untold = alone.chunk(2)
                # Padded values are -inf in both, and stay so.
                alone = torch.where(torch.isinf(told), told, guided(told, untold, self._guidance))  # [S, V]
            logits = alone if self._cache is None else self._cache.mix(attribute, alone)
            if attribute in {DELTA, PITCH}:
                logits = logits.masked_fill(self._forbidden(attribute, note), -torch.inf)
            # Where an opening says what the rules forbid, nothing is left to draw: any value will do, but no other.
            drawn = self._draw(logits, random[:, attribute, None]).clamp(max=ATTRIBUTES[attribute].size - 1)
            note.append(torch.where(forced, given[:, attribute], drawn))
            if self._cache is not None:
                self._cache.choose(attribute, note[-1])
            if attribute < len(weights.told):
                queries = queries[:, size:] + self._of_rows(weights.told[attribute].index_select(0, note[-1]))
        whole = torch.stack(note, dim=1)  # [S, 5]
        if self._cache is not None:
            self._cache.keep(self._note, hidden, whole)
        self._tokens.scatter_(1, at, whole[:, None].to(torch.uint8))
        self._advance(active.long(), whole)

    def _lstm(self) -> Tensor:
        """[R, H]: the last layer's hidden state after the step."""
        weights, size = self._weights, self._weights.hidden
        moving = torch.cat(
            [
                self._previous,
                weights.remaining_bin[torch.clamp(self._length - self._note, min=0)][:, None],
                (self._onset % STEPS_PER_BAR)[:, None],
                torch.clamp(self._sounding, max=CONDITIONS[POLYPHONY].size - 1)[:, None],
            ],
            dim=1,
        )  # [S, 8]
        first = self._fixed + self._of_rows(weights.rows[moving + weights.row_offsets].sum(1))  # [R, 4H]
        below = self._h[0]
        for n, ((weight, bias), h, c) in enumerate(zip(weights.layers, self._h, self._c, strict=True)):
            product = (torch.cat([below, h], dim=1) if n else h) @ weight
            gates = product.float() + (bias if n else first)  # [R, 4H]
            write, forget, read = torch.sigmoid(gates[:, : 3 * size]).chunk(3, dim=1)
            torch.addcmul(forget * c, write, torch.tanh(gates[:, 3 * size :]), out=c)
            below = (read * torch.tanh(c)).to(weights.dtype)
            h.copy_(below)
        return below

    def _of_rows(self, of_slots: Tensor) -> Tensor:
        """What each of R rows is given out of [S, ...]: with guidance the second rows are given the same."""
        return of_slots if self._guidance == 1 else torch.cat([of_slots, of_slots])

    def _forbidden(self, attribute: int, note: list[Tensor]) -> Tensor:
        """[S, V] bool: the rules of `forbid` in engine/sampler.py."""
        values = self._weights.values[attribute]
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

    def _draw(self, logits: Tensor, random: Tensor) -> Tensor:
        """[S] int64 from the nucleus (Holtzman et al. 2020) of [S, V] logits, without sorting or branching.

        Args:
            logits: float32, those ruled out -inf.
            random: [S, 1] int64, below 2**24.
        """
        highest = logits.amax(1, keepdim=True)
        scaled = torch.exp((logits - highest) * self._inverse_temperature)
        mass = (scaled * (1 << MASS_BITS)).to(torch.int32)  # [S, V]
        # What is likelier weighs: [S, V, V] for a moment, 2.4 MB for the pitches of 64 slots.
        heavier = (mass[:, None, :] * (mass[:, None, :] > mass[:, :, None])).sum(2)  # [S, V] int64
        inside = mass * ((heavier == 0) | (heavier < self._top_p * mass.sum(1, keepdim=True)))
        cumulative = inside.cumsum(1)  # [S, V] int64
        target = (random * cumulative[:, -1:]) >> _RANDOM_BITS
        return (cumulative <= target).sum(1)

    def _advance(self, on: Tensor, note: Tensor) -> None:
        """Take [S, 5] written notes in: the same as data.tokens.Position.

        Slots that are not on, [S] int64 1 or 0, go on as if they were: whatever begins in them begins anew.
        """
        delta = self._weights.delta_steps[note[:, DELTA]]
        ending = (self._weights.ring - self._onset[:, None] - 1) % _RING < delta[:, None]  # [S, RING]
        self._sounding += 1 - (self._ends * ending).sum(1)
        self._ends.masked_fill_(ending, 0)
        self._onset += delta
        end = (self._onset + self._weights.duration_steps[note[:, DURATION]]) % _RING
        self._ends.scatter_add_(1, end[:, None], torch.ones_like(end)[:, None])
        repeated = note[:, PITCH] == self._previous[:, PITCH]
        torch.mul(self._run, repeated, out=self._run).add_(1)
        self._previous.copy_(note)
        self._note += on
