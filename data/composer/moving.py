"""Textures that move: arpeggios, ostinati, loops, bells, pulses and stabs."""

from __future__ import annotations

import numpy as np

from data.composer.chance import between, happens, pick, shuffled, weighed, whole
from data.composer.rhythm import euclid
from data.composer.stage import Stage
from data.composer.theory import fit_octave, nearest
from data.composer.voicing import lead
from data.score import Part


class Arpeggio:
    """Broken chords over voice-led tones, in a figure whose length need not divide the bar."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int, tick_steps: int) -> None:
        self.part, self.low, self.high, self.tick = part, low, high, tick_steps
        self.voices = pick(rng, (3, 4, 4, 5))
        slots = pick(rng, (4, 5, 6, 6, 8, 8, 8, 7, 12, 16))
        up = list(range(self.voices))
        self.figure: list[int] = pick(
            rng,
            (
                up,
                up + up[-2:0:-1],
                up[::-1],
                [0, *up[:0:-1]],
                shuffled(rng, up) + shuffled(rng, up),
                [whole(rng, 0, self.voices - 1) for _ in range(slots)],
            ),
        )
        self.mask = euclid(max(2, round(slots * between(rng, 0.5, 1.0))), slots, whole(rng, 0, slots - 1))
        self.thin_below = between(rng, 0.3, 0.6)  # tension below which every second note is left out
        self.ring = pick(rng, (1, 2, 3, 4))  # ticks that a note rings on
        self.turns_every = pick(rng, (2, 3, 4, 99))  # chords after which the figure goes the other way round
        self.lifts_from = between(rng, 0.55, 1.2)  # tension above which every other top note goes up an octave
        self.loudness = between(rng, 0.62, 0.8)
        self.voicing: tuple[int, ...] = ()
        self.turn = 0

    def write(self, stage: Stage) -> None:
        """The figure over every chord, going on where it stopped."""
        slot = 0
        restarts = len(self.mask) in {4, 8, 16}
        for number, span in enumerate(stage.spans):
            self.voicing = lead(self.voicing, span.chord.tones, self.voices, self.low, self.high)
            figure = self.figure[::-1] if number % (self.turns_every + 1) == self.turns_every else self.figure
            if restarts:
                slot, self.turn = 0, 0
            for start in range(span.start, span.end, self.tick):
                tension = stage.tension(start)
                struck = self.mask[slot % len(self.mask)] and (tension >= self.thin_below or slot % 2 == 0)
                slot += 1
                if not struck or (tension < 0.12 and happens(stage.rng, 0.4)):
                    continue
                voice = figure[self.turn % len(figure)] % len(self.voicing)
                pitch = self.voicing[voice]
                if voice == len(self.voicing) - 1 and tension > self.lifts_from and self.turn // len(figure) % 2:
                    pitch += 12
                swing = 1.0 + 0.08 * ((self.turn % 3 == 0) - (self.turn % 4 == 3))
                self.turn += 1
                length = min(self.tick * self.ring, stage.end - start)
                stage.draft.add(self.part, start, pitch, length, stage.velocity(start, self.loudness * swing))


class Ostinato:
    """A short figure of scale tones that insists, on a pedal or carried along by the harmony, and slowly mutates."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int, tick_steps: int) -> None:
        self.part, self.low, self.high, self.tick = part, low, high, tick_steps
        slots = pick(rng, (6, 8, 8, 8, 7, 12, 16, 16, 5))
        self.mask = euclid(max(3, round(slots * between(rng, 0.45, 0.95))), slots, pick(rng, (0, 0, 1, 2, 3)))
        size = sum(self.mask)
        cell = [0]
        while len(cell) < min(size, whole(rng, 3, 6)):
            cell.append(cell[-1] + weighed(rng, {1: 2, -1: 2, 2: 1, -2: 1, 0: 0.8, 4: 0.7, -3: 0.5, 7: 0.3}))
        self.degrees = [max(-4, min(8, degree)) for degree in cell]
        self.follows = happens(rng, 0.6)
        self.staccato = happens(rng, 0.5)
        self.thin_below = between(rng, 0.1, 0.4)  # tension below which every second note is left out
        self.mutates = between(rng, 0.05, 0.35)
        self.loudness = between(rng, 0.68, 0.82)
        self.home: int | None = None

    def write(self, stage: Stage) -> None:
        """The figure, going through the section."""
        rng, scale = stage.rng, stage.scale
        if self.home is None:
            self.home = scale.degree(fit_octave(scale.tonic + 48, self.low, max(self.high - 9, self.low + 11)))
        degrees = list(self.degrees)
        period = self.tick * len(self.mask)
        for number, start in enumerate(range(stage.start, stage.end, period)):
            if number and number % 4 == 0 and happens(rng, self.mutates):
                degrees[whole(rng, 0, len(degrees) - 1)] += pick(rng, (1, -1))
            turn = 0
            for slot, struck in enumerate(self.mask):
                step = start + slot * self.tick
                if not struck or step >= stage.end:
                    continue
                chord = stage.chord(step)
                base = self.home
                if self.follows:
                    root = nearest(scale.pitch(self.home), (chord.root,))
                    base = scale.degree(fit_octave(root, self.low, max(self.high - 7, self.low + 11)))
                turn += 1
                if stage.tension(step) < self.thin_below and turn % 2 == 0:
                    continue
                pitch = nearest(scale.pitch(base + degrees[(turn - 1) % len(degrees)]), chord.scale)
                pitch = fit_octave(pitch, self.low - 5, self.high + 7)
                length = self.tick if self.staccato else self.tick * 2
                accent = 1.1 if slot == 0 else 1.0
                stage.draft.add(self.part, step, pitch, length, stage.velocity(step, self.loudness * accent))


class Loops:
    """Loops of one to three notes with lengths that never line up, as in Eno's tape pieces."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int, bar_steps: int) -> None:
        self.part, self.low, self.high = part, low, high
        periods = shuffled(rng, [5, 7, 8, 9, 11, 13, 15, 17])[: whole(rng, 3, 5)]
        unit = 12 if bar_steps <= 48 else 18
        self.loops = []
        for rank, beats in enumerate(periods):
            notes = []
            offset = 0
            for _ in range(whole(rng, 1, 3)):
                notes.append((offset, between(rng, 0.0, 1.0)))
                offset += pick(rng, (6, 12, 12, 18, 24, 36))
            self.loops.append((beats * unit, whole(rng, 0, beats - 1) * unit, rank * 0.13, notes))
        self.ring = pick(rng, (24, 36, 48, 72))
        self.loudness = between(rng, 0.58, 0.75)

    def write(self, stage: Stage) -> None:
        """The loops that the tension lets in, in phase with the start of the piece."""
        for period, phase, enters, notes in self.loops:
            first = -(-(stage.start - phase) // period) * period + phase
            for base in range(first, stage.end, period):
                for offset, height in notes:
                    start = base + offset
                    if start >= stage.end or stage.tension(start) < enters:
                        continue
                    wanted = round(self.low + height * (self.high - self.low))
                    pitch = nearest(wanted, stage.chord(start).tones)
                    length = min(self.ring, stage.end - start + 48)
                    stage.draft.add(self.part, start, pitch, length, stage.velocity(start, self.loudness))


class Bells:
    """Sparse strokes at the turn of a phrase, often the head of the theme, some with their echoes."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int) -> None:
        self.part, self.low, self.high = part, low, high
        self.kind = pick(rng, ("stroke", "pair", "head", "fall", "head"))
        self.every_bars = pick(rng, (1, 2, 2, 4, 4) if self.kind in {"stroke", "pair"} else (2, 2, 4, 4, 8))
        self.rests = between(rng, 0.1, 0.4)  # share of the strokes that are left out
        self.place = pick(rng, (0, 0, 12, 24, 24, 36))
        self.echo_steps = pick(rng, (0, 0, 0, 9, 12, 18, 24))
        self.echoes = pick(rng, (1, 1, 2))
        self.ring = pick(rng, (24, 36, 48))
        self.loudness = between(rng, 0.6, 0.8)

    def write(self, stage: Stage) -> None:
        """Strokes every so many bars, a few of them left out or moved."""
        rng = stage.rng
        for number, bar in enumerate(stage.bars()):
            if number % self.every_bars or happens(rng, self.rests):
                continue
            start = bar + self.place + (pick(rng, (12, -12)) if happens(rng, 0.15) else 0)
            if not stage.start <= start < stage.end - 6:
                continue
            chord = stage.chord(start)
            pitch = nearest(whole(rng, self.low, self.high), chord.tones)
            for offset, note in self._figure(stage, start, pitch):
                self._stroke(stage, start + offset, note)

    def _figure(self, stage: Stage, start: int, pitch: int) -> list[tuple[int, int]]:
        scale = stage.chord(start).scale
        if self.kind == "pair":
            other = nearest(pitch + pick(stage.rng, (7, 5, 14, 8, 3)), scale)
            return [(0, pitch), (pick(stage.rng, (0, 6, 12)), other)]
        if self.kind == "fall":
            lower = nearest(pitch - 3, scale)
            return [(0, pitch), (6, lower), (12, nearest(lower - 4, scale))]
        if self.kind == "head":
            degrees = [cell.degree for cell in stage.frame.theme.motive if cell.degree is not None][:4]
            lengths = [min(24, cell.steps) for cell in stage.frame.theme.motive if cell.degree is not None][:4]
            base = stage.scale.degree(pitch) - degrees[0]
            offset, figure = 0, []
            for degree, length in zip(degrees, lengths, strict=True):
                figure.append((offset, nearest(stage.scale.pitch(base + degree), scale)))
                offset += length
            return figure
        return [(0, pitch)]

    def _stroke(self, stage: Stage, start: int, pitch: int) -> None:
        if start >= stage.end:
            return
        pitch = fit_octave(pitch, self.low - 7, self.high + 7)
        loudness = self.loudness
        for echo in range(1 + self.echoes if self.echo_steps else 1):
            at = start + echo * self.echo_steps
            if at < stage.end and loudness * stage.velocity(at) > 14:
                stage.draft.add(self.part, at, pitch, self.ring, stage.velocity(at, loudness))
            loudness *= 0.6


class Pulse:
    """Pitched drums: a heartbeat, or a spread pattern that thickens with tension and rolls into new sections."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int, driving: bool) -> None:
        self.part, self.low, self.high, self.driving = part, low, high, driving
        self.slots = pick(rng, (8, 8, 16, 12, 16)) if driving else 8
        self.calm = euclid(whole(rng, 2, 3), self.slots, pick(rng, (0, 0, 1)))
        self.busy = euclid(whole(rng, self.slots // 3, self.slots * 3 // 4), self.slots, pick(rng, (0, 0, 2, 3)))
        self.beat = pick(rng, ((0, 6), (0, 9), (0, 3), (0, 12)))
        self.every_bars = pick(rng, (1, 1, 2))
        self.leap = pick(rng, (7, 5, 12, 3))
        self.rolls = happens(rng, 0.6)

    def write(self, stage: Stage) -> None:
        """The section's strokes."""
        bar_steps = stage.frame.meter.bar_steps
        low = fit_octave(stage.scale.tonic + 36, self.low, self.high)
        high = fit_octave(nearest(low + self.leap, stage.scale.pitch_classes), self.low, self.high + 5)
        for number, bar in enumerate(stage.bars()):
            if not self.driving:
                if number % self.every_bars == 0:
                    for index, offset in enumerate(self.beat):
                        step = bar + offset
                        stage.draft.add(self.part, step, low, 12, stage.velocity(step, 0.9 - 0.25 * index))
                continue
            mask = self.busy if stage.tension(bar) > 0.7 else self.calm
            tick = {8: 6, 12: 4, 16: 3}[self.slots]
            tick = 6 if bar_steps % tick else tick  # an uneven bar has no triplets
            for slot in range(bar_steps // tick):
                if mask[slot % len(mask)]:
                    step = bar + slot * tick
                    accent = slot == 0 or (slot * 3) % len(mask) < 3
                    pitch = low if accent else high
                    stage.draft.add(self.part, step, pitch, tick, stage.velocity(step, 1.05 if accent else 0.8))
        if self.rolls and self.driving and stage.tension(stage.end) > stage.tension(stage.start) + 0.1:
            for index in range(8):
                step = stage.end - 24 + 3 * index
                stage.draft.add(self.part, step, high, 3, stage.velocity(step, 0.45 + 0.07 * index))


class Stabs:
    """Short chords on an uneven pattern of accents."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int, tick_steps: int) -> None:
        self.part, self.low, self.high, self.tick = part, low, high, max(6, tick_steps)
        slots = pick(rng, (8, 16, 12, 11, 13))
        self.mask = euclid(whole(rng, 2, max(3, slots // 3)), slots, whole(rng, 0, slots - 1))
        self.voices = pick(rng, (2, 3, 3, 4))
        self.length = pick(rng, (3, 6, 6, 12))
        self.voicing: tuple[int, ...] = ()

    def write(self, stage: Stage) -> None:
        """The section's accents."""
        for index, step in enumerate(range(stage.start, stage.end, self.tick)):
            if not self.mask[index % len(self.mask)] or happens(stage.rng, 0.12):
                continue
            self.voicing = lead(self.voicing, stage.chord(step).tones, self.voices, self.low, self.high)
            for pitch in self.voicing:
                stage.draft.add(self.part, step, pitch, self.length, stage.velocity(step, 0.9))


class RolledChords:
    """Chords struck again and again as on a keyboard, each rolled upwards, the bass note alone on the downbeat."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int) -> None:
        self.part, self.low, self.high = part, low, high
        self.voices = pick(rng, (3, 3, 4))
        self.roll_steps = pick(rng, (0, 0, 3, 3, 6))
        self.rhythm: tuple[int, ...] = pick(
            rng, ((48,), (24, 24), (36, 12), (18, 30), (12, 36), (18, 18, 12), (12, 12, 24))
        )
        self.loudness = between(rng, 0.64, 0.78)
        self.voicing: tuple[int, ...] = ()

    def write(self, stage: Stage) -> None:
        """The section's chords."""
        for span in stage.spans:
            self.voicing = lead(self.voicing, span.chord.tones, self.voices, self.low, self.high)
            start, turn = span.start, 0
            while start < span.end:
                length = min(self.rhythm[turn % len(self.rhythm)], span.end - start)
                rolled = self.roll_steps if turn == 0 and length >= 24 else 0
                for index, pitch in enumerate(self.voicing):
                    at = start + rolled * index
                    loudness = self.loudness * (1.0 if turn == 0 else 0.85)
                    stage.draft.add(self.part, at, pitch, max(3, start + length - at), stage.velocity(at, loudness))
                start, turn = start + length, turn + 1
