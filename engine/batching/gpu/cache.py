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
from engine.model_config import CACHE_NOTES
from engine.note_cache import CACHE_MATCH_NOTES, CACHE_NATS

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
    programs: tl.constexpr,
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
        programs: of a slot.
    """
    slot, own = tl.program_id(0), state + tl.program_id(0) * STATE_WIDTH
    written, every = tl.load(own + NOTE), slot.to(tl.int64) * _CACHE_NOTES
    if written >= tl.load(own + LENGTH):
        return
    filled, last = tl.minimum(written, _CACHE_NOTES), tl.load(own + LAST)
    for first in range(tl.program_id(1) * PLACES, filled, programs * PLACES):
        place = first + tl.arange(0, PLACES)
        there = place < filled
        products = tl.zeros((PLACES, depth), tl.float32)
        for begin in tl.static_range(0, hidden, depth):
            at = begin + tl.arange(0, depth)
            key = tl.load(keys + (every + place)[:, None] * hidden + at[None, :], mask=there[:, None], other=0.0)
            now = tl.load(hidden_states + slot * hidden + at)
            products += key.to(tl.float32) * now.to(tl.float32)[None, :]
        known = filled - ((written - 1 - place) % _CACHE_NOTES + 1)
        left = every + (place + _CACHE_NOTES - 1) % _CACHE_NOTES
        longer = tl.minimum(tl.load(matches_before + left, mask=there, other=0) + 1, _MATCHES_MAX)
        same = tl.where(tl.load(heads + left, mask=there, other=-1) == last, longer, 0)
        tl.store(matches_after + every + place, same, mask=there)
        alike = tl.sum(products, 1) * sharpness + match * tl.minimum(same, known).to(tl.float32)
        tl.store(likeness_of + every + place, alike, mask=there)


@triton.jit
def _read(heads, likeness, first, filled, places: tl.constexpr):
    """All heads of some places, and how like the present those are: unlike all others where nothing is kept."""
    place = first + tl.arange(0, places)
    head = tl.load(heads + place, mask=place < filled, other=0)
    return head, tl.load(likeness + place, mask=place < filled, other=_UNLIKE)


@triton.jit
def _weighed(alike, highest):
    lower = alike - highest
    return tl.where((alike > _UNLIKE) & (lower > -_CACHE_NATS), tl.exp(lower) * _UNIT, 0.0).to(tl.int32)


@triton.jit
def kept_of(heads, likeness, counts, written, places: tl.constexpr):
    """What one slot's cache holds, for `cache_says`; and `counts` made zero.

    Args:
        heads: [K] int32: what is cached of each note.
        likeness: [K] float32, of `look_step`.
        counts: [COUNTS] int32, replaced.
        written: notes of the piece.
        places: of the cache, looked at together; all of them are read once, fewer again for every attribute.
    """
    tl.store(counts + tl.arange(0, COUNTS), tl.zeros((COUNTS,), tl.int32))
    filled = tl.minimum(written, _CACHE_NOTES)
    if places == _CACHE_NOTES:
        head, alike = _read(heads, likeness, 0, filled, places)
        kept = head, _weighed(alike, tl.max(alike, 0)), 0.0, 0
    else:
        highest = tl.full((places,), _UNLIKE, tl.float32)
        for first in range(0, filled, places):
            _, alike = _read(heads, likeness, first, filled, places)
            highest = tl.maximum(highest, alike)
        kept = heads, likeness, tl.max(highest, 0), filled
    tl.debug_barrier()
    return kept


@triton.jit
def _count(counts, head, weight, prefix, shift: tl.constexpr, padded: tl.constexpr):
    head = head >> shift
    begins = (head // padded == prefix) & (weight > 0)
    tl.atomic_add(counts + head % padded, weight, mask=begins, sem="relaxed")


@triton.jit
def cache_says(kept, counts, prefix, shift: tl.constexpr, padded: tl.constexpr, places: tl.constexpr):
    """How one slot's cache distributes an attribute, [padded] float32, among notes that begin with `prefix`.

    Args:
        kept: of `kept_of`.
        counts: as many zeros as values, int32, replaced.
        prefix: the attributes before, as the beginning of a head.
        shift: how many bits of a head follow the attribute's.
        padded: as many values as the attribute's bits have.
        places: see `kept_of`.
    """
    heads, likeness, highest, filled = kept
    if places == _CACHE_NOTES:
        _count(counts, heads, likeness, prefix, shift, padded)
    else:
        for first in range(0, filled, places):
            head, alike = _read(heads, likeness, first, filled, places)
            _count(counts, head, _weighed(alike, highest), prefix, shift, padded)
    tl.debug_barrier()
    count = tl.load(counts + tl.arange(0, padded), cache_modifier=".cg")  # where sums are made, not what is nearest
    total = tl.sum(count, 0)
    return tl.where(total > 0, count.to(tl.float32) / tl.maximum(total, 1).to(tl.float32), 0.0)
