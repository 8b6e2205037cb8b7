"""What a request leaves open, decided: tempo, key and style, drawn for the mood with the request's own seed.

The notes are then written in C and moved to that key (`to_score`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.controls import CONTROLS, NOT_TOLD
from data.keys import Key, Mode, transpose
from data.moods import PROFILES, Mood
from data.score import Score, trim_overlaps
from data.tokens import IntArray, decode, mode_index, mood_index, remaining_bin, tempo_bin
from engine.types import ComposeRequest

_SUITABLE = 12  # styles that a request chooses among: enough for variety, few enough to suit
_PLAN_STREAM = 1  # keeps these draws apart from the notes', which use stream 0


@dataclass(frozen=True, slots=True)
class Style:
    """What one training piece of a mood was like, so that the model can be told to write another like it.

    Attributes:
        mode: the value of that condition (`data.tokens.mode_index`).
        tempo: likewise.
        length: bin of its number of notes (`data.tokens.remaining_bin`).
        controls: the value of each of `data.controls.CONTROLS`.
    """

    mode: int
    tempo: int
    length: int
    controls: tuple[int, ...]

    def __str__(self) -> str:
        """As `parse` reads it."""
        return " ".join(map(str, (self.mode, self.tempo, self.length, *self.controls)))

    @classmethod
    def parse(cls, text: str) -> Style:
        """Read what `str` wrote.

        Raises:
            ValueError: it is something else.
        """
        mode, tempo, length, *controls = map(int, text.split())
        if not all(0 <= value < control.size for value, control in zip(controls, CONTROLS, strict=True)):
            raise ValueError(f"there are no controls {controls}")
        return cls(mode, tempo, length, tuple(controls))


Styles = Mapping[Mood, Sequence[Style]]
NO_STYLES: Styles = {}


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with nothing left open.

    Attributes:
        tempo_bpm: quarter notes a minute.
        key: tonic and mode.
        controls: the value of each of `data.controls.CONTROLS`.
    """

    tempo_bpm: int
    key: Key
    controls: tuple[int, ...] = NOT_TOLD

    def told(self, mood: Mood) -> tuple[int, ...]:
        """What a model is told that stays the same over the piece: mood, mode, tempo, and each control."""
        return mood_index(mood), mode_index(self.key.mode), tempo_bin(self.tempo_bpm), *self.controls

    def untold(self) -> tuple[int, ...]:
        """The same with neither mood nor controls, for guidance (`engine.guidance`)."""
        return mood_index(None), mode_index(self.key.mode), tempo_bin(self.tempo_bpm), *NOT_TOLD


def randomness(seed: int, stream: int) -> np.random.Generator:
    """The generator of one request: draw n depends on seed, stream and n alone (Philox, Salmon et al. 2011).

    Args:
        seed: of the request.
        stream: 0 for the notes, 1 for the plan.
    """
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def plan(request: ComposeRequest, styles: Styles = NO_STYLES) -> Plan:
    """Decide tempo and key: as asked, else drawn from the mood's profile. The same request gives the same plan.

    Args:
        request: what was asked.
        styles: of the checkpoint (`Checkpoint.styles`): one of those is drawn that suit mood, mode, tempo and length
            best.
    """
    rng = randomness(request.seed, _PLAN_STREAM)
    profile = PROFILES[request.mood]
    low, high = profile.tempo_bpm
    # All three are always drawn, so that fixing one of them leaves the others as they were.
    tempo_bpm = int(rng.integers(low, high + 1))
    tonic = int(rng.integers(12))
    mode: Mode = "major" if rng.random() < profile.major_share else "minor"
    decided = Plan(request.tempo_bpm or tempo_bpm, request.key or Key(tonic, mode))
    _, wanted_mode, wanted_tempo, *_ = decided.told(request.mood)
    wanted_length = remaining_bin(request.length_notes)

    def distance(style: Style) -> tuple[bool, int]:
        # Music of another length is of another density; in double tempo it is the same in half note values.
        return style.mode != wanted_mode, abs(style.length - wanted_length) + abs(style.tempo - wanted_tempo)

    known = sorted(styles.get(request.mood, ()), key=distance)[:_SUITABLE]
    return replace(decided, controls=known[rng.integers(len(known))].controls) if known else decided


def to_score(tokens: IntArray, plan: Plan) -> Score:
    """The score of sampled tokens: moved from C to the plan's key by the shortest way, overlaps trimmed."""
    score = decode(tokens, plan.tempo_bpm)
    moved = transpose(score, plan.key.shift)
    return Score(trim_overlaps(moved.notes), moved.tempo_bpm)
