"""Presets: everything that decides a training run besides its corpus."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.model_config import ModelConfig


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run; the defaults are the card of MusicLSTM-v1, word for word where the card speaks."""

    name: str = "v1"
    model: ModelConfig = field(default_factory=ModelConfig)
    epochs: int = 50
    batch: int = 64  # pieces side by side
    sequence_notes: int = 50  # back-propagation stops here; the state itself is carried on through the piece
    learning_rate: float = 1e-3  # Adam
    weight_decay: float = 0.0  # decoupled from the gradient (AdamW, Loshchilov & Hutter 2019)
    warm_up: float = 0.0  # share of the run in which the learning rate rises from zero
    cool_down: float = 1.0  # share of the run, at its end, in which it falls along half a cosine
    final_rate: float = 1.0  # the cosine ends at this share of the learning rate; 1 keeps it constant
    averaging: float = 0.0  # decay of the moving average of the weights that is kept; 0: the weights as they are
    clip_norm: float = 5.0  # not on the card: keeps one bad batch from ruining a run, hardly ever binds
    mood_confidence: float = 0.0  # a piece whose mood is less sure than this is shown to the model as "mood not known"
    rewritten: float = 0.0  # share of training pieces shown in half or double note values (`trainer.dataset`)
    semitones: int = 0  # training pieces move up or down by up to so many
    hidden: float = 0.0  # probability that a mood, and that each control, is not told in training
    untold: float = 0.0  # share of training pieces told neither mood nor any control
    cache: bool = False  # tune a continuous cache once the weights are done (`trainer.cache`)
    segment_notes: int = 1000  # a longer piece is cut here, so that lanes of the batch end an epoch together
    seed: int = 1

    def as_dict(self) -> dict[str, Any]:
        """The configuration as JSON values."""
        return asdict(self)

    def rate(self, done: float) -> float:
        """The learning rate when a share `done` (0 to 1) of the run is behind: warm-up, constant, half a cosine."""
        if done < self.warm_up:
            return self.learning_rate * done / self.warm_up
        falls_from = max(self.warm_up, 1.0 - self.cool_down)
        if done <= falls_from:
            return self.learning_rate
        fall = 0.5 * (1.0 + math.cos(math.pi * (done - falls_from) / (1.0 - falls_from)))  # 1 to 0
        return self.learning_rate * (self.final_rate + (1.0 - self.final_rate) * fall)


PRESETS: dict[str, TrainConfig] = {
    "v1": TrainConfig(),
    # The default of the bot: learns what music is from human pieces and the genre, with its moods, from those that
    # data.composer writes. What each choice is worth stands in ABLATIONS.md.
    "v2": TrainConfig(
        name="v2",
        model=ModelConfig(embedding=128, hidden=384, layers=2, dropout=0.15, controlled=True, guidance=3.0, tied=True),
        epochs=18,
        batch=32,  # twice the updates for the same notes
        sequence_notes=64,
        learning_rate=2e-3,
        weight_decay=0.01,
        warm_up=0.02,
        cool_down=0.25,
        final_rate=0.02,
        averaging=0.998,
        clip_norm=1.0,
        mood_confidence=1.0,  # a mood is learnt from music that was written for it
        rewritten=0.5,
        hidden=0.2,
        untold=0.1,  # what guidance sets the others against
        cache=True,  # human music costs a nat a note less
    ),
}
