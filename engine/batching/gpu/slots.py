"""Slots stepped by a GPU: the kernels of `engine.batching.gpu.note`, recorded as CUDA graphs of several steps.

Graphs are recorded of the first 1, 2, 4, … blocks of slots, and the smallest is replayed that covers what is being
written: whoever fills the slots takes the lowest first. One replay is one launch for the host
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs), and asks it nothing: the host knows each piece's
length, so it knows what was written. A call is three orders: a copy of who joins and who leaves, a replay that begins
with the former and ends with the latter, and a copy of what those have written, both through pinned memory. It returns
while the device writes, and waits only for what an earlier one began: so the host hands pieces over while the next
notes are written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.tokens import ATTRIBUTES, IntArray
from engine.batching.account import Account
from engine.batching.gpu.orders import HEADER
from engine.batching.gpu.state import LENGTH, NOTE
from engine.batching.gpu.step import GpuStep
from engine.batching.slots import DeviceFull, DeviceLost
from engine.checkpoint import Checkpoint
from engine.plan import Plan
from engine.types import ComposeRequest

BLOCK = 64  # slots; fewer would leave more of a GPU idle, more would be computed for a single piece
# In one replay, between which pieces join and are cancelled. Even, so that states end where they began.
_GRAPH_STEPS = 16
# One for the device to be busy with while the host hands pieces over, one more for when the host is late.
_BEHIND = 2
# What `orders.begin_step` is told of a piece, its settings first and then the rest; and its opening.
_Joining: TypeAlias = tuple[tuple[float, float], list[int], IntArray | None]
# The notes of a piece, [written, 5], and when they are there.
_Arriving: TypeAlias = tuple[npt.NDArray[np.uint8], "torch.cuda.Event | None"]


class GpuSlots(Account):
    """Pieces in the making on a GPU. For one thread, but for `stop`. See `engine.batching.slots.Slots`.

    Args:
        checkpoint: the model.
        count: slots; made a multiple of `block`.
        device: "cuda"; anything else only where Triton interprets its kernels.
        dtype: of weights and of the states that they multiply; sums, cells and probabilities are float32. float16 is
            half the memory to read, and computed by a CPU it changes the loss of v2 on 2,560 notes of the project's own
            composer, unheard in training, by 0.0004 % (bfloat16 by 0.014 %).
        block: slots that are computed together, a power of two and at least 16.
        graph_steps: notes of each piece that one replay writes, an even number.

    Raises:
        RuntimeError: PyTorch cannot use the device, or it has too little memory (torch.OutOfMemoryError).
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        count: int,
        *,
        device: str = "cuda",
        dtype: torch.dtype = torch.float16,
        block: int = BLOCK,
        graph_steps: int = _GRAPH_STEPS,
    ) -> None:
        self.block, self._graph_steps = block, graph_steps
        super().__init__(-(-count // block) * block)
        self.chunk_notes, self.behind = graph_steps * self.count, _BEHIND  # one replay, however many pieces there are
        self.device = torch.device(device)
        kind = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "GPU"
        self.name = f"{kind} ({str(dtype).removeprefix('torch.')})"
        self._step = GpuStep(checkpoint, self.count, self.device, dtype, block, graph_steps)
        self._joining: dict[int, _Joining] = {}
        self._complete: dict[int, _Arriving] = {}
        self._on_gpu = self.device.type == "cuda"
        self._begun: deque[torch.cuda.Event | None] = deque()  # what the last calls had the device do

    def begin(
        self, slot: int, request: ComposeRequest, plan: Plan, *, attempt: int = 0, opening: IntArray | None = None
    ) -> None:
        """See `engine.batching.slots.Slots`."""
        known = 0 if opening is None else len(opening)
        seed = (request.seed ^ (1 << 31)) - (1 << 31)  # the same 32 bits, signed
        entry = [slot, request.length_notes, known, seed, attempt, *self._step.told(plan, request.mood)]
        self._joining[slot] = (1.0 / request.temperature, request.top_p), entry, opening
        self._begins(slot, request.length_notes)
        self._complete.pop(slot, None)

    def _order(self, joining: dict[int, _Joining], leaving: list[int]) -> None:
        """Tell the device who joins and who leaves, as the kernels of `orders` read it."""
        longest = int(self._at[leaving].max()) if leaving else 0
        told = HEADER.value + self.count
        size = told + len(joining) * self._step.entry_width
        sent = torch.empty(size, dtype=torch.int32, pin_memory=self._on_gpu)
        host = sent.numpy()
        host[: HEADER.value + len(leaving)] = [len(joining), len(leaving), longest, *leaving]
        if joining:
            settings, entries, openings = zip(*joining.values(), strict=True)
            entry = host[told:].reshape(len(joining), -1)
            entry[:, :2] = np.array(settings, np.float32).view(np.int32)
            entry[:, 2:] = entries
            for slot, opening in zip(joining, openings, strict=True):
                if opening is not None:
                    self._step.tokens[slot, : len(opening)] = self._sent(opening.astype(np.uint8))
        self._step.orders[:size].copy_(sent, non_blocking=True)

    def _sent(self, array: np.ndarray) -> Tensor:
        sent = torch.from_numpy(array)
        return sent.pin_memory().to(self.device, non_blocking=True) if self._on_gpu else sent

    def run(self, steps: int) -> int:
        """See `engine.batching.slots.Slots`. One replay at most, rounded up to a whole one.

        Raises:
            DeviceLost, DeviceFull: see there.
        """
        if steps <= 0:
            return 0
        try:
            return self._run()
        except RuntimeError as problem:
            raise _known(problem, self._on_gpu) from problem

    @torch.inference_mode()
    def _run(self) -> int:
        stopped = self._stopped()
        if len(stopped):
            ended = self._sent(stopped)
            self._step.state[ended, LENGTH.value] = self._step.state[ended, NOTE.value]
        stopped_slots = stopped.tolist()
        for slot in stopped_slots:
            self._joining.pop(slot, None)
        writing = np.flatnonzero(self._at < self._end)
        before = self._at[writing]
        self._at[writing] = after = np.minimum(before + self._graph_steps, self._end[writing])
        complete = [*writing[after == self._end[writing]].tolist(), *stopped_slots]
        if len(writing):
            self._order(self._joining, complete)
            self._joining = {}
            blocks = int(writing[-1]) // self.block + 1
            self._step.write(blocks)
            arriving, done = self._fetch(complete)
        else:
            arriving, done = self._fetch_alone(complete)
        self._complete |= arriving
        self._begun.append(done)
        while len(self._begun) > (self.behind if len(writing) else 0):
            begun = self._begun.popleft()
            if begun is not None:
                begun.synchronize()  # a lost device is noticed here
        return int(after.sum() - before.sum())

    def _fetch_alone(self, slots: list[int]) -> tuple[dict[int, _Arriving], torch.cuda.Event | None]:
        """The same as `_fetch` of slots that were not among those of the orders before."""
        if slots:
            self._order({}, slots)
            self._step.leave()
        return self._fetch(slots)

    def _fetch(self, slots: list[int]) -> tuple[dict[int, _Arriving], torch.cuda.Event | None]:
        """Have the device copy what the slots of the orders hold; and when it has done that and all before."""
        longest = int(self._at[slots].max()) if slots else 0
        host = torch.empty((len(slots), longest, len(ATTRIBUTES)), dtype=torch.uint8, pin_memory=self._on_gpu)
        host.view(-1).copy_(self._step.left[: host.numel()], non_blocking=True)
        done = None
        if self._on_gpu:
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()
        notes = self._at[slots].tolist()
        return {
            slot: (tokens[:count], done) for slot, tokens, count in zip(slots, host.numpy(), notes, strict=True)
        }, done

    def take(self, slots: list[int]) -> Callable[[], list[IntArray]]:
        """See `engine.batching.slots.Slots`."""
        late = [slot for slot in slots if slot not in self._complete]
        if late:  # stopped a moment ago, or taken before
            try:
                self._complete |= self._fetch_alone(late)[0]
            except RuntimeError as problem:
                raise _known(problem, self._on_gpu) from problem
        # Kept no longer: a piece that nobody follows in its slot would keep those that ended with it, too.
        return partial(_arrived, [self._complete.pop(slot) for slot in slots])

    def tokens(self, slot: int) -> IntArray:
        """See `engine.batching.slots.Slots`."""
        return self.take([slot])()[0]


def _arrived(arriving: list[_Arriving]) -> list[IntArray]:
    """Copies of what events say is there."""
    for done in {done for _, done in arriving}:
        if done is not None:
            try:
                done.synchronize()
            except RuntimeError as problem:
                raise _known(problem, on_gpu=True) from problem
    return [tokens.astype(np.int64) for tokens, _ in arriving]


def _known(problem: RuntimeError, on_gpu: bool) -> RuntimeError:
    """What a failure means for those who may have to make other slots."""
    if not on_gpu:
        return problem
    if isinstance(problem, torch.OutOfMemoryError):
        return DeviceFull(str(problem))
    return DeviceLost(f"the GPU failed: {problem}")
