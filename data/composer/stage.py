"""What a texture is given to write on: the frame of the piece, the stage of one section, and the draft of its notes."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from math import cos, pi, sin
from typing import Protocol

import numpy as np

from data.composer.harmony import Chord
from data.composer.rhythm import Meter
from data.composer.themes import Theme, Treatment
from data.composer.theory import Scale
from data.score import Note, Part

LONGEST_STEPS = 32 * 12  # the longest note that the project's tokens tell apart is 32 beats


@dataclass(frozen=True, slots=True)
class Arc:
    """Tension over the piece: values in [0, 1] at steps, joined by half cosines."""

    points: tuple[tuple[int, float], ...]  # ascending steps; at least one

    def at(self, step: int) -> float:
        """Tension at a step; the ends hold beyond the first and last point."""
        index = bisect_right(self.points, step, key=lambda point: point[0])
        if index == 0:
            return self.points[0][1]
        if index == len(self.points):
            return self.points[-1][1]
        (start, low), (end, high) = self.points[index - 1], self.points[index]
        share = (step - start) / (end - start)
        return low + (high - low) * (0.5 - 0.5 * cos(pi * share))


@dataclass(frozen=True, slots=True)
class Span:
    """A chord and the steps that it covers."""

    start: int
    end: int
    chord: Chord

    @property
    def steps(self) -> int:
        """Length in steps."""
        return self.end - self.start


@dataclass(slots=True)
class Draft:
    """The notes so far, in no order."""

    notes: list[Note] = field(default_factory=list)

    def add(self, part: Part, start_step: int, pitch: int, duration_steps: int, velocity: float) -> None:
        """Append a note, its values brought into the range that a score allows."""
        if duration_steps < 1 or not 0 <= pitch <= 127:
            return
        duration_steps = min(duration_steps, LONGEST_STEPS)
        self.notes.append(Note(start_step, part, pitch, duration_steps, max(12, min(120, round(velocity)))))


@dataclass(frozen=True, slots=True)
class Frame:
    """What holds for a whole piece."""

    meter: Meter
    dynamics: tuple[int, int]  # MIDI velocity at tension 0 and at tension 1
    register_shift: int  # semitones that the mood moves every middle and high part
    theme: Theme
    second: Theme
    arc: Arc
    contrary: bool  # whether melodies sink as tension rises


@dataclass(frozen=True, slots=True)
class Stage:
    """What holds for one section."""

    frame: Frame
    rng: np.random.Generator
    label: str
    spans: tuple[Span, ...]  # gapless, ascending
    scale: Scale
    treatment: Treatment
    draft: Draft

    @property
    def start(self) -> int:
        """First step of the section."""
        return self.spans[0].start

    @property
    def end(self) -> int:
        """First step after the section."""
        return self.spans[-1].end

    def chord(self, step: int) -> Chord:
        """The chord at a step; the last one holds beyond the end."""
        index = bisect_right(self.spans, step, key=lambda span: span.start) - 1
        return self.spans[max(0, index)].chord

    def tension(self, step: int) -> float:
        """Tension in [0, 1] at a step."""
        return self.frame.arc.at(step)

    def velocity(self, step: int, loudness: float = 1.0) -> float:
        """MIDI velocity at a step for a part of some loudness (1 is the foreground)."""
        low, high = self.frame.dynamics
        accent = (0.0, 1.0, 2.0, 4.0)[self.frame.meter.strength(step)]
        phrase = 4 * self.frame.meter.bar_steps
        hairpin = 1.0 + 0.05 * sin(pi * (step % phrase) / phrase)  # every four bars swell and sink a little
        return (low + (high - low) * self.tension(step)) * loudness * hairpin + accent

    def over(self, spans: tuple[Span, ...]) -> Stage:
        """The same section narrowed to some of its chords."""
        return replace(self, spans=spans)

    def bars(self) -> range:
        """First steps of the section's bars."""
        return range(self.start, self.end, self.frame.meter.bar_steps)


class Texture(Protocol):
    """A way of playing. Drawn once for a piece, so that its figure stays recognisable, then asked for each section."""

    def write(self, stage: Stage) -> None:
        """Write this section's notes into `stage.draft`."""
