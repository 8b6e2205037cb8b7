"""The continuous cache: a model that remembers what it has just written (Grave, Joulin & Usunier 2017).

An LSTM keeps the drift of a piece but not its notes, so what it writes never quite comes back, while human music lives
on figures that do. "Improving neural language models with a continuous cache" adds the missing memory without training:
each note is kept with the hidden state h_j that predicted it, and the next note is, with probability `share`, one of
those kept, the likelier the more its state is like the present one:

    p(note_t) = (1 - share_t) p_LSTM(note_t) + share_t sum_j w_j [note_j = note_t],  w = softmax_j(s h_t . h_j + m n_j)

Two things are added, because music repeats phrases rather than words. n_j counts the notes before j that equal the
notes before t, up to `CACHE_MATCH_NOTES`, as the contexts of prediction by partial matching do (Cleary & Witten 1984).
And a repetition tends to go on: share_t is `cache_share`, but `cache_stay` as far as the note before came out of the
cache, which makes of LSTM and cache the two states of a hidden Markov model, filtered exactly.

The mixture is one over whole notes; it is written attribute by attribute, as the model is. When the first attributes of
the note are chosen, notes that have others drop out of the sum, and the share becomes the posterior probability that
the cache is speaking. The velocity is always the LSTM's: a figure comes back softer or louder.

The last `CACHE_NOTES` notes are kept; one whose exponent is more than `CACHE_NATS` below the best has no weight. This
module is the readable statement, on whole pieces and note by note; `engine/native/step.c`,
`engine.batching.torch_cache` and `engine.batching.gpu.cache` do the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from data.tokens import VELOCITY
from engine.model import NoteLSTM
from engine.model_config import CACHE_NOTES, ModelConfig

CACHE_MATCH_NOTES, CACHE_NATS = 4, 10.0  # the same in step.c
CACHED = range(VELOCITY)  # the attributes that the cache speaks about, the first ones
SHARE_MAX = 1 - 1e-6  # a note that the LSTM rules out altogether is still a mixture
_ROWS = 512  # notes scored at once


def note_nats(model: NoteLSTM, previous: Tensor, conditions: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of each attribute of a whole piece, by the model with its cache where it has one.

    Args:
        model: in evaluation mode.
        previous: [T, 5] int64, the note before each.
        conditions: [T, C] int64.
        target: [T, 5] int64.

    Returns:
        [T, 5] float32; the sum over the last axis is the cross-entropy of the note in nats.
    """
    hidden, _ = model(previous[None], conditions[None])
    return cached_nats(model, hidden[0], target)


def cached_nats(model: NoteLSTM, hidden: Tensor, target: Tensor) -> Tensor:
    """The same from the hidden states of a whole piece, [T, H] float32."""
    config, alone = model.config, model.nats(hidden, target)
    if not config.cache_share:
        return alone
    own = np.exp(-alone[:, : len(CACHED)].double().numpy())  # [T, 4] probabilities by the LSTM
    starts = range(0, len(hidden), _ROWS)
    said = torch.cat([_said_of_rows(config, hidden, target, at, at + _ROWS) for at in starts]).numpy()  # [T, 4]
    nats = np.empty_like(own)
    share = 0.0  # nothing is kept before the first note
    for t in range(len(own)):
        for attribute in CACHED:
            mixed = (1 - share) * own[t, attribute] + share * said[t, attribute]
            nats[t, attribute] = -np.log(mixed)
            share = min(share * said[t, attribute] / mixed, SHARE_MAX)
        share = next_share(config, share)
    return torch.cat([torch.from_numpy(nats).float(), alone[:, len(CACHED) :]], dim=1)


def next_share(config: ModelConfig, heard: float) -> float:
    """The probability that the cache speaks next, after a note that came out of it with probability `heard`."""
    return config.cache_share + (config.cache_stay - config.cache_share) * heard


def _said_of_rows(config: ModelConfig, hidden: Tensor, target: Tensor, start: int, end: int) -> Tensor:
    """[R, 4] float64: what the cache gives to each attribute of notes start to end, given those before it."""
    end = min(end, len(hidden))
    now, then = torch.arange(start, end), torch.arange(max(0, start - CACHE_NOTES), end)
    age = now[:, None] - then  # [R, K]
    likeness = config.cache_sharpness * (hidden[now] @ hidden[then].T).double()
    same = (age > 0) & (age <= CACHE_NOTES)
    kept = same
    for back in range(1, CACHE_MATCH_NOTES + 1):
        earlier = target[(then - back).clamp(min=0)][None, :, : len(CACHED)]
        equal = (target[(now - back).clamp(min=0)][:, None, : len(CACHED)] == earlier).all(-1)
        same = same & equal & (then >= back) & (age + back <= CACHE_NOTES)
        likeness = likeness + config.cache_match * same
    weight = weights(likeness, kept)
    said = []
    for attribute in CACHED:
        total = weight.sum(1)
        weight = weight * (target[then, attribute] == target[now, attribute, None])  # those that the note may still be
        said.append(torch.where(total > 0, weight.sum(1) / total.clamp(min=1e-300), 0.0))
    return torch.stack(said, dim=1)


def weights(likeness: Tensor, kept: Tensor) -> Tensor:
    """e^likeness of what is kept, the largest being 1 and those `CACHE_NATS` below it 0.

    Args:
        likeness: [R, K] float, what the softmax is taken of.
        kept: [R, K] bool.
    """
    masked = likeness.masked_fill(~kept, -torch.inf)
    below = masked - masked.amax(1, keepdim=True).clamp(min=-1e30)
    return torch.where(below > -CACHE_NATS, below.exp(), 0.0)


@dataclass(slots=True)
class NoteCache:
    """The cache of one piece that is being written. `look`, then `mix` and `choose` for each attribute, then `keep`."""

    config: ModelConfig
    _states: list[Tensor] = field(default_factory=list)  # [H] of each note
    _notes: list[list[int]] = field(default_factory=list)
    _weight: Tensor = field(default_factory=lambda: torch.zeros(0))  # [K] of those that the note may still be
    _share: float = 0.0

    def look(self, hidden: Tensor) -> None:
        """Compare the state that is to predict a note, [H] float32, with those kept."""
        if self._states and self.config.cache_share:
            self._share = next_share(self.config, self._share)
            likeness = self.config.cache_sharpness * (torch.stack(self._states[-CACHE_NOTES:]) @ hidden)
            likeness += self.config.cache_match * self._matches()
            self._weight = weights(likeness[None], torch.ones(1, len(likeness), dtype=torch.bool))[0]
        self._states.append(hidden)

    def _matches(self) -> Tensor:
        """[K]: how many notes before each of those kept equal the last notes."""
        written = len(self._notes)
        first = max(0, written - CACHE_NOTES)
        heads = [note[: len(CACHED)] for note in self._notes]
        last = heads[: -CACHE_MATCH_NOTES - 1 : -1]  # the newest first
        counts = []
        for kept in range(first, written):
            before = heads[first:kept][::-1]
            equal = [a == b for a, b in zip(before, last, strict=False)]
            counts.append([*equal, False].index(False))
        return torch.tensor(counts)

    def mix(self, attribute: int, logits: Tensor) -> Tensor:
        """The logits of the mixture, [V] float32."""
        if not self._share or attribute not in CACHED:
            return logits
        own = torch.softmax(logits, dim=-1)
        return torch.log((1 - self._share) * own + self._share * self._said(attribute, len(logits)))

    def choose(self, attribute: int, value: int, logits: Tensor) -> None:
        """An attribute has been chosen: leave out the notes that have another.

        Args:
            attribute: which.
            value: its value.
            logits: [V] float32 of the LSTM alone.
        """
        if not self._share or attribute not in CACHED:
            return
        own = float(functional.softmax(logits, dim=-1)[value])
        spoken = self._share * float(self._said(attribute, len(logits))[value])
        self._weight = self._weight * (self._values(attribute) == value)
        self._share = min(spoken / (spoken + (1 - self._share) * own), SHARE_MAX) if spoken else 0.0

    def keep(self, note: list[int]) -> None:
        """Keep the note that was written."""
        self._notes.append(note)

    def _values(self, attribute: int) -> Tensor:
        """[K] int64: that attribute of the notes kept."""
        return torch.tensor([note[attribute] for note in self._notes[-CACHE_NOTES:]])

    def _said(self, attribute: int, values: int) -> Tensor:
        """[values] float32: how the cache distributes the attribute."""
        counts = torch.zeros(values).index_add_(0, self._values(attribute), self._weight)
        return counts / self._weight.sum()
