"""Compile the kernels of the shipped model for a GPU that need not be there: `python -m tests… CAPABILITY`.

What is passed to them is taken from a step whose launches compile instead. Prints the names of the kernels.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile  # noqa: A004 -- its name

from engine.batching.gpu import note as gpu_note
from engine.batching.gpu import orders as gpu_orders
from engine.batching.gpu import step as gpu_step
from engine.batching.gpu.slots import GpuSlots
from engine.checkpoint import DEFAULT, load_checkpoint
from engine.plan import plan
from engine.types import ComposeRequest

_TYPES = {torch.float16: "fp16", torch.float32: "fp32", torch.float64: "fp64", torch.int32: "i32", torch.uint8: "u8"}


class Compiling:
    """A kernel whose launch compiles it."""

    def __init__(self, kernel: Any, capability: int) -> None:
        self._kernel, self._capability = kernel, capability

    def __getitem__(self, grid: object) -> Compiling:
        return self

    def __call__(
        self, *values: object, num_warps: int = 4, num_stages: int = 3, maxnreg: int | None = None, **constants: object
    ) -> None:
        types = ["fp32" if isinstance(value, float) else "i32" for value in values]
        for at, value in enumerate(values):
            if isinstance(value, torch.Tensor):
                types[at] = f"*{_TYPES[value.dtype]}"
        signature = dict(zip(self._kernel.arg_names, types, strict=False)) | dict.fromkeys(constants, "constexpr")
        source = ASTSource(self._kernel, signature, constants)
        options = {"num_warps": num_warps, "num_stages": num_stages, "maxnreg": maxnreg}
        compiled = compile(source, target=GPUTarget("cuda", self._capability, 32), options=options)
        assert compiled.asm["cubin"]
        print(self._kernel.__name__)  # noqa: T201 -- what the test reads


def main(capability: int) -> None:
    for module in (gpu_note, gpu_orders, gpu_step):
        for name in ("layer_step", "query_step", "look_step", "note_step", "begin_step", "leave_step"):
            if hasattr(module, name):
                setattr(module, name, Compiling(getattr(module, name), capability))
    request = ComposeRequest(length_notes=16)
    for count in (64, 320):  # few, and many, which are cut in another way
        slots = GpuSlots(load_checkpoint(DEFAULT), count, device="cpu", graph_steps=2)
        slots.begin(count - 1, request, plan(request))
        slots.run(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
