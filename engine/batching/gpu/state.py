"""What kernels know of each slot; see `engine.batching.gpu.note`."""

from __future__ import annotations

import triton.language as tl

# What `state` holds of each slot: int32, so many in a row.
NOTE, LENGTH, FORCED, RUN, ONSET, SOUNDING = (tl.constexpr(at) for at in range(6))
PREVIOUS, SEED, ATTEMPT, LAST, STATE_WIDTH = (tl.constexpr(at) for at in (6, 11, 12, 13, 16))
