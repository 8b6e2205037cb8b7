"""The cache of one slot on a GPU; see `engine.batching.gpu.note`.

What is cached of a note, its head, is one number of 21 bits: the part, the delta, the pitch and the duration. What is
added up from many threads are integers, whose sums are exact in any order.

Shapes: S slots, H hidden, K notes of the cache, V values of an attribute, padded to a power of two.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,operator,no-untyped-call"

from __future__ import annotations

import triton
import triton.language as tl

from engine.batching.gpu.state import LAST, LENGTH, NOTE, STATE_WIDTH
from engine.note_cache import CACHE_MATCH_NOTES, CACHE_NATS, CACHE_NOTES

PLACES = tl.constexpr(64)  # of the cache, looked at by one program
COUNTS = tl.constexpr(256)  # how many sums `cache_says` may use
_CACHE_NOTES, _MATCHES_MAX = tl.constexpr(CACHE_NOTES), tl.constexpr(CACHE_MATCH_NOTES)
_CACHE_NATS = tl.constexpr(CACHE_NATS)
_UNLIKE = tl.constexpr(-1e30)
_UNIT = tl.constexpr(float(1 << 20))  # of a weight: K of them fit 31 bits


@triton.jit
def look_step(
    state,
    hidden_states,
    keys,
    heads,
    matches_before,
    matches_after,
    likeness_of,
    sharpness,
    match,
    hidden: tl.constexpr,
    depth: tl.constexpr,
):
    """How like the present what is kept is (`torch_cache.TorchCache.look`); a program for each (slot, some places).

    Args:
        state: see `note.note_step`; so are `hidden_states`, `keys` and `heads`.
        hidden_states: see there.
        keys: see there.
        heads: see there.
        matches_before: [S, K] int32: notes before each that equalled the last ones.
        matches_after: [S, K] int32, written: that equal them.
        likeness_of: [S, K] float32, written.
        sharpness: of the model's configuration, as is `match`.
        match: see there.
        hidden: H.
        depth: of a state's numbers looked at together; divides H.
    """
    slot, first = tl.program_id(0), tl.program_id(1) * PLACES
    own = state + slot * STATE_WIDTH
    written = tl.load(own + NOTE)
    if (written >= tl.load(own + LENGTH)) | (written <= first):
        return
    place = first + tl.arange(0, PLACES)
    filled = tl.minimum(written, _CACHE_NOTES)
    there = place < filled
    every = slot.to(tl.int64) * _CACHE_NOTES
    alike = tl.zeros((PLACES,), tl.float32)
    for begin in range(0, hidden, depth):
        at = begin + tl.arange(0, depth)
        key = tl.load(keys + (every + place)[:, None] * hidden + at[None, :], mask=there[:, None], other=0.0)
        now = tl.load(hidden_states + slot * hidden + at)
        alike += tl.sum(key.to(tl.float32) * now.to(tl.float32)[None, :], 1)
    known = filled - ((written - 1 - place) % _CACHE_NOTES + 1)
    left = every + (place + _CACHE_NOTES - 1) % _CACHE_NOTES
    longer = tl.minimum(tl.load(matches_before + left, mask=there, other=0) + 1, _MATCHES_MAX)
    same = tl.where(tl.load(heads + left, mask=there, other=-1) == tl.load(own + LAST), longer, 0)
    tl.store(matches_after + every + place, same, mask=there)
    alike = alike * sharpness + match * tl.minimum(same, known).to(tl.float32)
    tl.store(likeness_of + every + place, alike, mask=there)


@triton.jit
def kept_of(heads, likeness, counts, written):
    """What one slot's cache holds: all heads, [K] int32, and what each weighs, [K] int32; and `counts` made zero."""
    place = tl.arange(0, _CACHE_NOTES)
    there = place < written
    tl.store(counts + tl.arange(0, COUNTS), tl.zeros((COUNTS,), tl.int32))
    head = tl.load(heads + place, mask=there, other=0)
    alike = tl.load(likeness + place, mask=there, other=_UNLIKE)
    lower = alike - tl.max(alike, 0)
    weight = tl.where(there & (lower > -_CACHE_NATS), tl.exp(lower) * _UNIT, 0.0).to(tl.int32)
    tl.debug_barrier()
    return head, weight


@triton.jit
def cache_says(kept, counts, prefix, shift: tl.constexpr, padded: tl.constexpr):
    """How one slot's cache distributes an attribute, [padded] float32, among notes that begin with `prefix`.

    Args:
        kept: of `kept_of`.
        counts: as many zeros as values, int32, replaced.
        prefix: the attributes before, as the beginning of a head.
        shift: how many bits of a head follow the attribute's.
        padded: as many values as the attribute's bits have.
    """
    head, weight = kept
    begins = (head >> shift) // padded
    tl.atomic_add(counts + (head >> shift) % padded, weight, mask=(begins == prefix) & (weight > 0), sem="relaxed")
    tl.debug_barrier()
    count = tl.load(counts + tl.arange(0, padded), cache_modifier=".cg")  # where sums are made, not what is nearest
    total = tl.sum(count, 0)
    return tl.where(total > 0, count.to(tl.float32) / tl.maximum(total, 1).to(tl.float32), 0.0)
