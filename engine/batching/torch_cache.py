"""The continuous cache of `engine.note_cache` for slots side by side, in tensors of fixed shapes.

All K places are compared, filled or not: a sum over fewer would be rounded otherwise, and a piece would depend on its
company. Weights are added up as integers, whose sum is the same in any order.

Shapes: S slots, K notes kept of each, H hidden, V values of an attribute.
"""

from __future__ import annotations

import torch
from torch import Tensor

from data.tokens import ATTRIBUTES
from engine.model_config import CACHE_NOTES, ModelConfig
from engine.note_cache import CACHE_MATCH_NOTES, CACHED, SHARE_MAX, weights

# A weight lies in (e^-10, 1] or is 0 (`note_cache.CACHE_NATS`), so its last bit is worth at least 2^-38: in units of
# 2^-40 it is a whole number, and the sum of all places is far below 2^63.
_UNIT_BITS = 40


class TorchCache:
    """`look` at a step's hidden states, then `mix` and `choose` for each attribute, then `keep` the notes.

    Args:
        model: whose share and sharpness count.
        count: S.
        hidden: H.
        device: of all tensors.
        dtype: of the hidden states.
    """

    def __init__(self, model: ModelConfig, count: int, hidden: int, device: torch.device, dtype: torch.dtype) -> None:
        self._config = model

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        # Places last: a product of a row with columns is six times as fast on a CPU as one of rows with a column.
        self._keys = zeros(count, hidden, CACHE_NOTES, dtype=dtype)
        self._notes = zeros(len(CACHED), count, CACHE_NOTES)
        self._heads = zeros(count, CACHE_NOTES, dtype=torch.int32)  # all that is cached of a note, as one number
        self._last = zeros(count, 1, dtype=torch.int32)  # of the last note
        self._matches = zeros(count, CACHE_NOTES, dtype=torch.int32)  # notes before each that equal the last ones
        self._places = torch.arange(CACHE_NOTES, device=device)
        self._weight = zeros(count, CACHE_NOTES)  # in units of 2^-40
        self._share = zeros(count, 1, dtype=torch.float64)  # so near to 1 that a float32 has no rest left
        self._own = self._said = zeros(count, 0, dtype=torch.float32)  # [S, V] how LSTM and cache see an attribute
        self._heard = zeros(count, 1, dtype=torch.float64)  # the share after the last note

    def look(self, hidden: Tensor, written: Tensor) -> None:
        """Compare the states that are to predict the next notes, [S, H], with those kept of `written` [S] notes."""
        likeness = torch.bmm(hidden[:, None, :], self._keys)[:, 0].float() * self._config.cache_sharpness  # [S, K]
        written = written[:, None]
        age = (written - 1 - self._places) % CACHE_NOTES + 1  # [S, K]
        # What equals the last notes is one note longer than what equalled those before them, or nothing.
        longer = (self._matches.roll(1, 1) + 1).clamp_(max=CACHE_MATCH_NOTES)
        torch.mul(longer, self._heads.roll(1, 1) == self._last, out=self._matches)
        known = written.clamp(max=CACHE_NOTES) - age  # notes before each that are kept; negative: nothing is there
        likeness = likeness + self._config.cache_match * torch.minimum(self._matches, known)
        self._weight = (weights(likeness, known >= 0) * (1 << _UNIT_BITS)).long()  # [S, K]
        share, stay = self._config.cache_share, self._config.cache_stay
        self._share = torch.where(written > 0, share + (stay - share) * self._heard, 0.0)

    def mix(self, attribute: int, logits: Tensor) -> Tensor:
        """[S, V] float32 logits of the mixture out of those of the LSTM."""
        if attribute not in CACHED:
            return logits
        self._own = torch.softmax(logits, dim=1)
        counts = torch.zeros_like(logits, dtype=torch.int64)
        counts.scatter_add_(1, self._notes[attribute], self._weight)
        self._said = counts / self._weight.sum(1, keepdim=True).clamp(min=1)
        mixed = torch.log((1 - self._share).float() * self._own + self._share.float() * self._said)
        return torch.where(self._share > 0, mixed, logits)

    def choose(self, attribute: int, value: Tensor) -> None:
        """Values [S] int64 of the attribute that was mixed last have been chosen."""
        if attribute not in CACHED:
            return
        chosen = value[:, None]
        own = self._own.gather(1, chosen)
        spoken = self._share * self._said.gather(1, chosen)
        self._weight = self._weight * (self._notes[attribute] == chosen)
        share = spoken / (spoken + (1 - self._share) * own).clamp(min=1e-30)
        self._share = torch.where(spoken > 0, share.clamp(max=SHARE_MAX), 0.0)

    def keep(self, written: Tensor, hidden: Tensor, note: Tensor) -> None:
        """Keep the notes [S, 5] that follow `written` [S] others, and the states [S, H] that predicted them.

        Where nothing is written any more, one place is written again and again, which nobody reads.
        """
        self._heard.copy_(self._share)
        place = (written % CACHE_NOTES)[:, None]  # [S, 1]
        head = torch.zeros_like(written)
        for attribute in CACHED:
            head = head * ATTRIBUTES[attribute].size + note[:, attribute]
        self._last.copy_(head[:, None])
        self._heads.scatter_(1, place, self._last)
        self._notes.scatter_(2, place.expand(len(CACHED), -1, -1), note.T[: len(CACHED), :, None])
        self._keys.scatter_(2, place[:, None].expand(-1, hidden.shape[1], -1), hidden[:, :, None])
