"""What a request leaves open, decided: tempo and key, drawn for the mood with the request's own seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.keys import Key, Mode
from data.moods import PROFILES
from engine.types import ComposeRequest

_PLAN_STREAM = 1  # keeps these draws apart from the notes', which use stream 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with nothing left open.

    Attributes:
        tempo_bpm: quarter notes a minute.
        key: tonic and mode.
    """

    tempo_bpm: int
    key: Key


def randomness(seed: int, stream: int) -> np.random.Generator:
    """The generator of one request: draw n depends on seed, stream and n alone (Philox, Salmon et al. 2011).

    Args:
        seed: of the request.
        stream: 0 for the notes, 1 for the plan.
    """
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def plan(request: ComposeRequest) -> Plan:
    """Decide tempo and key: as asked, else drawn from the mood's profile. The same request gives the same plan."""
    rng = randomness(request.seed, _PLAN_STREAM)
    profile = PROFILES[request.mood]
    low, high = profile.tempo_bpm
    # All three are always drawn, so that fixing one of them leaves the others as they were.
    tempo_bpm = int(rng.integers(low, high + 1))
    tonic = int(rng.integers(12))
    mode: Mode = "major" if rng.random() < profile.major_share else "minor"
    return Plan(request.tempo_bpm or tempo_bpm, request.key or Key(tonic, mode))
