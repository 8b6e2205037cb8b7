"""Slots stepped by PyTorch, for a CPU that has no C compiler.

Slots stand in blocks of one size, each of which is computed whole and by itself (`engine.batching.torch_step`), because
a product of another height is computed in another order: so a piece is the same in every block, however many are
computed beside it. A block in which nothing is being written costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from data.tokens import IntArray
from engine.batching.account import Account
from engine.batching.torch_step import DeviceWeights, TorchBlock
from engine.batching.weights import step_weights
from engine.checkpoint import Checkpoint
from engine.plan import Plan
from engine.types import ComposeRequest

_STEPS_MAX = 16  # in one call: pieces join and are cancelled between calls


class TorchSlots(Account):
    """Pieces in the making. For one thread, but for `stop`.

    Args:
        checkpoint: the model.
        count: slots; made a multiple of `block`.
        dtype: of weights and of the states that they multiply; sums, cells and probabilities are float32.
        block: slots that are computed together. With another size a piece may be another one.
    """

    def __init__(
        self, checkpoint: Checkpoint, count: int, *, dtype: torch.dtype = torch.float32, block: int = 16
    ) -> None:
        self._block = block
        super().__init__(-(-count // block) * block)
        self.name = "CPU (PyTorch)"  # many times slower than compiled code
        self.chunk_notes, self.behind = 8 * block, 0
        weights = DeviceWeights(step_weights(checkpoint), torch.device("cpu"), dtype)
        self._blocks = [TorchBlock(weights, block, checkpoint.longest_pitch_run) for _ in range(0, self.count, block)]

    @torch.inference_mode()
    def begin(
        self, slot: int, request: ComposeRequest, plan: Plan, *, attempt: int = 0, opening: IntArray | None = None
    ) -> None:
        """See `engine.batching.slots.Slots`."""
        block, place = divmod(slot, self._block)
        self._blocks[block].begin(place, request, plan, attempt=attempt, opening=opening)
        self._begins(slot, request.length_notes)

    @torch.inference_mode()
    def run(self, steps: int) -> int:
        """See `engine.batching.slots.Slots`. Sixteen steps at most."""
        steps = min(steps, _STEPS_MAX)
        stopped = self._stopped()
        for at in np.unique(stopped // self._block).tolist():
            self._blocks[at].end((stopped[stopped // self._block == at] % self._block).tolist())
        left = (self._end - self._at).reshape(-1, self._block).max(axis=1)  # [blocks]
        for at in np.flatnonzero(left).tolist():
            for _ in range(min(steps, int(left[at]))):
                self._blocks[at].step()
        before, self._at = self._at, np.minimum(self._at + steps, self._end)
        return int(self._at.sum() - before.sum())

    def tokens(self, slot: int) -> IntArray:
        """See `engine.batching.slots.Slots`."""
        block, place = divmod(slot, self._block)
        return self._blocks[block].tokens(place)[: self.written(slot)].numpy().astype(np.int64)

    def take(self, slots: list[int]) -> Callable[[], list[IntArray]]:
        """See `engine.batching.slots.Slots`."""
        taken = [self.tokens(slot) for slot in slots]
        return lambda: taken
