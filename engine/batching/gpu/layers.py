"""The matrix products of a note step on a GPU; see `engine.batching.gpu.note`."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,operator,no-untyped-call"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    """Without the library that Triton has for a GPU alone; exact to a few units in the last place of 1."""
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def _gates(
    sums,
    states,
    weight,
    row,
    unit,
    hidden: tl.constexpr,
    depth: tl.constexpr,
):
    """Add states [rows, H] @ weight [H, 4H] to the four sums of some rows and units."""
    write, forget, read, candidate = sums
    for begin in range(0, hidden, depth):
        at = begin + tl.arange(0, depth)
        values = tl.load(states + row[:, None] * hidden + at[None, :])
        weights = weight + at[:, None] * (4 * hidden) + unit[None, :]
        write = tl.dot(values, tl.load(weights), write, input_precision="ieee")
        forget = tl.dot(values, tl.load(weights + hidden), forget, input_precision="ieee")
        read = tl.dot(values, tl.load(weights + 2 * hidden), read, input_precision="ieee")
        candidate = tl.dot(values, tl.load(weights + 3 * hidden), candidate, input_precision="ieee")
    return write, forget, read, candidate


@triton.jit
def layer_step(
    below,
    before,
    weight,
    bias,
    moving,
    cell,
    after,
    slots,
    hidden: tl.constexpr,
    first: tl.constexpr,
    rows: tl.constexpr,
    units: tl.constexpr,
    depth: tl.constexpr,
):
    """One LSTM layer; a program for each (some slots, half of the rows, some units).

    Args:
        below: [R, H], states of the layer below after this step; not read by the first.
        before: [R, H], the layer's states before this step.
        weight: [H or 2H, 4H], gates in the order i, f, o, g.
        bias: of the first layer [R, 4H] float32, what stays the same over a piece; of the others [4H].
        moving: [S, 4H] float32: what the moving inputs of the step add; the first layer's alone.
        cell: [R, H] float32, replaced.
        after: [R, H], written.
        slots: S.
        hidden: H.
        first: whether it is the first layer.
        rows: in a program; so are `units`.
        units: of the layer.
        depth: inputs that are multiplied together; divides H.
    """
    slot = tl.program_id(0) * rows + tl.arange(0, rows)
    row = tl.program_id(1) * slots + slot
    unit = tl.program_id(2) * units + tl.arange(0, units)
    nothing = tl.zeros((rows, units), tl.float32)
    sums = nothing, nothing, nothing, nothing
    if first:
        sums = _gates(sums, before, weight, row, unit, hidden, depth)
    else:
        sums = _gates(sums, below, weight, row, unit, hidden, depth)
        sums = _gates(sums, before, weight + hidden * (4 * hidden), row, unit, hidden, depth)
    write, forget, read, candidate = sums
    if first:
        fixed = bias + row[:, None] * (4 * hidden) + unit[None, :]
        moved = moving + slot[:, None] * (4 * hidden) + unit[None, :]
        write += tl.load(fixed) + tl.load(moved)
        forget += tl.load(fixed + hidden) + tl.load(moved + hidden)
        read += tl.load(fixed + 2 * hidden) + tl.load(moved + 2 * hidden)
        candidate += tl.load(fixed + 3 * hidden) + tl.load(moved + 3 * hidden)
    else:
        write += tl.load(bias + unit)[None, :]
        forget += tl.load(bias + hidden + unit)[None, :]
        read += tl.load(bias + 2 * hidden + unit)[None, :]
        candidate += tl.load(bias + 3 * hidden + unit)[None, :]
    own = row[:, None] * hidden + unit[None, :]
    kept = tl.sigmoid(forget) * tl.load(cell + own) + tl.sigmoid(write) * tanh(candidate)
    tl.store(cell + own, kept)
    tl.store(after + own, (tl.sigmoid(read) * tanh(kept)).to(after.dtype.element_ty))


@triton.jit
def query_step(
    states,
    weight,
    bias,
    queries,
    slots,
    hidden: tl.constexpr,
    width: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    depth: tl.constexpr,
):
    """`queries` [R, 5E] float32 = states [R, H] @ weight [H, 5E] + bias [5E]; `width` is 5E."""
    row = tl.program_id(1) * slots + tl.program_id(0) * rows + tl.arange(0, rows)
    column = tl.program_id(2) * columns + tl.arange(0, columns)
    total = tl.zeros((rows, columns), tl.float32)
    for begin in range(0, hidden, depth):
        at = begin + tl.arange(0, depth)
        values = tl.load(states + row[:, None] * hidden + at[None, :])
        weights = tl.load(weight + at[:, None] * width + column[None, :])
        total = tl.dot(values, weights, total, input_precision="ieee")
    total += tl.load(bias + column)[None, :]
    tl.store(queries + row[:, None] * width + column[None, :], total)
