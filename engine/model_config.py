"""The shape of a MusicLSTM: all of it that can be known without PyTorch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from data.controls import CONTROLS
from data.tokens import ATTRIBUTES, CONDITIONS

CACHE_NOTES = 1024  # of a piece that its cache keeps, the last ones; the same in step.c

_SIZES_MAX = {"embedding": 2048, "hidden": 2048, "layers": 16}  # 2 GB of weights
_SHARES = {"dropout", "weight_dropout", "cache_share", "cache_stay"}
_STRENGTH_MAX = 1000.0


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a MusicLSTM; the defaults are the card of MusicLSTM-v1.

    Raises:
        ValueError: no model has such a value: a configuration may come from a damaged file.
    """

    embedding: int = 100
    hidden: int = 256
    layers: int = 2
    dropout: float = 0.3
    variational: bool = False  # one dropout mask for all steps of a sequence instead of one a step
    weight_dropout: float = 0.0  # of the recurrent weights (DropConnect, Merity et al. 2018, section 2)
    controlled: bool = False  # told the controls of the piece
    cache_share: float = 0.0  # how often a note begins to repeat the piece's own (`engine.note_cache`); 0: no cache
    cache_stay: float = 0.0  # how often a repetition goes on
    cache_sharpness: float = 1.0  # what the likeness of two states counts, in nats
    cache_match: float = 0.0  # what each note before that was the same counts, in nats
    guidance: float = 1.0  # how far notes are drawn towards mood and controls (`engine.guidance`); 1: as learnt
    tied: bool = False  # a head's last matrix is its attribute's embedding (Press & Wolf 2017)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not _suits(field.name, value, field.default):
                raise ValueError(f"{field.name} cannot be {value!r}")

    @property
    def tables(self) -> tuple[int, ...]:
        """Sizes of the embedding tables of conditions and controls."""
        conditions = tuple(condition.size for condition in CONDITIONS)
        return conditions + tuple(control.size for control in CONTROLS) if self.controlled else conditions

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of every array of the model's weights, by the name that PyTorch gives it (`NoteLSTM.state_dict`)."""
        width, hidden, sizes = self.embedding, self.hidden, [attribute.size for attribute in ATTRIBUTES]
        found: dict[str, tuple[int, ...]] = {}
        for i, size in enumerate(sizes):
            found[f"note_embeddings.{i}.weight"] = size + 1, width
            found |= {f"queries.{i}.weight": (width, hidden), f"queries.{i}.bias": (width,)}
            found |= {f"outputs.{i}.weight": (size + self.tied, width), f"outputs.{i}.bias": (size + self.tied,)}
        for i, size in enumerate(self.tables):
            found[f"condition_embeddings.{i}.weight"] = size, width
        for n, size in enumerate(size for i in range(len(sizes)) for size in sizes[:i]):
            found[f"chosen.{n}.weight"] = size, width
        for n in range(self.layers):
            for side, inputs in (("ih", hidden if n else width), ("hh", hidden)):
                found |= {f"lstm.weight_{side}_l{n}": (4 * hidden, inputs), f"lstm.bias_{side}_l{n}": (4 * hidden,)}
        return found

    @property
    def parameters(self) -> int:
        """How many numbers the model has learnt; tied ones, which have two names, count once."""
        tied = {f"outputs.{i}.weight" for i in range(len(ATTRIBUTES))} if self.tied else set()
        return sum(math.prod(shape) for name, shape in self.shapes.items() if name not in tied)

    def as_dict(self) -> dict[str, Any]:
        """The configuration as JSON values."""
        return asdict(self)


def _suits(name: str, value: object, default: object) -> bool:
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, int):
        return isinstance(value, int) and 1 <= value <= _SIZES_MAX[name]
    return isinstance(value, int | float) and 0 <= value < (1 if name in _SHARES else _STRENGTH_MAX)
