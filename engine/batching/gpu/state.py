"""What kernels know of each slot and of a note; see `engine.batching.gpu.note`."""

from __future__ import annotations

import triton.language as tl

from data import tokens
from engine.types import LENGTH_NOTES_MAX

# What `state` holds of each slot: int32, so many in a row.
NOTE, LENGTH, FORCED, RUN, ONSET, SOUNDING = (tl.constexpr(at) for at in range(6))
PREVIOUS, SEED, ATTEMPT, LAST, STATE_WIDTH = (tl.constexpr(at) for at in (6, 11, 12, 13, 16))

# A piece's notes, and of a note the attributes: where each stands, and how many values it has.
LENGTH_MAX, ATTRIBUTES = tl.constexpr(LENGTH_NOTES_MAX), tl.constexpr(len(tokens.ATTRIBUTES))
_ORDER = (tokens.PART, tokens.DELTA, tokens.PITCH, tokens.DURATION, tokens.VELOCITY)
PART, DELTA, PITCH, DURATION, VELOCITY = (tl.constexpr(at) for at in _ORDER)
PARTS, DELTAS, PITCHES, DURATIONS, VELOCITIES = (tl.constexpr(each.size) for each in tokens.ATTRIBUTES)
