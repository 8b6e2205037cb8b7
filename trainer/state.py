"""The file that an interrupted run goes on from: tensors, and a few words and numbers beside them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from engine.checkpoint import write_atomically
from engine.errors import StorageProblem


def write_state(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Replace the file, atomically.

    Raises:
        StorageProblem: the disk is full or read-only; the file written before is intact.
    """
    # Cloned, because tied weights are one tensor under two names.
    content = save(
        {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()},
        metadata,
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically({file: content})
    except OSError as error:
        raise StorageProblem(f"The training state could not be written to {file}: {error.strerror}.") from error


def read_state(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, on the CPU, and what stands beside them.

    Raises:
        SafetensorError: the file is damaged.
    """
    with safe_open(file, framework="pt", device="cpu") as opened:
        metadata: dict[str, str] = opened.metadata()
        return {name: opened.get_tensor(name) for name in opened.keys()}, metadata  # noqa: SIM118


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name begins so, without that beginning."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def random_state(device: torch.device) -> Tensor:
    """The state of the generators that training draws from: [N] uint8."""
    state = torch.get_rng_state()
    return torch.cat([state, torch.cuda.get_rng_state(device)]) if device.type == "cuda" else state


def set_random_state(state: Tensor, device: torch.device) -> None:
    """Go on drawing from where `random_state` was; a GPU that had no part in it draws from where it is."""
    size = len(torch.get_rng_state())
    # Cloned, because torch reads a state from where its storage begins, whatever part of it the tensor is.
    torch.set_rng_state(state[:size].clone())
    if device.type == "cuda" and len(state) > size:
        torch.cuda.set_rng_state(state[size:].clone(), device)
