"""One attribute of one slot's note on a GPU, and the slot's cache; see `engine.batching.gpu_note`.

Shapes: S slots; R rows of state, S or with guidance 2S, of which the second S are told nothing; H hidden, E embedding,
W the next power of two after E, K notes of the cache, V values of an attribute.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,operator,no-untyped-call"

from __future__ import annotations

import triton
import triton.language as tl

from data.tokens import ATTRIBUTES
from engine.batching.gpu_layers import tanh
from engine.batching.torch_step import MASS_BITS
from engine.note_cache import CACHE_MATCH_NOTES, CACHE_NATS, CACHE_NOTES, SHARE_MAX

_ATTRIBUTES = tl.constexpr(len(ATTRIBUTES))
_CACHE_NOTES, _MATCHES_MAX = tl.constexpr(CACHE_NOTES), tl.constexpr(CACHE_MATCH_NOTES)
_CACHE_NATS, _SHARE_MAX = tl.constexpr(CACHE_NATS), tl.constexpr(SHARE_MAX)
_PLACES = tl.constexpr(64)  # of the cache, looked at together
_MASS = tl.constexpr(float(1 << MASS_BITS))


@triton.jit
def look(
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
def cache_says(
    cache,
    share,
    prefix,
    radix: tl.constexpr,
    values: tl.constexpr,
    padded: tl.constexpr,
):
    """How one slot's cache distributes an attribute, [padded] float32, among notes that begin with `prefix`.

    Args:
        cache: its heads and the likeness of each, as pointers; what `look` returned.
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
def lstm_says(
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
    both = tl.dot(tanh(query).to(columns.dtype), columns, input_precision="ieee")
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
def choose(
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
def numbers_of(seed, attempt, note, tokens, attribute: tl.constexpr):
    """What `choose` wants: 24 bits as `engine.batching.randomness.uniform` has them, and what an opening says."""
    key = (attempt.to(tl.uint32).to(tl.uint64) << 32) | seed.to(tl.uint32, bitcast=True).to(tl.uint64)
    word, _, _, _ = tl.philox(key, note.to(tl.uint32), attribute, 0, 0)
    return (word >> 8).to(tl.int32), tl.load(tokens + attribute).to(tl.int32)
