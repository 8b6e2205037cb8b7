"""Slots stepped in C (`engine/native/step.c`): the way on a CPU, and what it was chosen over.

Notes per second of one core, AMD EPYC (Zen 4, AVX-512 VNNI, 1 MB of L2), MusicLSTM-v2, temperature 0.9, top-p 0.95,
`python -m benchmarks engine`, medians of five interleaved rounds:

                                                     batch 1        8       64
    the usual way: 50 notes again for each note          116      231      243
    nn.LSTM one step, sort, multinomial                  410    1,979    5,897
    torch_slots (sixteen slots at least)                 154    1,287    2,512
    C, float32                                         9,390   11,450   11,567
    C, int8                                           29,308   37,305   37,898   <- default

MusicLSTM-v1, half the weights and without cache and guidance, by instruction set:

    AVX-512 VNNI, int8                                65,917  141,342  146,074
    AVX-512 without VNNI, int8                        34,100        -   70,700
    AVX2, int8                                        35,200        -   60,900
    AVX-512, float32                                  19,573   45,651   48,177
    AVX2, float32                                     19,900        -   34,800

An LSTM 384 x 3, five heads, random weights and neither cache nor guidance, one thread of another machine, when the way
was chosen:

    eager PyTorch, fused gates, no sort                  980    5,688   13,962
    torch.compile, bfloat16                              877    6,050   27,477
    ONNX Runtime, int8                                 3,212   17,730   36,008
    C, AVX-512, float32                                1,884    9,147   21,046
    C, AMX, int8                                       7,508   50,087  152,405

int8 changes the held-out loss of v2 by 0.026 % (`python -m benchmarks precision`), and its notes are the same on all
three. At batch 64 some 60 % of v1's time were integer products, one instruction a cycle; the rest exponentials and the
heads. Adding the first layer's eight table rows up in 16-bit integers, and bounding arguments by min and max instead of
masks, raised its int8 from 122,000 to 152,000 at batch 64.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.tokens import ATTRIBUTES, IntArray
from engine.batching.layout import PIECE, PIECES_MAX, RING, Laid, Memory, Precision, aligned, declare, lay_out
from engine.batching.weights import FloatArray, step_weights
from engine.checkpoint import Checkpoint
from engine.model_config import CACHE_NOTES
from engine.native.build import CACHE, library
from engine.plan import Plan
from engine.types import LENGTH_NOTES_MAX, ComposeRequest

# 28 to 60 ms. Between calls Python finds its caches full of weights and is many times slower than alone, half a
# millisecond a call: calls of 1,024 notes lost 6 % of the time to it. Nobody waits for a call's end to stop a piece.
_CHUNK_NOTES = 4096


class NativeSlots:
    """Pieces in the making, some notes of all of them at each call. For one thread, but for `stop` and `written`.

    Args:
        checkpoint: the model.
        count: slots, 1 to 1,024.
        precision: of weights and hidden states. int8 gives the same sums on every processor.
        cache: where the compiled step is kept.
        target: see `engine.native.build.library`.

    Raises:
        NoCompiler: the step could not be compiled here.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        count: int,
        *,
        precision: Precision = "int8",
        cache: Path = CACHE,
        target: str | None = None,
    ) -> None:
        if not 1 <= count <= PIECES_MAX:
            raise ValueError(f"{count} slots: 1 to {PIECES_MAX}")
        self.name = f"CPU ({precision})"
        self.count = count
        self.chunk_notes, self.behind = _CHUNK_NOTES, 0
        self.precision = precision
        self._run_limit = checkpoint.longest_pitch_run
        self._library = library(int8=precision == "int8", cache=cache, target=target)
        declare(self._library)
        self._weights = step_weights(checkpoint)
        self._laid: Laid = lay_out(self._library, self._weights, int8=precision == "int8")
        self._pieces = np.zeros(count, PIECE)
        self._note, self._length, self._stop = (self._pieces[name] for name in ("note", "length", "stop"))  # views
        self._tokens = np.zeros((count, LENGTH_NOTES_MAX, len(ATTRIBUTES)), np.uint8)
        self._allocate()

    def _allocate(self) -> None:
        weights, count = self._weights, self.count
        inputs = sum(layer.weight.shape[1] for layer in weights.layers) + weights.hidden
        rows = count if weights.model.guidance == 1 else 2 * count
        self._fixed: FloatArray = aligned((rows, 4 * weights.hidden), np.float32)
        self._logits: FloatArray = aligned((rows, self._laid.model.logits), np.float32)
        self._nats: FloatArray | None = None
        self._room = [
            aligned((rows, len(weights.layers), weights.hidden), np.float32),
            aligned((rows, inputs * self._library.input_bytes()), np.uint8),
            aligned((rows, len(weights.query.bias)), np.float32),
            aligned((rows, weights.embedding * self._library.input_bytes()), np.uint8),
            aligned((count, RING), np.uint16),
        ]
        cells, states, queries, spoken, ends = (array.ctypes.data for array in self._room)
        keys = cached = None
        if weights.model.cache_share:
            # Never written beyond the notes of a piece, so that memory is taken only as it is needed.
            self._room.append(aligned((count, CACHE_NOTES, weights.hidden * self._library.key_bytes()), np.uint8))
            self._room.append(aligned((count, CACHE_NOTES, 2), np.int32))  # struct cached
            keys, cached = (array.ctypes.data for array in self._room[-2:])
        self._memory = Memory(
            tokens_stride=LENGTH_NOTES_MAX,
            inputs_stride=inputs,
            cells=cells,
            inputs=states,
            fixed=self._fixed.ctypes.data,
            queries=queries,
            spoken=spoken,
            logits=self._logits.ctypes.data,
            ends=ends,
            tokens=self._tokens.ctypes.data,
            nats=None,
            keys=keys,
            cached=cached,
        )

    def begin(
        self, slot: int, request: ComposeRequest, plan: Plan, *, attempt: int = 0, opening: IntArray | None = None
    ) -> None:
        """See `engine.batching.slots.Slots`."""
        self._length[slot] = 0  # nothing to do in it while it is being written
        self._fixed[slot] = self._weights.steady(plan.told(request.mood))
        if len(self._fixed) > self.count:
            self._fixed[self.count + slot] = self._weights.steady(plan.untold())
        self._library.begin(byref(self._laid.model), byref(self._memory), self.count, slot)
        forced = 0 if opening is None else len(opening)
        if opening is not None:
            self._tokens[slot, :forced] = opening
        self._pieces[slot] = (
            request.length_notes,
            0,
            0,
            forced,
            0,
            self._run_limit,
            0,
            0,
            request.seed,
            attempt,
            1.0 / request.temperature,
            request.top_p,
            [attribute.size for attribute in ATTRIBUTES],
            0,
        )

    def run(self, steps: int) -> int:
        """See `engine.batching.slots.Slots`; the GIL is released."""
        return int(
            self._library.step(
                byref(self._laid.model), byref(self._memory), self._pieces.ctypes.data, self.count, steps
            )
        )

    def stop(self, slot: int) -> None:
        """No more notes in this slot: seen at the next note, also while `run` runs in another thread."""
        self._stop[slot] = 1

    def finished(self) -> npt.NDArray[np.bool_]:
        """See `engine.batching.slots.Slots`."""
        done: npt.NDArray[np.bool_] = (self._note >= self._length) | (self._stop != 0)
        return done

    def written(self, slot: int) -> int:
        """Notes written so far; may be asked while `run` runs in another thread."""
        return int(self._note[slot])

    def tokens(self, slot: int) -> IntArray:
        """See `engine.batching.slots.Slots`."""
        return self._tokens[slot, : self.written(slot)].astype(np.int64)

    def take(self, slots: list[int]) -> Callable[[], list[IntArray]]:
        """See `engine.batching.slots.Slots`."""
        taken = [self.tokens(slot) for slot in slots]
        return lambda: taken

    def keep_nats(self) -> None:
        """From now on, note what each attribute of an opening costs: see `nats`. Nothing is guided any more."""
        self._laid.model.guidance = 1.0
        if self._nats is None:
            self._nats = aligned((self.count, LENGTH_NOTES_MAX, len(ATTRIBUTES)), np.float32)
            self._memory.nats = self._nats.ctypes.data

    def nats(self, slot: int) -> FloatArray:
        """[written, 5] float32: -log p of each attribute of the opening's notes, before any rule or temperature."""
        if self._nats is None:
            raise ValueError("keep_nats was not called")
        return self._nats[slot, : self.written(slot)].copy()

    def logits(self, slot: int) -> list[FloatArray]:
        """Of the last note written: [V_i] float32 of each attribute, with what the rules forbid at -inf."""
        first = list(self._laid.model.first_logit)
        return [
            self._logits[slot, start : start + attribute.size].copy()
            for start, attribute in zip(first, ATTRIBUTES, strict=True)
        ]
