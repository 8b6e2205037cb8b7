"""What a checkpoint's files say about it, read without loading the model."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path


def count_parameters(folder: Path) -> int | None:
    """How many numbers the weights of a checkpoint are; None where they cannot be read.

    The header of a safetensors file says the shape of each tensor
    (https://github.com/huggingface/safetensors#format).
    """
    try:
        with (folder / "model.safetensors").open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 1 << 20)))
        return sum(int(math.prod(each["shape"])) for name, each in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return None
