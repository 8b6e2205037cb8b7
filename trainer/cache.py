"""The continuous cache (`engine.note_cache`) from the trainer's side: how held-out music fares with it, and its tuning.

The cache has nothing to train. Its four numbers are chosen on the validation side once the weights are done, as Grave,
Joulin & Usunier 2017 (section 4) do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from data.tokens import ATTRIBUTES
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.note_cache import cached_nats, note_nats
from trainer.dataset import NO_NOTE, Example

# What is tried of each number, one number after the other, twice; the first of each is what the tuning starts from.
GRID: dict[str, tuple[float, ...]] = {
    "cache_match": (1.0, 0.0, 0.5, 1.5, 2.0, 3.0),
    "cache_sharpness": (1.0, 0.3, 0.5, 0.7, 1.4, 2.0),
    "cache_stay": (0.6, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9),
    "cache_share": (0.2, 0.01, 0.02, 0.05, 0.1, 0.15, 0.3),
}
_PIECES = 48  # enough to tell these values apart


def held_out_nats(model: NoteLSTM, examples: Sequence[Example]) -> list[float]:
    """Mean nats of each attribute over whole pieces, by the model as it is served: with its cache, where it has one.

    Args:
        model: on the CPU, in evaluation mode.
        examples: at least one.

    Returns:
        one number for each of ATTRIBUTES; their sum is nats per note.
    """
    total, notes = np.zeros(len(ATTRIBUTES)), 0
    with torch.inference_mode():
        for example in examples:
            arrays = (_previous(example), example.conditions, example.tokens)
            total += note_nats(model, *map(torch.from_numpy, arrays)).double().sum(0).numpy()
            notes += len(example.tokens)
    return [float(value) for value in total / notes]


def tuned(model: NoteLSTM, valid: Sequence[Example]) -> ModelConfig:
    """The model's configuration with the cache that suits held-out music best; `model` is left as it was.

    Args:
        model: on the CPU, in evaluation mode.
        valid: the validation side; pieces evenly spread over it are used.
    """
    chosen = [valid[at] for at in np.linspace(0, len(valid) - 1, min(_PIECES, len(valid))).astype(int)]
    plain = model.config
    with torch.inference_mode():
        heard = []
        for example in chosen:
            previous, conditions = torch.from_numpy(_previous(example)), torch.from_numpy(example.conditions)
            heard.append((model(previous[None], conditions[None])[0][0], torch.from_numpy(example.tokens)))

        def nats(config: ModelConfig) -> float:
            model.config = config
            return sum(float(cached_nats(model, hidden, target).sum()) for hidden, target in heard)

        def changed(config: ModelConfig, name: str, value: float) -> ModelConfig:
            return ModelConfig(**config.as_dict() | {name: value})

        try:
            best = plain
            for name, values in GRID.items():
                best = changed(best, name, values[0])
            for name, values in (*GRID.items(), *GRID.items()):
                best = min((changed(best, name, value) for value in values), key=nats)
            return best
        finally:
            model.config = plain


def _previous(example: Example) -> np.ndarray:
    return np.vstack([NO_NOTE, example.tokens[:-1]])
