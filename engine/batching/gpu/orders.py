"""How pieces join and leave on a GPU; see `engine.batching.gpu.note`, whose shapes these are.

The host says in one array, the orders, who joins before the next notes are written and who leaves after them.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,operator,no-untyped-call"

from __future__ import annotations

import triton
import triton.language as tl

from engine.batching.gpu.note import RING, moving_inputs
from engine.batching.gpu.state import (
    ATTEMPT,
    ATTRIBUTES,
    DELTA,
    DELTAS,
    DURATION,
    DURATIONS,
    FORCED,
    LENGTH,
    LENGTH_MAX,
    PART,
    PARTS,
    PITCH,
    PITCHES,
    PREVIOUS,
    SEED,
    STATE_WIDTH,
    VELOCITIES,
    VELOCITY,
)

HEADER = tl.constexpr(3)  # numbers: pieces that join, slots that are left, notes of the longest of those
TOLD = tl.constexpr(7)  # numbers of a piece that joins, before the rows of what it is told

_COPIED = tl.constexpr(1024)  # bytes at a time


@triton.jit
def begin_step(
    orders,
    bias,
    state,
    setting,
    own_share_of,
    ends,
    states,
    cells,
    fixed,
    rows,
    row_of,
    moving,
    remaining_bin,
    slots,
    layers: tl.constexpr,
    halves: tl.constexpr,
    tables: tl.constexpr,
    hidden: tl.constexpr,
    whole: tl.constexpr,
):
    """Put a piece into a slot, whatever was in it; S programs, of which as many do something as there are pieces.

    Args:
        orders: int32: HEADER numbers, S slots that are left, and of each piece that joins TOLD + halves * tables: the
            bits of `setting`, slot, length, notes of the opening, seed, attempt, the rows of what each half is told.
        bias: [4H] float32, of the first layer.
        state: see `note_step`; so are `setting`, `own_share_of` and `ends`.
        setting: see there.
        own_share_of: see there.
        ends: see there.
        states: [layers, R, H], those that the next step reads.
        cells: [layers, R, H] float32.
        fixed: [R, 4H] float32, written: what stays the same over a piece.
        rows: see `moving_inputs`; so are `row_of`, `moving` and `remaining_bin`.
        row_of: see there.
        moving: see there.
        remaining_bin: see there.
        slots: S.
        layers: of the LSTM.
        halves: 1, or 2 with guidance.
        tables: how many rows a half is told.
        hidden: H.
        whole: the next power of two after 4H.
    """
    if tl.program_id(0) >= tl.load(orders):
        return
    entry = orders + HEADER + slots + tl.program_id(0) * (TOLD + halves * tables)
    slot, length = tl.load(entry + 2), tl.load(entry + 3)
    own = state + slot * STATE_WIDTH
    tl.store(own + tl.arange(0, STATE_WIDTH), tl.zeros((STATE_WIDTH,), tl.int32))
    tl.debug_barrier()
    tl.store(own + LENGTH, length)
    tl.store(own + FORCED, tl.load(entry + 4))
    tl.store(own + SEED, tl.load(entry + 5))
    tl.store(own + ATTEMPT, tl.load(entry + 6))
    tl.store(own + PREVIOUS + PART, PARTS)  # "no note yet" stands behind the values
    tl.store(own + PREVIOUS + DELTA, DELTAS)
    tl.store(own + PREVIOUS + PITCH, PITCHES)
    tl.store(own + PREVIOUS + DURATION, DURATIONS)
    tl.store(own + PREVIOUS + VELOCITY, VELOCITIES)
    tl.store(setting + 2 * slot, tl.load(entry).to(tl.float32, bitcast=True))
    tl.store(setting + 2 * slot + 1, tl.load(entry + 1).to(tl.float32, bitcast=True))
    tl.store(own_share_of + slot, 1.0)
    tl.store(ends + slot * RING + tl.arange(0, RING), tl.zeros((RING,), tl.int32))
    at = tl.arange(0, whole)
    inside = at < 4 * hidden
    for half in tl.static_range(halves):
        row = half * slots + slot
        for layer in tl.static_range(layers):
            own_row = (layer * halves * slots + row) * hidden + at
            tl.store(states + own_row, tl.zeros((whole,), states.dtype.element_ty), mask=at < hidden)
            tl.store(cells + own_row, tl.zeros((whole,), tl.float32), mask=at < hidden)
        total = tl.load(bias + at, mask=inside)
        for table in tl.static_range(tables):
            told = tl.load(entry + TOLD + half * tables + table)
            total += tl.load(rows + told * (4 * hidden) + at, mask=inside)
        tl.store(fixed + row * (4 * hidden) + at, total, mask=inside)
    nothing = PARTS, DELTAS, PITCHES, DURATIONS, VELOCITIES
    zero = length * 0
    moving_inputs(rows, row_of, moving, remaining_bin, slot, nothing, length, zero, zero, hidden, whole)


@triton.jit
def leave_step(orders, tokens, left):
    """Put the notes of slots that are left side by side, as many of each as the longest has; S programs.

    Args:
        orders: see `begin_step`.
        tokens: see `note_step`.
        left: uint8, [slots that are left, notes of the longest, 5], written.
    """
    place = tl.program_id(0)
    if place >= tl.load(orders + 1):
        return
    size = tl.load(orders + 2) * ATTRIBUTES
    source = tokens + tl.load(orders + HEADER + place) * (LENGTH_MAX * ATTRIBUTES)
    for first in range(0, size, _COPIED):
        at = first + tl.arange(0, _COPIED)
        tl.store(left + place * size + at, tl.load(source + at, mask=at < size), mask=at < size)
