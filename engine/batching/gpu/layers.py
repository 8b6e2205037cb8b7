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
    gate,
    hidden: tl.constexpr,
    depth: tl.constexpr,
):
    """Add states [rows, H] @ weight [H, 4H] to the sums of some rows and gates."""
    for begin in range(0, hidden, depth):
        at = begin + tl.arange(0, depth)
        values = tl.load(states + row[:, None] * hidden + at[None, :])
        weights = tl.load(weight + at[:, None] * (4 * hidden) + gate[None, :])
        sums = tl.dot(values, weights, sums, input_precision="ieee")
    return sums


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
        weight: [H or 2H, 4H], the gates i, f, o, g of one unit after the other.
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
    gate = tl.program_id(2) * (4 * units) + tl.arange(0, 4 * units)
    sums = tl.zeros((rows, 4 * units), tl.float32)
    if first:
        sums = _gates(sums, before, weight, row, gate, hidden, depth)
        sums += tl.load(bias + row[:, None] * (4 * hidden) + gate[None, :])
        sums += tl.load(moving + slot[:, None] * (4 * hidden) + gate[None, :])
    else:
        sums = _gates(sums, below, weight, row, gate, hidden, depth)
        sums = _gates(sums, before, weight + hidden * (4 * hidden), row, gate, hidden, depth)
        sums += tl.load(bias + gate)[None, :]
    even, odd = tl.split(tl.reshape(sums, (rows, units, 2, 2)))
    write, read = tl.split(even)
    forget, candidate = tl.split(odd)
    own = row[:, None] * hidden + (tl.program_id(2) * units + tl.arange(0, units))[None, :]
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
    inside = column < width
    total = tl.zeros((rows, columns), tl.float32)
    for begin in range(0, hidden, depth):
        at = begin + tl.arange(0, depth)
        values = tl.load(states + row[:, None] * hidden + at[None, :])
        weights = tl.load(weight + at[:, None] * width + column[None, :], mask=inside[None, :], other=0.0)
        total = tl.dot(values, weights, total, input_precision="ieee")
    total += tl.load(bias + column, mask=inside, other=0.0)[None, :]
    tl.store(queries + row[:, None] * width + column[None, :], total, mask=inside[None, :])
