"""Textures that hold: drones, basses, pads and chorales."""

from __future__ import annotations

import numpy as np

from data.composer.chance import between, happens, pick, weighed, whole
from data.composer.stage import LONGEST_STEPS, Span, Stage
from data.composer.theory import fit_octave, nearest
from data.composer.voicing import lead
from data.score import STEPS_PER_BEAT, Part


class Drone:
    """The tonic, its fifth and now and then a colour tone, each held for many bars and struck again out of phase."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int) -> None:
        self.part, self.low, self.high = part, low, high
        self.strike_bars = pick(rng, (4, 4, 6, 8))
        self.fifth = happens(rng, 0.6)
        self.colour_from = between(rng, 0.45, 1.1)  # tension above which the mode's colour joins
        self.offset_bars = pick(rng, (0, 1, 2))
        self.leading_octave = pick(rng, (0, 12))

    def write(self, stage: Stage) -> None:
        """The section's strikes."""
        bar = stage.frame.meter.bar_steps
        period = min(self.strike_bars * bar, LONGEST_STEPS // bar * bar)
        tonic = fit_octave(stage.scale.tonic + self.leading_octave + 24, self.low, self.high)
        self._strike(stage, tonic, stage.start, period, 0.8)
        if self.fifth:
            fifth = nearest(tonic + 7, stage.scale.pitch_classes)
            self._strike(stage, fifth, stage.start + self.offset_bars * bar, period, 0.68)
        if stage.tension((stage.start + stage.end) // 2) > self.colour_from:
            tone = (stage.scale.tonic + pick(stage.rng, stage.scale.mode.colour)) % 12
            self._strike(stage, fit_octave(tone + 48, tonic + 1, tonic + 13), stage.start + 2 * bar, period, 0.6)

    def _strike(self, stage: Stage, pitch: int, start: int, period: int, loudness: float) -> None:
        while start < stage.end:
            length = min(period, stage.end - start)
            if stage.end - start - length < period // 2:  # no stump at the end of the section
                length = min(stage.end - start, LONGEST_STEPS)
            stage.draft.add(self.part, start, pitch, length, stage.velocity(start, loudness))
            start += length


class Bass:
    """The bass of each harmony: held, walking to the next one, or pulsing once the tension is up."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int) -> None:
        self.part, self.low, self.high = part, low, high
        self.pulse_from = between(rng, 0.55, 1.3)
        self.walks = happens(rng, 0.45)
        self.figure: tuple[int, ...] = pick(
            rng, ((24, 24), (18, 30), (36, 12), (18, 18, 12), (12, 12, 12, 12), (6, 42))
        )
        self.octaves = happens(rng, 0.3)

    def write(self, stage: Stage) -> None:
        """One bass line through the section."""
        previous = (self.low + self.high) // 2 - 3
        spans = stage.spans
        index = 0
        while index < len(spans):
            last = index
            pitch = self._near(previous, spans[index].chord.bass)
            while (
                last + 1 < len(spans)
                and spans[last + 1].chord.bass == spans[index].chord.bass
                and spans[last + 1].end - spans[index].start <= LONGEST_STEPS
            ):
                last += 1
            following = spans[last + 1].chord.bass if last + 1 < len(spans) else None
            self._span(stage, Span(spans[index].start, spans[last].end, spans[index].chord), pitch, following)
            previous, index = pitch, last + 1

    def _near(self, previous: int, tone: int) -> int:
        """The pitch of a class that is nearest to the last one, leaning to the middle of the range."""
        middle = (self.low + self.high) / 2
        choices = [pitch for pitch in range(self.low, self.high + 1) if pitch % 12 == tone]
        return min(choices, key=lambda pitch: abs(pitch - previous) + 0.4 * abs(pitch - middle))

    def _span(self, stage: Stage, span: Span, pitch: int, following: int | None) -> None:
        if stage.tension(span.start) >= self.pulse_from:
            start, turn = span.start, 0
            while start < span.end:
                length = min(self.figure[turn % len(self.figure)], span.end - start)
                up = 12 if self.octaves and turn % 2 and pitch + 12 <= self.high else 0
                stage.draft.add(self.part, start, pitch + up, length, stage.velocity(start, 0.92))
                start, turn = start + length, turn + 1
            return
        length = span.steps
        if self.walks and following is not None and length >= 48 and following != pitch % 12:
            target = nearest(pitch, (following,))
            approach = nearest(target + (1 if pitch > target else -1), span.chord.scale)
            if self.low <= approach <= self.high and approach not in {pitch, target}:
                length -= 12
                stage.draft.add(self.part, span.end - 12, approach, 12, stage.velocity(span.end - 12, 0.78))
        stage.draft.add(self.part, span.start, pitch, length, stage.velocity(span.start, 0.88))


class Pad:
    """Held chords, voice-led, common tones tied; the voices of a chord bloom one after another where it is calm."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int) -> None:
        self.part, self.low, self.high = part, low, high
        self.voices = pick(rng, (3, 3, 4, 4, 5))
        self.bloom_steps = pick(rng, (0, 0, 6, 12, 24))
        self.descends = happens(rng, 0.25)
        self.ties = happens(rng, 0.75)
        self.breathes = happens(rng, 0.3)  # strikes again within long chords
        self.loudness = between(rng, 0.66, 0.8)
        self.voicing: tuple[int, ...] = ()

    def write(self, stage: Stage) -> None:
        """The section's chords."""
        held: dict[int, tuple[int, int]] = {}  # pitch -> (start, end) of a note that may still be lengthened
        for span in stage.spans:
            tension = stage.tension(span.start)
            voices = max(2, min(6, self.voices + (1 if tension > 0.8 else 0) - (1 if tension < 0.2 else 0)))
            self.voicing = lead(self.voicing, span.chord.tones, voices, self.low, self.high)
            sounding: dict[int, tuple[int, int]] = {}
            bloom = 0 if tension > 0.65 or span.steps < 48 else self.bloom_steps
            order = self.voicing[::-1] if self.descends else self.voicing
            for index, pitch in enumerate(order):
                before = held.pop(pitch, None)
                if self.ties and before is not None and span.end - before[0] <= LONGEST_STEPS:
                    sounding[pitch] = (before[0], span.end)
                    continue
                if before is not None:
                    held[pitch] = before
                start = span.start + min(bloom * index, span.steps // 2)
                sounding[pitch] = (start, span.end)
            for pitch, (start, end) in held.items():
                self._hold(stage, pitch, start, end)
            held = sounding
        for pitch, (start, end) in held.items():
            self._hold(stage, pitch, start, end)

    def _hold(self, stage: Stage, pitch: int, start: int, end: int) -> None:
        loudness = self.loudness + (0.06 if pitch == self.voicing[-1] else 0.0)
        bar = stage.frame.meter.bar_steps
        if self.breathes and end - start >= 4 * bar and start % bar == 0:
            middle = start + (end - start) // (2 * bar) * bar
            stage.draft.add(self.part, start, pitch, middle - start, stage.velocity(start, loudness))
            start = middle
        stage.draft.add(self.part, start, pitch, end - start, stage.velocity(start, loudness))


class Chorale:
    """Chords in four parts that move: suspensions resolve down by step, thirds are filled by passing notes."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int) -> None:
        self.part, self.low, self.high = part, low, high
        self.voices = pick(rng, (3, 4, 4))
        self.suspends = between(rng, 0.2, 0.7)
        self.passes = between(rng, 0.15, 0.6)
        self.repeats = pick(rng, (0, 0, 24, 48))  # strike again at this pace when tense; 0 never
        self.loudness = between(rng, 0.7, 0.84)
        self.voicing: tuple[int, ...] = ()

    def write(self, stage: Stage) -> None:
        """The section's chords, voice by voice."""
        voicings = []
        for span in stage.spans:
            self.voicing = lead(self.voicing, span.chord.tones, self.voices, self.low, self.high)
            voicings.append(self.voicing)
        rng = stage.rng
        delayed: dict[int, int] = {}  # voice -> steps by which its next note comes late, after a suspension
        for index, (span, voicing) in enumerate(zip(stage.spans, voicings, strict=True)):
            following = voicings[index + 1] if index + 1 < len(voicings) else ()
            suspended = False
            late, delayed = delayed, {}
            for voice, pitch in enumerate(voicing):
                start, end = span.start + late.get(voice, 0), span.end
                after = following[voice] if voice < len(following) == len(voicing) else None
                upper = voice > 0
                if (
                    after is not None
                    and upper
                    and not suspended
                    and 1 <= pitch - after <= 2
                    and stage.spans[index + 1].steps >= 48
                    and happens(rng, self.suspends)
                ):
                    delayed[voice] = pick(rng, (12, 24, 24))
                    end += delayed[voice]
                    suspended = True
                elif after is not None and upper and 3 <= abs(after - pitch) <= 4 and happens(rng, self.passes):
                    between_them = nearest((pitch + after) // 2, span.chord.scale)
                    if min(pitch, after) < between_them < max(pitch, after) and end - start >= 36:
                        end -= 12
                        stage.draft.add(self.part, end, between_them, 12, stage.velocity(end, self.loudness * 0.9))
                self._sing(stage, pitch, start, end)

    def _sing(self, stage: Stage, pitch: int, start: int, end: int) -> None:
        pace = self.repeats
        if not pace or stage.tension(start) < 0.6:
            pace = end - start
        while start < end:
            length = min(pace, end - start)
            stage.draft.add(self.part, start, pitch, length, stage.velocity(start, self.loudness))
            start += length


class Shimmer:
    """Distant light: a high tone or a close pair, entering late in a phrase, swelling by striking again louder."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int) -> None:
        self.part, self.low, self.high = part, low, high
        self.every = whole(rng, 1, 3)
        self.harshness = between(rng, 0.3, 0.9)  # tension above which the pair is a semitone or tritone
        self.swells = happens(rng, 0.5)

    def write(self, stage: Stage) -> None:
        """A few entries."""
        rng = stage.rng
        for index, span in enumerate(stage.spans):
            if index % self.every or span.steps < 24:
                continue
            bar = stage.frame.meter.bar_steps
            start = span.start + weighed(rng, {0: 1.0, 12: 1.0, 24: 1.5, bar: 1.0 if span.steps > bar else 0.0})
            if start >= span.end - 12:
                continue
            scale = span.chord.scale
            pitch = nearest(whole(rng, self.low, self.high - 6), span.chord.tones)
            pitches = [pitch]
            if happens(rng, 0.6):
                wanted = pick(rng, (1, 1, 2, 6)) if stage.tension(start) > self.harshness else pick(rng, (5, 7, 4, 3))
                pitches.append(nearest(pitch + wanted, scale, toward=1))
            end = min(span.end + pick(rng, (0, 0, STEPS_PER_BEAT * 2)), stage.end)
            self._entry(stage, sorted(set(pitches)), start, end)

    def _entry(self, stage: Stage, pitches: list[int], start: int, end: int) -> None:
        for pitch in pitches:
            if self.swells and end - start >= 72:
                middle = start + (end - start) // 24 * 12
                stage.draft.add(self.part, start, pitch, middle - start, stage.velocity(start, 0.45))
                stage.draft.add(self.part, middle, pitch, end - middle, stage.velocity(middle, 0.62))
            else:
                stage.draft.add(self.part, start, pitch, end - start, stage.velocity(start, 0.55))
