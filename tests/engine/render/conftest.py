"""Small hand-made pieces and one renderer for the tests of sound."""

from pathlib import Path

import pytest
import soundfile

from data.keys import Key
from data.moods import Mood
from data.score import STEPS_PER_BAR, Note, Part, Score
from data.spaces import Space
from engine.render import Rendered, Renderer

RECIPE = ("mood:dark length:13 temp:0.9 seed:7", "checkpoint:v1-00000000")

KEY = Key(0, "minor")


def ambient_score() -> Score:
    """Thirteen notes, four bars at 80: drone, pad chords, bells and a drum. Twelve seconds."""
    notes = [Note(0, Part.DRONE, 36, 4 * STEPS_PER_BAR, 70)]
    for bar, chord in enumerate(((60, 63, 67), (58, 62, 65), (56, 60, 63))):
        notes += [Note(bar * STEPS_PER_BAR, Part.PAD, pitch, STEPS_PER_BAR, 64) for pitch in chord]
    notes += [
        Note(STEPS_PER_BAR + 6, Part.BELL, 84, 12, 80),
        Note(2 * STEPS_PER_BAR + 6, Part.BELL, 79, 12, 70),
        Note(3 * STEPS_PER_BAR, Part.PULSE, 48, 12, 90),
    ]
    return Score(tuple(sorted(notes)), 80.0)


def render(folder: Path, name: str = "piece", score: Score | None = None, mood: Mood = Mood.DARK) -> Rendered:
    return Renderer().render(
        score or ambient_score(),
        title="Void Harbour",
        recipe=RECIPE,
        folder=folder,
        name=name,
        mood=mood,
        space=Space.DRY,
        key=KEY,
    )


@pytest.fixture(scope="session")
def score() -> Score:
    return ambient_score()


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """One piece, rendered once; its files must not be changed."""
    return render(tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="session")
def sound(rendered: Rendered):
    """[n, 2] float64."""
    samples, rate_hz = soundfile.read(rendered.wav, always_2d=True)
    assert rate_hz == 44_100
    return samples
