"""What a mood means for the composer: ranges and likings, and where they come from.

Each mood's place in valence and arousal stands in `data.moods`. The cues that carry them are the ones that listeners
were found to use, and they add up (Eerola, Friberg & Bresin 2013, "Emotional expression in music: contribution,
linearity, and additivity of primary musical cues": mode, then tempo, register, dynamics, articulation, timbre):

- tempo, loudness and density raise arousal (Gabrielsson & Lindström 2010, "The role of structure in the musical
  expression of emotions", tables 14.2; Juslin & Laukka 2004, table 2);
- mode carries valence: the brighter the mode, the more pleasant; mixed cues (fast minor, slow major) make mixed
  feelings (Hunter & Schellenberg 2010, "Music and emotion", section on tempo and mode);
- low register, dissonance and dark timbre: sad, menacing; high register and consonance: light, dreamy (Gabrielsson &
  Lindström 2010; Eerola et al. 2013);
- rising contours: hope and excitement; falling ones: sadness (Gabrielsson & Lindström 2010);
- ethereal, ambient and epic are three of the nine feelings that music in particular arouses: transcendence and
  wonder, peacefulness, power (Zentner, Grandjean & Scherer 2008, the Geneva Emotional Music Scale).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.score import Part

Weights = Mapping[str, float]

# Where each part lies before the mood moves it: lowest and highest MIDI pitch when it accompanies.
PART_RANGES: dict[Part, tuple[int, int]] = {
    Part.SUB: (28, 43),
    Part.DRONE: (33, 52),
    Part.PAD: (46, 70),
    Part.STRINGS: (45, 72),
    Part.CHOIR: (48, 71),
    Part.KEYS: (48, 76),
    Part.BELL: (70, 93),
    Part.PLUCK: (50, 79),
    Part.LEAD: (60, 82),
    Part.TEXTURE: (62, 86),
    Part.PULSE: (36, 50),
}
SINGING_RANGES: dict[Part, tuple[int, int]] = {
    Part.STRINGS: (57, 79),
    Part.CHOIR: (57, 76),
    Part.KEYS: (60, 84),
    Part.BELL: (69, 91),
    Part.PLUCK: (59, 81),
    Part.LEAD: (60, 82),
    Part.PAD: (57, 76),
}
FIXED_PARTS = frozenset({Part.SUB, Part.DRONE, Part.PULSE})  # the foundation stays where it is in every mood


@dataclass(frozen=True, slots=True)
class Role:
    """One place in the ensemble and who may fill it."""

    probability: float
    enters: float  # tension in [0, 1] from which it plays
    options: Mapping[tuple[str, Part], float]  # (texture name, part) -> weight


@dataclass(frozen=True, slots=True)
class MoodStyle:
    """The ranges and likings of one mood. Weights need not add up to one."""

    modes: Weights  # over theory.MODES
    meters: Weights  # over rhythm.METERS
    idioms: Weights  # over harmony.IDIOMS
    shapes: Weights  # over harmony.SHAPES
    forms: Weights  # over forms.FORMS
    contours: Weights  # over motives.CONTOURS
    strain: tuple[float, float]  # wanted chord dissonance at tension 0 and 1, see harmony.strain
    dynamics: tuple[int, int]  # MIDI velocity at tension 0 and 1
    register_shift: tuple[int, int]  # semitones, range to draw from
    liveliness: tuple[float, float]  # of melodies, range to draw from
    ticks: Mapping[int, float]  # steps between the notes of figures
    chord_bars: Mapping[float, float]  # bars to a chord
    duration_s: tuple[int, int]
    sparse: float  # probability that the theme is half silence
    contrary: float  # probability that melodies sink as tension rises
    shifts: Mapping[int, float]  # semitones by which the tonic of a contrasting section moves
    singers: Mapping[Part, float]
    answers: float  # probability of a second singer
    followers: float  # probability of a line that follows the melody
    counterlines: float  # probability of a slow counter voice
    transitions: float  # probability that new sections are led into
    roles: tuple[Role, ...]
