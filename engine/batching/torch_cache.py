"""The continuous cache of `engine.note_cache` for slots side by side, in tensors of fixed shapes.

All K places are compared, filled or not: a sum over fewer would be rounded otherwise, and a piece would depend on its
company.

Shapes: S slots, K notes kept of each, H hidden, V values of an attribute.
"""

from __future__ import annotations

import torch
from torch import Tensor

from data.tokens import ATTRIBUTES
from engine.batching.weights import StepWeights
from engine.note_cache import CACHE_MATCH_NOTES, CACHE_NOTES, CACHED, SHARE_MAX, weights


class TorchCache:
    """`look` at a step's hidden states, then `mix` and `choose` for each attribute, then `keep` the notes.

    Args:
        model: whose share and sharpness count.
        count: S.
        device: of all tensors.
        dtype: of the hidden states.
    """

    def __init__(self, model: StepWeights, count: int, device: torch.device, dtype: torch.dtype) -> None:
        self._config = model.model
        self._keys = torch.zeros(count, CACHE_NOTES, model.hidden, dtype=dtype, device=device)
        self._notes = torch.zeros(count, CACHE_NOTES, len(ATTRIBUTES), dtype=torch.int64, device=device)
        self._heads = torch.zeros(count, CACHE_NOTES, dtype=torch.int64, device=device)  # all but the velocity, as one
        self._places = torch.arange(CACHE_NOTES, device=device)
        self._weight = torch.zeros(count, CACHE_NOTES, device=device)
        self._share = torch.zeros(count, 1, device=device)
        self._own = self._said = torch.zeros(count, 0, device=device)  # [S, V] how LSTM and cache see an attribute
        self._heard = torch.zeros(count, 1, device=device)  # as the share was after the last note

    def look(self, hidden: Tensor, written: Tensor) -> None:
        """Compare the states that are to predict the next notes, [S, H], with those kept of `written` [S] notes."""
        likeness = torch.bmm(self._keys, hidden[:, :, None])[:, :, 0].float() * self._config.cache_sharpness
        written = written[:, None]
        age = (written - 1 - self._places) % CACHE_NOTES + 1  # [S, K]
        kept = same = age <= written
        for back in range(1, CACHE_MATCH_NOTES + 1):
            last = self._heads.gather(1, (written - back) % CACHE_NOTES)  # [S, 1]
            same = same & (self._heads.roll(back, 1) == last) & (age + back <= written.clamp(max=CACHE_NOTES))
            likeness = likeness + self._config.cache_match * same
        self._weight = weights(likeness, kept)  # [S, K]
        share, stay = self._config.cache_share, self._config.cache_stay
        self._share = torch.where(written > 0, share + (stay - share) * self._heard, 0.0)

    def mix(self, attribute: int, logits: Tensor) -> Tensor:
        """[S, V] float32 logits of the mixture out of those of the LSTM."""
        if attribute not in CACHED:
            return logits
        self._own = torch.softmax(logits, dim=1)
        counts = torch.zeros_like(logits).scatter_add_(1, self._notes[:, :, attribute], self._weight)
        self._said = counts / self._weight.sum(1, keepdim=True).clamp(min=1e-30)
        mixed = torch.log((1 - self._share) * self._own + self._share * self._said)
        return torch.where(self._share > 0, mixed, logits)

    def choose(self, attribute: int, value: Tensor) -> None:
        """Values [S] int64 of the attribute that was mixed last have been chosen."""
        if attribute not in CACHED:
            return
        chosen = value[:, None]
        own = self._own.gather(1, chosen)
        spoken = self._share * self._said.gather(1, chosen)
        self._weight = self._weight * (self._notes[:, :, attribute] == chosen)
        share = spoken / (spoken + (1 - self._share) * own).clamp(min=1e-30)
        self._share = torch.where(spoken > 0, share.clamp(max=SHARE_MAX), 0.0)

    def keep(self, active: Tensor, written: Tensor, hidden: Tensor, note: Tensor) -> None:
        """Keep the notes [S, 5] that active slots ([S] bool) wrote, and the states that predicted them."""
        self._heard.copy_(torch.where(active[:, None], self._share, self._heard))
        place = (written % CACHE_NOTES)[:, None, None]
        head = torch.zeros_like(written)
        for attribute in CACHED:
            head = head * ATTRIBUTES[attribute].size + note[:, attribute]
        for kept, new in ((self._keys, hidden), (self._notes, note), (self._heads[:, :, None], head[:, None])):
            here = place.expand(-1, 1, kept.shape[2])
            old = kept.gather(1, here)
            kept.scatter_(1, here, torch.where(active[:, None, None], new[:, None].to(kept.dtype), old))
