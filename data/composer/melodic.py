"""Textures that sing: the theme, its answer in another part, and lines that follow it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.composer import motives
from data.composer.chance import between, happens, pick
from data.composer.motives import Cell, Motive
from data.composer.stage import Stage
from data.composer.themes import treat
from data.composer.theory import Scale, nearest
from data.score import STEPS_PER_BEAT, Part

_CLOSED = frozenset({"state", "vary", "second", "climax"})  # treatments whose last element is a cadence


@dataclass(frozen=True, slots=True)
class Sung:
    """A note of a melody before it belongs to a part."""

    start: int
    pitch: int
    steps: int
    is_last: bool  # of its element


@dataclass(frozen=True, slots=True)
class Singer:
    """A part and the range in which it sings."""

    part: Part
    low: int
    high: int
    loudness: float


class Melody:
    """The theme, treated as the section asks; with a second singer, every other element is its answer."""

    def __init__(self, rng: np.random.Generator, caller: Singer, answerer: Singer | None, breath: float) -> None:
        self.caller, self.answerer = caller, answerer
        self.breath = breath  # probability that a whole cycle of elements is left to the others
        self.rings = happens(rng, 0.5)
        self.mirrors = happens(rng, 0.4)  # the answer turns the call upside down
        self.detached = happens(rng, 0.15)
        self.line: list[Sung] = []  # what was sung in the section last written, for followers

    def write(self, stage: Stage) -> None:
        """Sing through the section."""
        self.line = []
        if stage.treatment == "none":
            return
        frame, rng = stage.frame, stage.rng
        theme = frame.second if stage.treatment == "second" else frame.theme
        length = theme.element_steps
        elements = treat(rng, theme, stage.treatment)
        rest = (Cell(None, length),)
        silent = False
        for number, start in enumerate(range(stage.start, stage.end, length)):
            turn = number % len(elements)
            if turn == 0 and number:
                silent = happens(rng, self.breath) and not silent
                again = stage.treatment in {"state", "second", "climax"}
                elements = treat(rng, theme, "vary" if again and theme is frame.theme else stage.treatment)
            if start + 2 * length > stage.end and stage.treatment in _CLOSED:
                turn = len(elements) - 1  # the section ends with the phrase that comes to rest
            element = rest if silent else elements[turn]
            if start + length > stage.end:
                element = motives.cut(motives.thinned(element, 12), stage.end - start)
            answers = self.answerer is not None and number % 2 == 1
            singer = self.answerer if answers and self.answerer is not None else self.caller
            if answers and self.mirrors and turn != len(elements) - 1:
                element = motives.inverted(element)
            self._sing(stage, singer, element, start)

    def _sing(self, stage: Stage, singer: Singer, element: Motive, start: int) -> None:
        sung = realise(stage, singer, element, start)
        self.line += sung
        if not sung:
            return
        top = max(note.pitch for note in sung)
        for note in sung:
            loudness = singer.loudness * (1.0 + 0.08 * (note.pitch == top) - 0.07 * note.is_last)
            length = note.steps
            if note.is_last and self.rings:
                length = min(length + 24, max(length, stage.end - note.start))
            elif self.detached and length >= STEPS_PER_BEAT:
                length = length * 3 // 4
            stage.draft.add(singer.part, note.start, note.pitch, length, stage.velocity(note.start, loudness))


def realise(stage: Stage, singer: Singer, motive: Motive, start: int) -> list[Sung]:
    """Give a motive pitches: the octave that suits the singer and the tension, the sequence that suits the harmony.

    Notes on strong beats, long ones and the last one move to the nearest chord tone, the others to the scale of
    the moment.

    Args:
        stage: the section.
        singer: whose range to use.
        motive: degrees from the tonic.
        start: step at which it begins.
    """
    scale = stage.scale
    degrees = [cell.degree for cell in motive if cell.degree is not None]
    if not degrees:
        return []
    rises = -0.25 if stage.frame.contrary else 0.25
    centre = singer.low + (singer.high - singer.low) * (0.55 + rises * (2 * stage.tension(start) - 1))
    octave = _octave(scale, degrees, singer, centre)
    shift = min((0, 1, -1, 2, -2), key=lambda moved: _clashes(stage, motive, start, octave + moved) + 0.6 * abs(moved))
    out: list[Sung] = []
    last_sounding = max(index for index, cell in enumerate(motive) if cell.degree is not None)
    position, before, degree_before = start, 0, 0
    for index, cell in enumerate(motive):
        if cell.degree is not None:
            pitch = scale.pitch(cell.degree + octave + shift)
            chord = stage.chord(position)
            direction = cell.degree - degree_before
            pitch = nearest(pitch, chord.scale, toward=direction)
            if index == last_sounding or _is_structural(stage, cell, position) or _rubs(pitch, cell.steps, chord.tones):
                target = nearest(pitch, chord.tones, toward=direction)
                pitch = target if abs(target - pitch) <= 3 else pitch
            if out and pitch == before and direction:  # keep the contour where harmony flattened it
                step = 1 if direction > 0 else -1
                pitch = nearest(before + 2 * step, chord.scale, toward=step)
            out.append(Sung(position, pitch, cell.steps, index == last_sounding))
            before, degree_before = pitch, cell.degree
        position += cell.steps
    return out


def _octave(scale: Scale, degrees: list[int], singer: Singer, centre: float) -> int:
    """Degrees by which to move a whole motive so that it lies around `centre` and leaves the range least."""
    size = len(scale.mode.intervals)
    highest, lowest = max(degrees), min(degrees)

    def badness(octave: int) -> float:
        top, bottom = scale.pitch(highest + octave), scale.pitch(lowest + octave)
        outside = max(0, top - singer.high - 3) + max(0, singer.low - 3 - bottom)
        return abs((top + bottom) / 2 - centre) + 3.0 * outside

    return min((octave * size for octave in range(2, 10)), key=badness)


def _is_structural(stage: Stage, cell: Cell, position: int) -> bool:
    return stage.frame.meter.strength(position) == 3 or cell.steps >= 3 * STEPS_PER_BEAT


def _rubs(pitch: int, steps: int, tones: tuple[int, ...]) -> bool:
    """Whether a note of a beat or more would stand a semitone from a chord tone; softer dissonances are welcome."""
    if steps < STEPS_PER_BEAT or pitch % 12 in tones:
        return False
    return any((pitch - tone) % 12 in {1, 11} for tone in tones)


def _clashes(stage: Stage, motive: Motive, start: int, shift: int) -> float:
    """Steps of structural notes that would fall outside their chords, in beats."""
    position, clash = start, 0.0
    for cell in motive:
        if cell.degree is not None and _is_structural(stage, cell, position):
            pitch = stage.scale.pitch(cell.degree + shift)
            if pitch % 12 not in stage.chord(position).tones:
                clash += min(cell.steps, 48) / STEPS_PER_BEAT
        position += cell.steps
    return clash


class Follower:
    """A line made from the melody: a canon behind it, its double at the octave, or a companion in thirds or sixths."""

    def __init__(self, rng: np.random.Generator, melody: Melody, singer: Singer, from_tension: float) -> None:
        self.melody, self.singer = melody, singer
        self.kind = pick(rng, ("canon", "canon", "octave", "third", "sixth"))
        self.delay_beats = pick(rng, (2, 3, 4, 4, 6, 8))
        self.from_tension = from_tension

    def write(self, stage: Stage) -> None:
        """Follow what the melody has just sung in this section."""
        singer = self.singer
        delay = self.delay_beats * STEPS_PER_BEAT if self.kind == "canon" else 0
        for note in self.melody.line:
            start = note.start + delay
            if start >= stage.end or stage.tension(start) < self.from_tension:
                continue
            chord = stage.chord(start)
            pitch = note.pitch
            if self.kind in {"third", "sixth"}:
                scale = stage.scale
                pitch = scale.pitch(scale.degree(pitch) - (2 if self.kind == "third" else 5))
            strong = note.steps >= 2 * STEPS_PER_BEAT or stage.frame.meter.strength(start) >= 2
            pitch = nearest(pitch, chord.tones if strong and self.kind != "octave" else chord.scale)
            while pitch > singer.high:
                pitch -= 12
            while pitch < singer.low:
                pitch += 12
            if pitch == note.pitch and not delay:
                pitch += 12 if pitch + 12 <= singer.high + 5 else -12
            length = min(note.steps, stage.end - start)
            stage.draft.add(singer.part, start, pitch, length, stage.velocity(start, singer.loudness))


class Counterline:
    """One slow inner voice that steps from chord tone to chord tone, against the direction in which it last moved."""

    def __init__(self, rng: np.random.Generator, singer: Singer, from_tension: float) -> None:
        self.singer, self.from_tension = singer, from_tension
        self.note_steps = pick(rng, (24, 24, 36, 48))
        self.turns = between(rng, 0.2, 0.5)
        self.pitch = (singer.low + singer.high) // 2
        self.direction = pick(rng, (1, -1))

    def write(self, stage: Stage) -> None:
        """The line through the section, leaving out what is calm."""
        rng, singer = stage.rng, self.singer
        for span in stage.spans:
            if stage.tension(span.start) < self.from_tension:
                continue
            start = span.start
            while start < span.end:
                length = min(self.note_steps, span.end - start)
                if span.end - start - length < self.note_steps // 2:
                    length = span.end - start
                if happens(rng, self.turns):
                    self.direction = -self.direction
                tones = span.chord.tones if start == span.start else span.chord.scale
                pitch = nearest(self.pitch + 2 * self.direction, tones, toward=self.direction)
                if not singer.low <= pitch <= singer.high:
                    self.direction = -self.direction
                    pitch = nearest(self.pitch + 2 * self.direction, tones, toward=self.direction)
                self.pitch = max(singer.low, min(singer.high, pitch))
                self.pitch = nearest(self.pitch, tones)
                stage.draft.add(singer.part, start, self.pitch, length, stage.velocity(start, singer.loudness))
                start += length
