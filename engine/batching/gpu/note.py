"""The note step as GPU kernels, written in Triton (https://triton-lang.org): five launches a note for two layers.

`layers.layer_step` multiplies one layer's weights with the states of all rows and applies the gates before anything
leaves the registers; `layers.query_step` asks the five queries of the last layer's states; `cache.look_step` compares
these with what the slot's cache keeps; `note_step` does the rest in one program a slot: the five attributes one after
the other (`attribute`), each mixed with what the cache says, the draws, the bookkeeping, and the input of the next
step. Pieces join and leave by `orders`.

A program of the last three belongs to one slot; one of the first two always has the same number of rows. Sums are
added up in an order that nothing else decides. So a piece depends neither on its company nor on its slot. What
programs of one launch read and others of it write is kept twice, for steps of even and of odd number.

With the environment variable TRITON_INTERPRET=1 the same kernels run on a CPU, far too slowly for anything but tests.

Shapes: S slots; R rows of state, S or with guidance 2S, of which the second S are told nothing; H hidden, E embedding,
W the next power of two after E, K notes of the cache, V values of an attribute.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,operator,no-untyped-call"

from __future__ import annotations

import triton
import triton.language as tl

from data.score import STEPS_PER_BAR
from data.tokens import CONDITIONS, POLYPHONY
from engine.batching.gpu.attribute import choose, lstm_says, numbers_of
from engine.batching.gpu.cache import COUNTS, cache_says, kept_of
from engine.batching.gpu.state import (
    ATTEMPT,
    ATTRIBUTES,
    DELTA,
    DELTAS,
    DURATION,
    DURATIONS,
    FORCED,
    LAST,
    LENGTH,
    LENGTH_MAX,
    NOTE,
    ONSET,
    PART,
    PARTS,
    PITCH,
    PITCHES,
    PREVIOUS,
    RUN,
    SEED,
    SOUNDING,
    STATE_WIDTH,
    VELOCITIES,
    VELOCITY,
)
from engine.model_config import CACHE_NOTES

RING = tl.constexpr(512)  # steps; more than the longest duration and the longest delta

_STEPS_PER_BAR = tl.constexpr(STEPS_PER_BAR)
_POLYPHONY_MAX = tl.constexpr(CONDITIONS[POLYPHONY].size - 1)
_CACHE_NOTES = tl.constexpr(CACHE_NOTES)


@triton.jit
def moving_inputs(
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
        row_of: [8] int32: where the tables of what moves begin in it (`torch_step.OnDevice`).
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
def note_step(
    state,
    setting,
    own_share_of,
    tokens,
    ends,
    queries,
    hidden_states,
    keys,
    heads,
    likeness_of,
    counts_of,
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
    hidden: tl.constexpr,
    embedding: tl.constexpr,
    width: tl.constexpr,
    depth: tl.constexpr,
    whole: tl.constexpr,
    height: tl.constexpr,
    places: tl.constexpr,
    guided: tl.constexpr,
    cached: tl.constexpr,
):
    """A note of one slot, which a program has to itself; nothing where its piece is complete.

    Args:
        state: [S, STATE_WIDTH] int32.
        setting: [S, 2] float32: the inverse of the temperature, and top-p.
        own_share_of: [S] float32: how far the last note came out of the LSTM and not out of the cache.
        tokens: [S, notes, 5] uint8.
        ends: [S, RING] int32: notes that end at each step.
        queries: [R, 5, E] float32.
        hidden_states: [R, H], which the queries were asked of.
        keys: [S, K, H]: the states of the notes kept.
        heads: [S, K] int32: all that is cached of each, as one number.
        likeness_of: [S, K] float32, of `look_step`.
        counts_of: [S, COUNTS] int32, for what the cache adds up.
        told: see `lstm_says`; so are `head_weight` and `head_bias`.
        head_weight: see there.
        head_bias: see there.
        rows: see `moving_inputs`; so are `row_of`, `moving` and `remaining_bin`.
        row_of: see there.
        moving: see there.
        remaining_bin: see there.
        delta_steps: [V] int32.
        duration_steps: [V] int32.
        slots: S.
        run_limit: a pitch is repeated so often in a row, and no oftener.
        guidance: of the model's configuration, as are the two that follow.
        cache_share: see there.
        cache_stay: see there.
        hidden: H.
        embedding: E.
        width: W.
        depth: of a state's numbers looked at together; divides H.
        whole: the next power of two after 4H.
        height: see `lstm_says`.
        places: see `kept_of`.
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
    part_before, pitch_before = tl.load(before + PART), tl.load(before + PITCH)
    seed, attempt = tl.load(own + SEED), tl.load(own + ATTEMPT)
    forced = written < tl.load(own + FORCED)
    settings = tl.load(setting + 2 * slot), tl.load(setting + 2 * slot + 1), forced
    note = tokens + (slot * LENGTH_MAX + written) * ATTRIBUTES
    states = hidden_states + slot * hidden
    place = slot.to(tl.int64) * _CACHE_NOTES
    kept, counts = (heads, heads, 0.0, 0), counts_of + slot * COUNTS

    own_share = tl.load(own_share_of + slot)
    if cached:
        kept = kept_of(heads + place, likeness_of + place, counts, written, places)
        share = cache_share + (cache_stay - cache_share) * (1.0 - own_share)
        own_share = tl.where(written > 0, 1.0 - share, 1.0)

    # The part.
    asked = queries, told, head_weight, head_bias
    logits = lstm_says(asked, slot, slots, (), guidance, PART, PARTS, 16, 0, embedding, width, height, guided)
    said = logits
    if cached:
        said = cache_says(kept, counts, 0, 17, 16, places)
    forbidden = tl.arange(0, 16) < 0
    numbers = numbers_of(seed, attempt, written, note, PART)
    part, own_share = choose(logits, said, forbidden, own_share, settings, numbers, PARTS, 16, cached)

    # The delta; what is forbidden here and of pitches are the rules of `forbid` in engine/sampler.py.
    chosen = (part,)
    logits = lstm_says(asked, slot, slots, chosen, guidance, DELTA, DELTAS, 32, 16, embedding, width, height, guided)
    said = logits
    if cached:
        said = cache_says(kept, counts + 16, part, 12, 32, places)
    value = tl.arange(0, 32)
    no_chord = (part < part_before) | ((part == part_before) & (pitch_before == PITCHES - 1))
    forbidden = ((written == 0) & (value > 0)) | ((written > 0) & no_chord & (value == 0))
    numbers = numbers_of(seed, attempt, written, note, DELTA)
    delta, own_share = choose(logits, said, forbidden, own_share, settings, numbers, DELTAS, 32, cached)

    # The pitch.
    chosen_2 = part, PARTS + delta
    logits = lstm_says(
        asked, slot, slots, chosen_2, guidance, PITCH, PITCHES, 128, 48, embedding, width, height, guided
    )
    prefix = part * 32 + delta
    said = logits
    if cached:
        said = cache_says(kept, counts + 48, prefix, 5, 128, places)
    value = tl.arange(0, 128)
    chord = (delta == 0) & (part == part_before) & (written > 0)
    full = (run >= run_limit) & (written > 0)
    forbidden = (chord & (value <= pitch_before)) | (full & (value == pitch_before))
    numbers = numbers_of(seed, attempt, written, note, PITCH)
    pitch, own_share = choose(logits, said, forbidden, own_share, settings, numbers, PITCHES, 128, cached)

    # The duration.
    chosen_3 = part, PARTS + delta, PARTS + DELTAS + pitch
    logits = lstm_says(
        asked, slot, slots, chosen_3, guidance, DURATION, DURATIONS, 32, 176, embedding, width, height, guided
    )
    prefix = prefix * 128 + pitch
    said = logits
    if cached:
        said = cache_says(kept, counts + 176, prefix, 0, 32, places)
    forbidden = tl.arange(0, 32) < 0
    numbers = numbers_of(seed, attempt, written, note, DURATION)
    duration, own_share = choose(logits, said, forbidden, own_share, settings, numbers, DURATIONS, 32, cached)

    # The velocity, which is never the cache's.
    chosen_4 = part, PARTS + delta, PARTS + DELTAS + pitch, PARTS + DELTAS + PITCHES + duration
    logits = lstm_says(
        asked, slot, slots, chosen_4, guidance, VELOCITY, VELOCITIES, 16, 208, embedding, width, height, guided
    )
    forbidden = tl.arange(0, 16) < 0
    numbers = numbers_of(seed, attempt, written, note, VELOCITY)
    velocity, _ = choose(logits, logits, forbidden, own_share, settings, numbers, VELOCITIES, 16, False)

    tl.debug_barrier()  # all threads have read what is written from here on
    if cached:
        at_place = written % _CACHE_NOTES
        head = prefix * 32 + duration
        tl.store(heads + place + at_place, head)
        tl.store(own + LAST, head)
        tl.store(own_share_of + slot, own_share)
        for begin in range(0, hidden, depth):
            at = begin + tl.arange(0, depth)
            tl.store(keys + (place + at_place) * hidden + at, tl.load(states + at))
    tl.store(note + PART, part.to(tl.uint8))
    tl.store(note + DELTA, delta.to(tl.uint8))
    tl.store(note + PITCH, pitch.to(tl.uint8))
    tl.store(note + DURATION, duration.to(tl.uint8))
    tl.store(note + VELOCITY, velocity.to(tl.uint8))

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
    tl.store(before + PART, part)
    tl.store(before + DELTA, delta)
    tl.store(before + PITCH, pitch)
    tl.store(before + DURATION, duration)
    tl.store(before + VELOCITY, velocity)
    inputs = part, delta, pitch, duration, velocity
    moving_inputs(
        rows, row_of, moving, remaining_bin, slot, inputs, length - written - 1, onset, sounding, hidden, whole
    )
