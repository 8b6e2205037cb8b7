"""The note step as GPU kernels, written in Triton (https://triton-lang.org): four launches a note for two layers.

`layer_step` multiplies one layer's weights with the states of all rows and applies the gates before anything leaves
the registers; `query_step` asks the five queries of the last layer's states; `note_step` does the rest in one program a
slot: the cache, the five attributes one after the other, the draws, the bookkeeping, and the input of the next step.
`begin_step` puts pieces into slots.

A program of the last two has one slot to itself and ends its loops where that slot's piece ends them; a program of the
first two always has the same number of rows. Sums are added up in an order that nothing else decides. So a piece
depends neither on its company nor on its slot. What programs of one launch read and others of it write is kept twice,
for steps of even and of odd number.

With the environment variable TRITON_INTERPRET=1 the same kernels run on a CPU, far too slowly for anything but tests.

Shapes: S slots; R rows of state, S or with guidance 2S, of which the second S are told nothing; H hidden, E embedding,
W the next power of two after E, K notes of the cache, V values of an attribute.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,operator,no-untyped-call"

from __future__ import annotations

import triton
import triton.language as tl

from data.score import STEPS_PER_BAR
from data.tokens import (
    ATTRIBUTES,
    BAR_POSITION,
    CONDITIONS,
    DELTA,
    DURATION,
    PART,
    PITCH,
    POLYPHONY,
    REMAINING,
    VELOCITY,
)
from engine.batching.torch_step import MASS_BITS
from engine.note_cache import CACHE_MATCH_NOTES, CACHE_NATS, CACHE_NOTES, SHARE_MAX
from engine.types import LENGTH_NOTES_MAX

# What `state` holds of each slot: int32, so many in a row.
NOTE, LENGTH, FORCED, RUN, ONSET, SOUNDING = (tl.constexpr(at) for at in range(6))
PREVIOUS, SEED, ATTEMPT, LAST, STATE_WIDTH = (tl.constexpr(at) for at in (6, 11, 12, 13, 16))
RING = tl.constexpr(512)  # steps; more than the longest duration and the longest delta
# What of the input of a step moves with the notes: five attributes and three conditions.
MOVING = [*range(len(ATTRIBUTES)), *(len(ATTRIBUTES) + c for c in (REMAINING, BAR_POSITION, POLYPHONY))]

_ATTRIBUTES = tl.constexpr(len(ATTRIBUTES))
_SIZES = [attribute.size for attribute in ATTRIBUTES]
_PARTS, _DELTAS, _PITCHES, _DURATIONS, _VELOCITIES = (tl.constexpr(size) for size in _SIZES)
_PART, _DELTA, _PITCH, _DURATION, _VELOCITY = (tl.constexpr(a) for a in (PART, DELTA, PITCH, DURATION, VELOCITY))
_STEPS_PER_BAR = tl.constexpr(STEPS_PER_BAR)
_POLYPHONY_MAX = tl.constexpr(CONDITIONS[POLYPHONY].size - 1)
_LENGTH_MAX = tl.constexpr(LENGTH_NOTES_MAX)
_CACHE_NOTES, _MATCHES_MAX = tl.constexpr(CACHE_NOTES), tl.constexpr(CACHE_MATCH_NOTES)
_CACHE_NATS, _SHARE_MAX = tl.constexpr(CACHE_NATS), tl.constexpr(SHARE_MAX)
_PLACES = tl.constexpr(64)  # of the cache, looked at together
_MASS = tl.constexpr(float(1 << MASS_BITS))


@triton.jit
def _tanh(x):
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
    kept = tl.sigmoid(forget) * tl.load(cell + own) + tl.sigmoid(write) * _tanh(candidate)
    tl.store(cell + own, kept)
    tl.store(after + own, (tl.sigmoid(read) * _tanh(kept)).to(after.dtype.element_ty))


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


@triton.jit
def _look(
    hidden_state,
    keys,
    heads,
    matches_before,
    matches_after,
    likeness_of,
    written,
    last,
    sharpness,
    match,
    hidden: tl.constexpr,
    depth: tl.constexpr,
):
    """How like the present each place of one slot's cache is (`torch_cache.TorchCache.look`).

    Returns:
        how many places are filled, and the greatest likeness.
    """
    filled = tl.minimum(written, _CACHE_NOTES)
    best = -float("inf")
    column = tl.arange(0, 16)  # a matrix product wants so many; the first is the state
    for begin in range(0, filled, _PLACES):
        place = begin + tl.arange(0, _PLACES)
        there = place < filled
        sums = tl.zeros((_PLACES, 16), tl.float32)
        for h in range(0, hidden, depth):
            at = h + tl.arange(0, depth)
            key = tl.load(keys + place[:, None] * hidden + at[None, :], mask=there[:, None], other=0.0)
            state = tl.load(hidden_state + at)
            state = tl.where(column[None, :] == 0, state[:, None], tl.zeros_like(state)[:, None])
            sums = tl.dot(key, state, sums, input_precision="ieee")
        known = filled - ((written - 1 - place) % _CACHE_NOTES + 1)
        left = (place + _CACHE_NOTES - 1) % _CACHE_NOTES
        longer = tl.minimum(tl.load(matches_before + left, mask=there, other=0) + 1, _MATCHES_MAX)
        same = tl.where(tl.load(heads + left, mask=there, other=-1) == last, longer, 0)
        tl.store(matches_after + place, same, mask=there)
        likeness = tl.sum(tl.where(column[None, :] == 0, sums, 0.0), 1) * sharpness
        likeness += match * tl.minimum(same, known).to(tl.float32)
        tl.store(likeness_of + place, likeness, mask=there)
        best = tl.maximum(best, tl.max(tl.where(there, likeness, -float("inf")), 0))
    tl.debug_barrier()
    return filled, best


@triton.jit
def _said(
    cache,
    share,
    prefix,
    radix: tl.constexpr,
    values: tl.constexpr,
    padded: tl.constexpr,
):
    """How one slot's cache distributes an attribute, [padded] float32, among notes that begin with `prefix`.

    Args:
        cache: its heads and the likeness of each, as pointers; what `_look` returned.
        share: of the cache: where there is none nothing needs be said.
        prefix: the attributes before, as one number.
        radix: the product of the sizes of what follows the attribute in a head.
        values: V.
        padded: the next power of two.
    """
    heads, likeness_of, filled, best = cache
    filled = tl.where(share > 0.0, filled, 0)
    value = tl.arange(0, padded)
    counts = tl.zeros((padded,), tl.float32)
    for begin in range(0, filled, _PLACES):
        place = begin + tl.arange(0, _PLACES)
        there = place < filled
        head = tl.load(heads + place, mask=there, other=0) // radix
        lower = tl.load(likeness_of + place, mask=there, other=-float("inf")) - best
        weight = tl.where((lower > -_CACHE_NATS) & (head // values == prefix), tl.exp(lower), 0.0)
        counts += tl.sum(tl.where((head % values)[:, None] == value[None, :], weight[:, None], 0.0), 0)
    total = tl.sum(counts, 0)
    return tl.where(total > 0.0, counts / tl.where(total > 0.0, total, 1.0), 0.0)


@triton.jit
def _logits(
    asked,
    slot,
    slots,
    chosen,
    guidance,
    attribute: tl.constexpr,
    values: tl.constexpr,
    padded: tl.constexpr,
    begin: tl.constexpr,
    embedding: tl.constexpr,
    width: tl.constexpr,
    guided: tl.constexpr,
):
    """Logits of one attribute by the LSTM, [padded] float32: guided, -inf beyond `values`.

    Args:
        asked: four pointers. The queries, [R, 5, E] float32; what each value of an attribute tells those that follow
            it, [all values, 5, E] float32; all heads one after the other, each [W, padded], of which this one begins
            at `begin` columns; their biases, [all padded] float32.
        slot: which.
        slots: S.
        chosen: the values of the attributes before, as rows of what they tell.
        guidance: see `engine.guidance`.
        attribute: index into ATTRIBUTES.
        values: V.
        padded: the next power of two, at least 16.
        begin: see above.
        embedding: E.
        width: W.
        guided: whether there are rows that are told nothing.
    """
    queries, told, weight, bias = asked
    at = tl.arange(0, width)
    inside = at < embedding
    before = tl.zeros((width,), tl.float32)
    for earlier in tl.static_range(attribute):
        row = (chosen[earlier] * _ATTRIBUTES + attribute) * embedding
        before += tl.load(told + row + at, mask=inside, other=0.0)
    half = tl.arange(0, 16)  # told, untold, and padding that a matrix product wants
    source = queries + ((half * slots + slot) * _ATTRIBUTES + attribute)[:, None] * embedding + at[None, :]
    query = tl.load(source, mask=(half < 1 + guided)[:, None] & inside[None, :], other=0.0) + before[None, :]
    value = tl.arange(0, padded)
    columns = tl.load(weight + begin * width + at[:, None] * padded + value[None, :])
    both = tl.dot(_tanh(query).to(columns.dtype), columns, input_precision="ieee")
    both += tl.load(bias + begin + value)[None, :]
    logits = tl.sum(tl.where(half[:, None] == 0, both, 0.0), 0)
    if guided:
        untold = tl.sum(tl.where(half[:, None] == 1, both, 0.0), 0)
        logits = untold + guidance * (logits - untold)
    return tl.where(value < values, logits, -float("inf"))


@triton.jit
def _draw(logits, inverse_temperature, top_p, random):
    """A value from the nucleus, as `torch_step.TorchBlock` draws it; `random` is an integer below 2**24."""
    mass = (tl.exp((logits - tl.max(logits, 0)) * inverse_temperature) * _MASS).to(tl.int32)
    heavier = tl.sum(tl.where(mass[None, :] > mass[:, None], mass[None, :], 0), 1)
    inside = tl.where(heavier.to(tl.float32) < top_p * tl.sum(mass, 0).to(tl.float32), mass, 0)
    cumulative = tl.cumsum(inside, 0)
    target = (random.to(tl.int64) * tl.max(cumulative, 0).to(tl.int64)) >> 24
    return tl.sum((cumulative <= target.to(tl.int32)).to(tl.int32), 0)


@triton.jit
def _moving(
    rows,
    row_of,
    moving,
    remaining_bin,
    slot,
    note,
    remaining,
    onset,
    sounding,
    hidden: tl.constexpr,
    whole: tl.constexpr,
):
    """Sum what the eight moving inputs of the next step give to the first layer of one slot.

    Args:
        rows: [all values, 4H] float32.
        row_of: [8] int32: where the tables of `MOVING` begin in it.
        moving: [S, 4H] float32, written.
        remaining_bin: [notes + 1] int32.
        slot: which.
        note: the five attributes of the note before.
        remaining: notes to come.
        onset: steps.
        sounding: notes that sound.
        hidden: H.
        whole: the next power of two after 4H.
    """
    part, delta, pitch, duration, velocity = note
    wide = 4 * hidden
    at = tl.arange(0, whole)
    inside = at < wide
    total = tl.load(rows + (tl.load(row_of) + part) * wide + at, mask=inside)
    total += tl.load(rows + (tl.load(row_of + 1) + delta) * wide + at, mask=inside)
    total += tl.load(rows + (tl.load(row_of + 2) + pitch) * wide + at, mask=inside)
    total += tl.load(rows + (tl.load(row_of + 3) + duration) * wide + at, mask=inside)
    total += tl.load(rows + (tl.load(row_of + 4) + velocity) * wide + at, mask=inside)
    total += tl.load(rows + (tl.load(row_of + 5) + tl.load(remaining_bin + remaining)) * wide + at, mask=inside)
    total += tl.load(rows + (tl.load(row_of + 6) + onset % _STEPS_PER_BAR) * wide + at, mask=inside)
    total += tl.load(rows + (tl.load(row_of + 7) + tl.minimum(sounding, _POLYPHONY_MAX)) * wide + at, mask=inside)
    tl.store(moving + slot * wide + at, total, mask=inside)


@triton.jit
def _attribute(
    logits,
    said,
    forbidden,
    share,
    settings,
    numbers,
    values: tl.constexpr,
    padded: tl.constexpr,
    cached: tl.constexpr,
):
    """Mix with the cache, draw, and ask who spoke: the value, and the share of the cache then.

    Args:
        logits: [padded] float32 of the LSTM.
        said: [padded] float32 of the cache.
        forbidden: [padded] bool.
        share: of the cache, float64.
        settings: the inverse of the temperature, top-p, and whether an opening says the value.
        numbers: at random, below 2**24; and the value that the opening says.
        values: V.
        padded: the next power of two.
        cached: whether the cache speaks about it.
    """
    inverse_temperature, top_p, forced = settings
    random, given = numbers
    value = tl.arange(0, padded)
    own = tl.exp(logits - tl.max(logits, 0))
    own = own / tl.sum(own, 0)
    mixed = logits
    if cached:
        mixture = (1.0 - share).to(tl.float32) * own + share.to(tl.float32) * said
        heard = tl.where(mixture > 0.0, tl.log(tl.where(mixture > 0.0, mixture, 1.0)), -float("inf"))
        mixed = tl.where(share > 0.0, heard, logits)
    drawn = _draw(tl.where(forbidden, -float("inf"), mixed), inverse_temperature, top_p, random)
    # Where an opening says what the rules forbid, nothing is left to draw: any value will do, but no other.
    chosen = tl.where(forced, given, tl.minimum(drawn, values - 1))
    if cached:
        spoken = share * tl.sum(tl.where(value == chosen, said, 0.0), 0).to(tl.float64)
        unspoken = (1.0 - share) * tl.sum(tl.where(value == chosen, own, 0.0), 0).to(tl.float64)
        posterior = spoken / tl.maximum(spoken + unspoken, 1e-30)
        share = tl.where(spoken > 0.0, tl.minimum(posterior, _SHARE_MAX), 0.0)
    return chosen, share


@triton.jit
def _numbers(seed, attempt, note, tokens, attribute: tl.constexpr):
    """What `_attribute` wants: 24 bits as `engine.batching.randomness.uniform` has them, and what an opening says."""
    key = (attempt.to(tl.uint32).to(tl.uint64) << 32) | seed.to(tl.uint32, bitcast=True).to(tl.uint64)
    word, _, _, _ = tl.philox(key, note.to(tl.uint32), attribute, 0, 0)
    return (word >> 8).to(tl.int32), tl.load(tokens + attribute).to(tl.int32)


@triton.jit
def note_step(
    state,
    setting,
    share_of,
    tokens,
    ends,
    queries,
    hidden_states,
    keys,
    heads,
    matches_before,
    matches_after,
    likeness_of,
    told,
    head_weight,
    head_bias,
    rows,
    row_of,
    moving,
    remaining_bin,
    delta_steps,
    duration_steps,
    slots,
    run_limit,
    guidance,
    cache_share,
    cache_stay,
    cache_sharpness,
    cache_match,
    hidden: tl.constexpr,
    embedding: tl.constexpr,
    width: tl.constexpr,
    depth: tl.constexpr,
    whole: tl.constexpr,
    guided: tl.constexpr,
    cached: tl.constexpr,
):
    """A note of one slot, which a program has to itself; nothing where its piece is complete.

    Args:
        state: [S, STATE_WIDTH] int32.
        setting: [S, 2] float32: the inverse of the temperature, and top-p.
        share_of: [S] float64: how far the last note came out of the cache.
        tokens: [S, notes, 5] uint8.
        ends: [S, RING] int32: notes that end at each step.
        queries: [R, 5, E] float32.
        hidden_states: [R, H], which the queries were asked of.
        keys: [S, K, H]: the states of the notes kept.
        heads: [S, K] int32: all that is cached of each, as one number.
        matches_before: [S, K] int32: notes before each that equalled the last ones.
        matches_after: [S, K] int32, written: that equal them.
        likeness_of: [S, K] float32, for what `_look` finds.
        told: see `_logits`; so are `head_weight` and `head_bias`.
        head_weight: see there.
        head_bias: see there.
        rows: see `_moving`; so are `row_of`, `moving` and `remaining_bin`.
        row_of: see there.
        moving: see there.
        remaining_bin: see there.
        delta_steps: [V] int32.
        duration_steps: [V] int32.
        slots: S.
        run_limit: a pitch is repeated so often in a row, and no oftener.
        guidance: of the model's configuration, as are the four that follow.
        cache_share: see there.
        cache_stay: see there.
        cache_sharpness: see there.
        cache_match: see there.
        hidden: H.
        embedding: E.
        width: W.
        depth: of a state's numbers looked at together; divides H.
        whole: the next power of two after 4H.
        guided: whether there are rows that are told nothing.
        cached: whether there is a cache.
    """
    slot = tl.program_id(0)
    own = state + slot * STATE_WIDTH
    written, length = tl.load(own + NOTE), tl.load(own + LENGTH)
    if written >= length:
        return
    run, onset, sounding = tl.load(own + RUN), tl.load(own + ONSET), tl.load(own + SOUNDING)
    before = own + PREVIOUS
    part_before, pitch_before = tl.load(before + _PART), tl.load(before + _PITCH)
    seed, attempt = tl.load(own + SEED), tl.load(own + ATTEMPT)
    forced = written < tl.load(own + FORCED)
    settings = tl.load(setting + 2 * slot), tl.load(setting + 2 * slot + 1), forced
    note = tokens + (slot * _LENGTH_MAX + written) * _ATTRIBUTES
    states = hidden_states + slot * hidden
    place = slot.to(tl.int64) * _CACHE_NOTES
    kept, likeness = heads + place, likeness_of + place

    share = tl.load(share_of + slot)
    cache = heads, likeness_of, written, share
    if cached:
        filled, best = _look(
            states,
            keys + place * hidden,
            kept,
            matches_before + place,
            matches_after + place,
            likeness,
            written,
            tl.load(own + LAST),
            cache_sharpness,
            cache_match,
            hidden,
            depth,
        )
        cache = kept, likeness, filled, best
        share = tl.where(written > 0, cache_share + (cache_stay - cache_share) * share, 0.0)

    # The part.
    asked = queries, told, head_weight, head_bias
    logits = _logits(asked, slot, slots, (), guidance, _PART, _PARTS, 16, 0, embedding, width, guided)
    said = logits
    if cached:
        said = _said(cache, share, 0, _DELTAS * _PITCHES * _DURATIONS, _PARTS, 16)
    forbidden = tl.arange(0, 16) < 0
    numbers = _numbers(seed, attempt, written, note, _PART)
    part, share = _attribute(logits, said, forbidden, share, settings, numbers, _PARTS, 16, cached)

    # The delta; what is forbidden here and of pitches are the rules of `forbid` in engine/sampler.py.
    chosen = (part,)
    logits = _logits(asked, slot, slots, chosen, guidance, _DELTA, _DELTAS, 32, 16, embedding, width, guided)
    said = logits
    if cached:
        said = _said(cache, share, part, _PITCHES * _DURATIONS, _DELTAS, 32)
    value = tl.arange(0, 32)
    no_chord = (part < part_before) | ((part == part_before) & (pitch_before == _PITCHES - 1))
    forbidden = ((written == 0) & (value > 0)) | ((written > 0) & no_chord & (value == 0))
    numbers = _numbers(seed, attempt, written, note, _DELTA)
    delta, share = _attribute(logits, said, forbidden, share, settings, numbers, _DELTAS, 32, cached)

    # The pitch.
    chosen_2 = part, _PARTS + delta
    logits = _logits(asked, slot, slots, chosen_2, guidance, _PITCH, _PITCHES, 128, 48, embedding, width, guided)
    prefix = part * _DELTAS + delta
    said = logits
    if cached:
        said = _said(cache, share, prefix, _DURATIONS, _PITCHES, 128)
    value = tl.arange(0, 128)
    chord = (delta == 0) & (part == part_before) & (written > 0)
    full = (run >= run_limit) & (written > 0)
    forbidden = (chord & (value <= pitch_before)) | (full & (value == pitch_before))
    numbers = _numbers(seed, attempt, written, note, _PITCH)
    pitch, share = _attribute(logits, said, forbidden, share, settings, numbers, _PITCHES, 128, cached)

    # The duration.
    chosen_3 = part, _PARTS + delta, _PARTS + _DELTAS + pitch
    logits = _logits(asked, slot, slots, chosen_3, guidance, _DURATION, _DURATIONS, 32, 176, embedding, width, guided)
    prefix = prefix * _PITCHES + pitch
    said = logits
    if cached:
        said = _said(cache, share, prefix, 1, _DURATIONS, 32)
    forbidden = tl.arange(0, 32) < 0
    numbers = _numbers(seed, attempt, written, note, _DURATION)
    duration, share = _attribute(logits, said, forbidden, share, settings, numbers, _DURATIONS, 32, cached)

    # The velocity, which is never the cache's.
    chosen_4 = part, _PARTS + delta, _PARTS + _DELTAS + pitch, _PARTS + _DELTAS + _PITCHES + duration
    logits = _logits(asked, slot, slots, chosen_4, guidance, _VELOCITY, _VELOCITIES, 16, 208, embedding, width, guided)
    forbidden = tl.arange(0, 16) < 0
    numbers = _numbers(seed, attempt, written, note, _VELOCITY)
    velocity, _ = _attribute(logits, logits, forbidden, share, settings, numbers, _VELOCITIES, 16, False)

    tl.debug_barrier()  # all threads have read what is written from here on
    if cached:
        at_place = written % _CACHE_NOTES
        head = prefix * _DURATIONS + duration
        tl.store(kept + at_place, head)
        tl.store(own + LAST, head)
        tl.store(share_of + slot, share)
        for begin in range(0, hidden, depth):
            at = begin + tl.arange(0, depth)
            tl.store(keys + (place + at_place) * hidden + at, tl.load(states + at))
    tl.store(note + _PART, part.to(tl.uint8))
    tl.store(note + _DELTA, delta.to(tl.uint8))
    tl.store(note + _PITCH, pitch.to(tl.uint8))
    tl.store(note + _DURATION, duration.to(tl.uint8))
    tl.store(note + _VELOCITY, velocity.to(tl.uint8))

    # The same as data.tokens.Position.
    step = tl.arange(0, RING)
    ring = ends + slot * RING + step
    later = tl.load(delta_steps + delta)
    ending = ((step - onset - 1) & (RING - 1)) < later
    count = tl.load(ring)
    sounding += 1 - tl.sum(tl.where(ending, count, 0), 0)
    onset += later
    end = (onset + tl.load(duration_steps + duration)) & (RING - 1)
    tl.store(ring, tl.where(ending, 0, count) + (step == end).to(tl.int32))
    tl.store(own + RUN, tl.where(pitch == pitch_before, run, 0) + 1)
    tl.store(own + ONSET, onset)
    tl.store(own + SOUNDING, sounding)
    tl.store(own + NOTE, written + 1)
    tl.store(before + _PART, part)
    tl.store(before + _DELTA, delta)
    tl.store(before + _PITCH, pitch)
    tl.store(before + _DURATION, duration)
    tl.store(before + _VELOCITY, velocity)
    inputs = part, delta, pitch, duration, velocity
    _moving(rows, row_of, moving, remaining_bin, slot, inputs, length - written - 1, onset, sounding, hidden, whole)


@triton.jit
def begin_step(
    joining,
    settings,
    bias,
    state,
    setting,
    share_of,
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
    depth: tl.constexpr,
    whole: tl.constexpr,
):
    """Put a piece into a slot, whatever was in it; a program for each.

    Args:
        joining: [n, 5 + halves * tables] int32: slot, length, notes of the opening, seed, attempt, and the rows of
            what each half is told.
        settings: [n, 2] float32, as `setting`.
        bias: [4H] float32, of the first layer.
        state: see `note_step`; so are `setting`, `share_of` and `ends`.
        setting: see there.
        share_of: see there.
        ends: see there.
        states: [layers, R, H], those that the next step reads.
        cells: [layers, R, H] float32.
        fixed: [R, 4H] float32, written: what stays the same over a piece.
        rows: see `_moving`; so are `row_of`, `moving` and `remaining_bin`.
        row_of: see there.
        moving: see there.
        remaining_bin: see there.
        slots: S.
        layers: of the LSTM.
        halves: 1, or 2 with guidance.
        tables: how many rows a half is told.
        hidden: H.
        depth: units that are cleared together.
        whole: the next power of two after 4H.
    """
    entry = joining + tl.program_id(0) * (5 + halves * tables)
    slot, length = tl.load(entry), tl.load(entry + 1)
    own = state + slot * STATE_WIDTH
    tl.store(own + tl.arange(0, STATE_WIDTH), tl.zeros((STATE_WIDTH,), tl.int32))
    tl.debug_barrier()
    tl.store(own + LENGTH, length)
    tl.store(own + FORCED, tl.load(entry + 2))
    tl.store(own + SEED, tl.load(entry + 3))
    tl.store(own + ATTEMPT, tl.load(entry + 4))
    tl.store(own + PREVIOUS + _PART, _PARTS)  # "no note yet" stands behind the values
    tl.store(own + PREVIOUS + _DELTA, _DELTAS)
    tl.store(own + PREVIOUS + _PITCH, _PITCHES)
    tl.store(own + PREVIOUS + _DURATION, _DURATIONS)
    tl.store(own + PREVIOUS + _VELOCITY, _VELOCITIES)
    tl.store(setting + 2 * slot, tl.load(settings + 2 * tl.program_id(0)))
    tl.store(setting + 2 * slot + 1, tl.load(settings + 2 * tl.program_id(0) + 1))
    tl.store(share_of + slot, tl.full((), 0.0, tl.float64))
    tl.store(ends + slot * RING + tl.arange(0, RING), tl.zeros((RING,), tl.int32))
    for half in tl.static_range(halves):
        row = half * slots + slot
        for layer in tl.static_range(layers):
            for begin in range(0, hidden, depth):
                at = ((layer * halves * slots + row) * hidden) + begin + tl.arange(0, depth)
                tl.store(states + at, tl.zeros((depth,), states.dtype.element_ty))
                tl.store(cells + at, tl.zeros((depth,), tl.float32))
        for begin in range(0, 4 * hidden, depth):
            at = begin + tl.arange(0, depth)
            total = tl.load(bias + at)
            for table in range(tables):
                total += tl.load(rows + tl.load(entry + 5 + half * tables + table) * (4 * hidden) + at)
            tl.store(fixed + row * (4 * hidden) + at, total)
    nothing = _PARTS, _DELTAS, _PITCHES, _DURATIONS, _VELOCITIES
    zero = length * 0
    _moving(rows, row_of, moving, remaining_bin, slot, nothing, length, zero, zero, hidden, whole)
