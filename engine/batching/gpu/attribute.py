"""One attribute of one slot's note on a GPU; see `engine.batching.gpu.note`.

Shapes: S slots; R rows of state, S or with guidance 2S, of which the second S are told nothing; E embedding, W the next
power of two after E, V values of an attribute.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,operator,no-untyped-call"

from __future__ import annotations

import math

import triton
import triton.language as tl

from engine.batching.gpu.layers import tanh
from engine.batching.gpu.state import ATTRIBUTES
from engine.batching.torch_step import MASS_BITS
from engine.note_cache import SHARE_MAX

_OWN_SHARE_MIN = tl.constexpr(1 - SHARE_MAX)
_BITS_A_NAT = tl.constexpr(math.log2(math.e))
_MASS = tl.constexpr(float(1 << MASS_BITS))


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
    height: tl.constexpr,
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
        height: numbers of the query that are multiplied together; divides W.
        guided: whether there are rows that are told nothing.
    """
    queries, told, weight, bias = asked
    value = tl.arange(0, padded)
    logits = tl.zeros((padded,), tl.float32)
    for first in range(0, width, height):
        at = first + tl.arange(0, height)
        inside = at < embedding
        before = tl.zeros((height,), tl.float32)
        for earlier in tl.static_range(attribute):
            row = (chosen[earlier] * ATTRIBUTES + attribute) * embedding
            before += tl.load(told + row + at, mask=inside, other=0.0)
        source = queries + (slot * ATTRIBUTES + attribute) * embedding + at
        query = tanh(tl.load(source, mask=inside, other=0.0) + before)
        if guided:  # the product is linear: what is to be said of both can be said of what it multiplies
            untold = tl.load(source + slots * ATTRIBUTES * embedding, mask=inside, other=0.0)
            untold = tanh(untold + before)
            query = untold + guidance * (query - untold)
        columns = tl.load(weight + begin * width + at[:, None] * padded + value[None, :])
        logits += tl.sum(query[:, None] * columns.to(tl.float32), 0)
    return tl.where(value < values, logits + tl.load(bias + begin + value), -float("inf"))


@triton.jit
def _draw(probability, inverse_temperature, top_p, random, padded: tl.constexpr):
    """A value from the nucleus, as `torch_step.TorchBlock` draws it; `random` is an integer below 2**24."""
    possible = probability > 0.0
    lower = tl.log2(tl.where(possible, probability, 1.0)) - tl.log2(tl.max(probability, 0))
    mass = tl.where(possible, tl.exp2(lower * inverse_temperature) * _MASS, 0.0).to(tl.int32)
    if padded > 32:  # the same sums, each along the axis along which a thread has more
        heavier = tl.sum(tl.where(mass[:, None] > mass[None, :], mass[:, None], 0), 0)
    else:
        heavier = tl.sum(tl.where(mass[None, :] > mass[:, None], mass[None, :], 0), 1)
    inside = (heavier == 0) | (heavier.to(tl.float32) < top_p * tl.sum(mass, 0).to(tl.float32))
    cumulative = tl.cumsum(tl.where(inside, mass, 0), 0)
    target = (random.to(tl.int64) * tl.max(cumulative, 0).to(tl.int64)) >> 24
    return tl.sum((cumulative <= target.to(tl.int32)).to(tl.int32), 0)


@triton.jit
def choose(
    logits,
    said,
    forbidden,
    own_share,
    settings,
    numbers,
    values: tl.constexpr,
    padded: tl.constexpr,
    cached: tl.constexpr,
):
    """Mix with the cache, draw, and ask who spoke: the value, and the share of the LSTM then.

    Args:
        logits: [padded] float32 of the LSTM.
        said: [padded] float32 of the cache.
        forbidden: [padded] bool.
        own_share: of the LSTM, float32; the rest is the cache's.
        settings: the inverse of the temperature, top-p, and whether an opening says the value.
        numbers: at random, below 2**24; and the value that the opening says.
        values: V.
        padded: the next power of two.
        cached: whether the cache speaks about it.
    """
    inverse_temperature, top_p, forced = settings
    random, given = numbers
    value = tl.arange(0, padded)
    own = tl.exp2((logits - tl.max(logits, 0)) * _BITS_A_NAT)
    own = own / tl.sum(own, 0)
    mixture = own
    if cached:
        own = own_share * own
        mixture = own + (1.0 - own_share) * said
    drawn = _draw(tl.where(forbidden, 0.0, mixture), inverse_temperature, top_p, random, padded)
    # Where an opening says what the rules forbid, nothing is left to draw: any value will do, but no other.
    chosen = tl.where(forced, given, tl.minimum(drawn, values - 1))
    if cached:
        # What the cache cannot have said, it did not; and it is never all but certain that it did.
        heard = mixture > own
        posterior = tl.where(heard, tl.maximum(own / tl.where(heard, mixture, 1.0), _OWN_SHARE_MIN), 1.0)
        own_share = tl.sum(tl.where(value == chosen, posterior, 0.0), 0)
    return chosen, own_share


@triton.jit
def numbers_of(seed, attempt, note, tokens, attribute: tl.constexpr):
    """What `choose` wants: 24 bits as `engine.batching.randomness.uniform` has them, and what an opening says."""
    key = (attempt.to(tl.uint32).to(tl.uint64) << 32) | seed.to(tl.uint32, bitcast=True).to(tl.uint64)
    word, _, _, _ = tl.philox(key, note.to(tl.uint32), attribute, 0, 0)
    return (word >> 8).to(tl.int32), tl.load(tokens + attribute).to(tl.int32)
