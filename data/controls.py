"""Controls: what a whole piece is like, in a few coarse numbers that the note model can be told before it begins.

A mood is a word, and a model that has read a million notes still knows little about it. How dense, high, loud and
dissonant a piece is can be counted in any music, labelled or not, so the model learns what each of them means from all
of its corpus; a mood is then also a habit of such numbers. The idea of controlling generation by countable attributes
is that of FIGARO (von Rütte et al. 2023) and MuseCoco (Lu et al. 2023).

Each control is a bin of an attribute (`data.attributes`). The edges are about the eighths of human and composed music
in equal parts.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from typing import NamedTuple

from data.attributes import Attributes, attributes
from data.score import Score
from data.tokens import FINGERPRINT


class Control(NamedTuple):
    """One attribute of a piece and the upper edges of its bins; values are 0 to `len(edges)`, and `not_known`."""

    name: str  # a field of data.attributes.Attributes
    edges: tuple[float, ...]

    @property
    def not_known(self) -> int:
        """The value that stands for "not told"."""
        return len(self.edges) + 1

    @property
    def size(self) -> int:
        """How many values there are, `not_known` included."""
        return len(self.edges) + 2

    def bin(self, found: Attributes) -> int:
        """The bin of a piece's attribute."""
        return bisect_left(self.edges, getattr(found, self.name))


CONTROLS: tuple[Control, ...] = (
    Control("notes_per_beat", (1.3, 1.8, 2.3, 2.8, 3.5, 4.5, 6.0)),
    Control("pitch_mean", (54.0, 57.5, 60.0, 62.0, 64.0, 66.5, 70.0)),
    Control("pitch_sd", (8.2, 9.6, 10.4, 11.2, 11.9, 12.8, 14.4)),
    Control("velocity_mean", (50.0, 55.0, 60.0, 67.0, 76.0, 85.0, 92.0)),
    Control("velocity_sd", (1.0, 6.0, 10.0, 12.0, 13.5, 15.0, 17.0)),
    Control("polyphony", (2.4, 3.2, 4.2, 5.4, 6.3, 7.1, 8.0)),
    Control("dissonance", (0.26, 0.28, 0.29, 0.31, 0.325, 0.35, 0.40)),
    Control("pitch_class_entropy_bits", (2.55, 2.72, 2.85, 2.95, 3.04, 3.14, 3.25)),
)
NOT_TOLD: tuple[int, ...] = tuple(control.not_known for control in CONTROLS)

# Of a vocabulary with controls, as data.tokens.FINGERPRINT is of one without.
CONTROLLED_FINGERPRINT: str = hashlib.sha256(json.dumps([FINGERPRINT, CONTROLS]).encode()).hexdigest()[:16]


def controls(score: Score) -> tuple[int, ...]:
    """The value of each control for a piece of at least one note, in the order of CONTROLS."""
    found = attributes(score)
    return tuple(control.bin(found) for control in CONTROLS)
