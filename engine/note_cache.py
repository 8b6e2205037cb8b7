"""The continuous cache: a model that remembers what it has just written (Grave, Joulin & Usunier 2017).

An LSTM keeps the drift of a piece but not its notes, so what it writes never quite comes back, while human music lives
on figures that do. "Improving neural language models with a continuous cache" adds the missing memory without training:
each note is kept with the hidden state h_j that predicted it, and the next note is, with probability `cache_share`,
one of those kept, the likelier the more its state is like the present one:

    p(note) = (1 - share) p_LSTM(note) + share sum_j w_j [note_j = note],   w = softmax_j(sharpness h . h_j)

The mixture is one over whole notes; it is written attribute by attribute, as the model is. When the first attributes of
the note are chosen, notes that have others drop out of the sum, and the share becomes the posterior probability that
the cache is speaking. The velocity is always the LSTM's: a figure comes back softer or louder.

The last `CACHE_NOTES` notes are kept; one whose exponent is more than `CACHE_NATS` below the best has no weight. This
module is the readable statement, on whole pieces and note by note; `engine/native/step.c` and
`engine.batching.torch_slots` do the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from data.tokens import ATTRIBUTES, VELOCITY
from engine.model import ModelConfig, NoteLSTM

CACHE_NOTES = 1024
CACHE_NATS = 10.0
CACHED = range(VELOCITY)  # the attributes that the cache speaks about
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
    if not model.config.cache_share:
        return model.nats(hidden, target)
    starts = range(0, len(hidden), _ROWS)
    return torch.cat([_nats_of_rows(model, hidden, target, start, start + _ROWS) for start in starts])


def _nats_of_rows(model: NoteLSTM, hidden: Tensor, target: Tensor, start: int, end: int) -> Tensor:
    """Rows start to end of `cached_nats`."""
    config, first = model.config, max(0, start - CACHE_NOTES)
    now, then = torch.arange(start, min(end, len(hidden))), torch.arange(first, min(end, len(hidden)))
    age = now[:, None] - then  # [R, K]
    similarity = config.cache_sharpness * (hidden[now] @ hidden[then].T).double()
    weight = weights(similarity, (age > 0) & (age <= CACHE_NOTES))  # [R, K]
    share = torch.full((len(now),), config.cache_share, dtype=torch.float64) * (weight.sum(1) > 0)
    losses = []
    for attribute in range(len(ATTRIBUTES)):
        chosen = target[now, attribute]
        logits = model.attribute_logits(attribute, hidden[now], target[now])
        own = functional.log_softmax(logits.double(), dim=-1).gather(1, chosen[:, None])[:, 0].exp()  # [R]
        if attribute not in CACHED:
            losses.append(-own.log())
            continue
        total = weight.sum(1)
        weight = weight * (target[then, attribute] == chosen[:, None])  # those that the note may still be
        cached = torch.where(total > 0, weight.sum(1) / total.clamp(min=1e-300), 0.0)
        mixed = (1 - share) * own + share * cached
        losses.append(-mixed.log())
        share = (share * cached / mixed).clamp(max=SHARE_MAX)
    return torch.stack(losses, dim=1).float()


def weights(similarity: Tensor, kept: Tensor) -> Tensor:
    """e^similarity of what is kept, the largest being 1 and those `CACHE_NATS` below it 0.

    Args:
        similarity: [R, K] float, what the softmax is taken of.
        kept: [R, K] bool.
    """
    masked = similarity.masked_fill(~kept, -torch.inf)
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
        self._share = self.config.cache_share if self._states else 0.0
        if self._share:
            similarity = self.config.cache_sharpness * (torch.stack(self._states[-CACHE_NOTES:]) @ hidden)
            self._weight = weights(similarity[None], torch.ones(1, len(similarity), dtype=torch.bool))[0]
        self._states.append(hidden)

    def mix(self, attribute: int, logits: Tensor) -> Tensor:
        """The logits of the mixture, [V] float32."""
        if not self._share or attribute not in CACHED:
            return logits
        own = torch.softmax(logits, dim=-1)
        return torch.log((1 - self._share) * own + self._share * self._cached(attribute, len(logits)))

    def choose(self, attribute: int, value: int, logits: Tensor) -> None:
        """An attribute has been chosen: leave out the notes that have another.

        Args:
            attribute: which.
            value: its value.
            logits: [V] float32 of the LSTM alone.
        """
        if not self._share or attribute not in CACHED:
            return
        own = float(torch.softmax(logits, dim=-1)[value])
        spoken = self._share * float(self._cached(attribute, len(logits))[value])
        self._weight = self._weight * (self._values(attribute) == value)
        self._share = min(spoken / (spoken + (1 - self._share) * own), SHARE_MAX) if spoken else 0.0

    def keep(self, note: list[int]) -> None:
        """Keep the note that was written."""
        self._notes.append(note)

    def _values(self, attribute: int) -> Tensor:
        """[K] int64: that attribute of the notes kept."""
        return torch.tensor([note[attribute] for note in self._notes[-CACHE_NOTES:]])

    def _cached(self, attribute: int, values: int) -> Tensor:
        """[values] float32: how the cache distributes the attribute."""
        counts = torch.zeros(values).index_add_(0, self._values(attribute), self._weight)
        return counts / self._weight.sum()
