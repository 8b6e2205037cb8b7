"""Several processes that train one model together, as torchrun starts them; a process alone is a group of one.

Every process prepares the same batches and computes its own lanes of them (`trainer.dataset`): all together do what
one would, with other dropout. The processes share a folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from data.errors import MusicLSTMError
from trainer.dataset import Batch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """The place of this process among those that train.

    Attributes:
        rank: 0 to size - 1; 0 leads: it reports, measures and saves.
        size: processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process reports, measures and saves."""
        return self.rank == 0

    def lanes(self, batch: Batch) -> Batch:
        """This process's lanes of a batch: every `size`-th, so that all have some left at the end of an epoch."""
        fields = (batch.previous, batch.conditions, batch.target, batch.mask, batch.starts)
        return Batch(*(field[self.rank :: self.size] for field in fields))

    def own(self, state: Tensor) -> Tensor:
        """This process's lanes ([layers, B / size, H]) of a state of all ([layers, B, H])."""
        return state[:, self.rank :: self.size].contiguous()

    def whole(self, own: Tensor, batch: int) -> Tensor:
        """The state of all B = `batch` lanes, from what `own` gave each process."""
        state = own.new_zeros(own.shape[0], batch, own.shape[2])
        state[:, self.rank :: self.size] = own
        return self.total(state)

    def rows(self, own: Tensor) -> Tensor:
        """[size, N]: the vector ([N]) of every process."""
        rows = own.new_zeros(self.size, len(own))
        rows[self.rank] = own
        return self.total(rows)

    def total(self, own: Tensor) -> Tensor:
        """The sum of a tensor over the processes."""
        if self.size > 1:
            own = own.clone()
            distributed.all_reduce(own)
        return own

    def told(self, value: T) -> T:
        """What the leader passes; what others pass is not looked at."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def averaging(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes after each backward pass."""
        return module if self.size == 1 else DistributedDataParallel(module)


ALONE = Group()


class OtherStopped(MusicLSTMError):
    """A process of the group is gone, and this one cannot go on without it."""


@contextmanager
def noticing_others() -> Iterator[None]:
    """Say in one sentence that another process is gone, in place of torch's account of its sockets.

    Raises:
        OtherStopped: another process is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if "by peer" not in str(error):  # gloo: connection closed, or reset, by peer
            raise
        raise OtherStopped("Another process of this run has stopped: see what it says; go on with --resume.") from None


def join(device_type: str) -> tuple[Group, torch.device]:
    """Meet the other processes that torchrun started, if it did; this one's place and device.

    Args:
        device_type: `cpu` or `cuda`; each process of a machine takes a GPU of its own.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE, torch.device(device_type)
    device = torch.device(device_type)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    # The CPU's part is for what is small: the state and the leader's decisions.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return Group(distributed.get_rank(), size), device


def leave() -> None:
    """Part from the others, after `join`."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
