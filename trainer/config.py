"""Presets: everything that decides a training run besides its corpus."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from engine.model import ModelConfig


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run; the defaults are the card of MusicLSTM-v1, word for word where the card speaks."""

    name: str = "v1"
    model: ModelConfig = field(default_factory=ModelConfig)
    epochs: int = 50
    batch: int = 64  # pieces side by side
    sequence_notes: int = 50  # back-propagation stops here; the state itself is carried on through the piece
    learning_rate: float = 1e-3  # Adam
    clip_norm: float = 5.0  # not on the card: keeps one bad batch from ruining a run, hardly ever binds
    segment_notes: int = 1000  # a longer piece is cut here, so that lanes of the batch end an epoch together
    seed: int = 1

    def as_dict(self) -> dict[str, Any]:
        """The configuration as JSON values."""
        return asdict(self)


PRESETS: dict[str, TrainConfig] = {"v1": TrainConfig()}
