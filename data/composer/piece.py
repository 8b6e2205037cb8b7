"""One piece, from a seed: plan the whole, cast the players, write section after section, and end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.composer import motives, themes
from data.composer.chance import between, happens, pick, weighed, whole
from data.composer.ending import write_ending
from data.composer.ensemble import cast, write_section
from data.composer.forms import FORMS, Plan, lay_out
from data.composer.harmony import IDIOMS, Step, dress
from data.composer.rhythm import METERS, Meter
from data.composer.stage import LONGEST_STEPS, Arc, Draft, Frame, Span, Stage
from data.composer.style import MoodStyle
from data.composer.styles_bright import AMBIENT, EPIC, ETHEREAL, HOPEFUL
from data.composer.styles_dim import DARK, MELANCHOLIC, MYSTERIOUS, TENSE
from data.composer.theory import MODES, Scale
from data.keys import Key
from data.moods import MOODS, PROFILES, Mood
from data.score import STEPS_PER_BEAT, Note, Score, trim_overlaps
from data.titles import title

STYLES: dict[Mood, MoodStyle] = {
    Mood.DARK: DARK,
    Mood.AMBIENT: AMBIENT,
    Mood.TENSE: TENSE,
    Mood.MYSTERIOUS: MYSTERIOUS,
    Mood.MELANCHOLIC: MELANCHOLIC,
    Mood.ETHEREAL: ETHEREAL,
    Mood.HOPEFUL: HOPEFUL,
    Mood.EPIC: EPIC,
}
NOTES_MIN, NOTES_MAX = 60, 1200  # a piece shorter or longer than this is planned again with other proportions
SCALE_MIN, SCALE_MAX = 0.2, 2.0  # of the usual duration
_ATTEMPTS = 6
_CHORD_S_MIN = 1.9  # the harmony of this music is slow: no chord is shorter than about two seconds


@dataclass(frozen=True, slots=True)
class OwnPiece:
    """A piece by the project's own composer, free of rights (CC0-1.0)."""

    score: Score
    mood: Mood
    key: Key  # the nearest major or minor key on the tonic
    mode: str  # the mode of the home section, a name in theory.MODES
    form: str  # a name in forms.FORMS
    ending: str  # "fade", "alone" or "broad"
    title: str


def compose_piece(seed: int, mood: Mood | None = None, scale: float = 1.0) -> OwnPiece:
    """Compose one piece.

    Args:
        seed: any whole number from 0; the same seed and mood always give the same piece.
        mood: None lets the seed choose.
        scale: of the usual duration; a form is told in as much time as there is.

    Returns:
        a piece of 60 to 1,200 notes that lasts about one to six minutes, times `scale` as far as the notes allow.
    """
    scaling = scale
    if mood is None:
        mood = pick(_generator(seed), MOODS)
    for attempt in range(_ATTEMPTS):
        piece = _attempt(_generator(seed, MOODS.index(mood) + 1, attempt), mood, scaling)
        count = len(piece.score.notes)
        if NOTES_MIN <= count <= NOTES_MAX:
            return piece
        scaling *= 0.6 if count > NOTES_MAX else 1.6
    raise RuntimeError(f"seed {seed} gave no piece of {NOTES_MIN} to {NOTES_MAX} notes in {_ATTEMPTS} attempts")


def _generator(*words: int) -> np.random.Generator:
    """A generator of its own for every combination of words (PCG64, stable across numpy versions)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def _attempt(rng: np.random.Generator, mood: Mood, scaling: float) -> OwnPiece:
    style = STYLES[mood]
    home = Scale(whole(rng, 0, 11), MODES[weighed(rng, style.modes)])
    meter = METERS[weighed(rng, style.meters)]
    low_bpm, high_bpm = PROFILES[mood].tempo_bpm
    tempo_bpm = whole(rng, low_bpm, high_bpm)
    form = weighed(rng, style.forms)
    plans = FORMS[form](rng)
    duration_s = between(rng, *style.duration_s) * between(rng, 0.66, 1.18) * scaling
    bars = round(duration_s * tempo_bpm / 60 * STEPS_PER_BEAT / meter.bar_steps)
    lengths = lay_out(rng, plans, bars)
    first = themes.compose_theme(rng, meter, style.liveliness, style.contours, style.sparse)
    kin = first.motive if happens(rng, 0.3) else None
    second = themes.compose_theme(
        rng, meter, style.liveliness, style.contours, style.sparse, kin and motives.inverted(kin)
    )
    shift = whole(rng, *style.register_shift)
    frame = Frame(
        meter, style.dynamics, shift, first, second, _arc(plans, lengths, meter), happens(rng, style.contrary)
    )
    ensemble = cast(rng, style, form, meter, shift)
    harmonies = _Harmonies(rng, style, home, meter, tempo_bpm, keeps_ground=form == "passacaglia")
    draft = Draft()
    start = 0
    for plan, length in zip(plans, lengths, strict=True):
        end = start + length * meter.bar_steps
        scale, spans = harmonies.section(plan.label, start, end, frame.arc)
        write_section(ensemble, Stage(frame, rng, plan.label, spans, scale, plan.treatment, draft))
        start = end
    ending = write_ending(rng, frame, style, home, draft, start)
    key = Key(home.tonic, "minor" if home.mode.is_minor else "major")
    score = Score(_finished(draft.notes, meter.bar_steps), float(tempo_bpm))
    return OwnPiece(score, mood, key, home.mode.name, form, ending, title(rng, mood))


def _arc(plans: list[Plan], lengths: list[int], meter: Meter) -> Arc:
    points: list[tuple[int, float]] = []
    start = 0
    for plan, length in zip(plans, lengths, strict=True):
        end = start + length * meter.bar_steps
        points += [(start, plan.rises_from), (end - 1, plan.rises_to)]
        start = end
    return Arc(tuple(points))


def _finished(notes: list[Note], bar_steps: int) -> tuple[Note, ...]:
    """In order, without overlaps, and without empty bars at the start."""
    skipped = min(note.start_step for note in notes) // bar_steps * bar_steps
    moved = [
        Note(note.start_step - skipped, note.part, note.pitch, note.duration_steps, note.velocity) for note in notes
    ]
    return trim_overlaps(tuple(sorted(moved)))


class _Harmonies:
    """The harmony of a piece: one scale and progression for each label, dressed anew whenever the label returns."""

    def __init__(
        self,
        rng: np.random.Generator,
        style: MoodStyle,
        home: Scale,
        meter: Meter,
        tempo_bpm: int,
        *,
        keeps_ground: bool,
    ) -> None:
        self.rng, self.style, self.home, self.meter, self.tempo_bpm = rng, style, home, meter, tempo_bpm
        self.keeps_ground = keeps_ground
        self.chord_steps = self._chord_steps()
        self.plans: dict[str, tuple[Scale, list[Step], int]] = {}

    def _chord_steps(self) -> int:
        bar = self.meter.bar_steps
        steps = max(self.meter.groups[0], int(weighed(self.rng, self.style.chord_bars) * bar))
        while steps * 60 / (self.tempo_bpm * STEPS_PER_BEAT) < _CHORD_S_MIN:
            steps = bar if steps < bar else steps + bar
        return min(steps, LONGEST_STEPS // bar * bar)

    def _plan(self, label: str) -> tuple[Scale, list[Step], int]:
        rng, style = self.rng, self.style
        scale, chord_steps = self.home, self.chord_steps
        if label != "A":
            moved = weighed(rng, style.shifts)
            modes = {name: weight for name, weight in style.modes.items() if name != self.home.mode.name}
            mode = MODES[weighed(rng, modes)] if moved == 0 or happens(rng, 0.35) else self.home.mode
            scale = Scale((self.home.tonic + moved) % 12, mode)
            chord_steps = self._chord_steps() if happens(rng, 0.5) else chord_steps
        idiom = "lament" if self.keeps_ground and happens(rng, 0.5) else weighed(rng, style.idioms)
        count = pick(rng, (3, 4, 4, 4, 5, 6, 8))
        return scale, IDIOMS[idiom](rng, scale, count), chord_steps

    def section(self, label: str, start: int, end: int, arc: Arc) -> tuple[Scale, tuple[Span, ...]]:
        """The scale and the chords of a section.

        Args:
            label: sections of one label share roots; the shapes follow the tension.
            start: first step.
            end: first step after it.
            arc: of the piece.
        """
        if label not in self.plans:
            self.plans[label] = self._plan(label)
        scale, steps, chord_steps = self.plans[label]
        calm, tense = self.style.strain
        spans: list[Span] = []
        for index, at in enumerate(range(start, end, chord_steps)):
            until = min(at + chord_steps, end)
            target = calm + (tense - calm) * arc.at(at)
            chord = dress(self.rng, steps[index % len(steps)], scale, self.style.shapes, target)
            if until - at < chord_steps // 2 and spans:  # no stump of a chord before the next section
                spans[-1] = Span(spans[-1].start, until, spans[-1].chord)
            else:
                spans.append(Span(at, until, chord))
        return scale, tuple(spans)
