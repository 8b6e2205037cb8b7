"""The eight moods and what music psychology says about each.

`valence` (unpleasant to pleasant) and `arousal` (calm to excited) place a mood on Russell's circumplex
(Russell 1980), both in [-1, 1]. Tempo, mode and dynamics follow the cues that listeners were found to use: fast
tempo and loudness raise arousal, major mode raises valence (Gabrielsson & Lindström 2010, "The role of structure in the
musical expression of emotions"; Juslin & Laukka 2004; Hunter & Schellenberg 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mood(StrEnum):
    """What a person asks for. `MOODS.index(mood)` is the model's mood index: append only."""

    DARK = "dark"
    AMBIENT = "ambient"
    TENSE = "tense"
    MYSTERIOUS = "mysterious"
    MELANCHOLIC = "melancholic"
    ETHEREAL = "ethereal"
    HOPEFUL = "hopeful"
    EPIC = "epic"


MOODS: tuple[Mood, ...] = tuple(Mood)


@dataclass(frozen=True, slots=True)
class MoodProfile:
    """Where a mood lies and the musical defaults that follow from it."""

    valence: float  # -1 unpleasant .. 1 pleasant
    arousal: float  # -1 calm .. 1 excited
    tempo_bpm: tuple[int, int]  # a piece without a stated tempo is drawn from this range, inclusive
    major_share: float  # probability that a piece without a stated key is in major
    says: str  # one line for people
    colour: int  # 0xRRGGBB: embed and picture accent

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as red, green and blue, each 0-255."""
        return self.colour >> 16, self.colour >> 8 & 0xFF, self.colour & 0xFF


PROFILES: dict[Mood, MoodProfile] = {
    Mood.DARK: MoodProfile(-0.7, -0.2, (50, 72), 0.0, "low drones, minor seconds, little light", 0x4B3F72),
    Mood.AMBIENT: MoodProfile(0.3, -0.7, (50, 70), 0.6, "slow pads and open space", 0x3E7C8A),
    Mood.TENSE: MoodProfile(-0.6, 0.6, (84, 116), 0.0, "ostinati and dissonance that will not settle", 0xA63D40),
    Mood.MYSTERIOUS: MoodProfile(-0.2, -0.1, (60, 84), 0.1, "uncertain harmony, bells in the distance", 0x5B5EA6),
    Mood.MELANCHOLIC: MoodProfile(-0.5, -0.5, (54, 76), 0.0, "minor, sparse and falling", 0x54728C),
    Mood.ETHEREAL: MoodProfile(0.5, -0.4, (56, 76), 0.7, "high choir and bells, weightless", 0x8FB8DE),
    Mood.HOPEFUL: MoodProfile(0.8, 0.2, (76, 104), 1.0, "major, rising, warm", 0xE0A458),
    Mood.EPIC: MoodProfile(0.3, 0.8, (88, 124), 0.2, "broad, loud, driven by drums and strings", 0xC8553D),
}
