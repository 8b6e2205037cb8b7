"""Hypothesis strategies shared by the suites."""

from __future__ import annotations

from hypothesis import strategies as st

from data.score import Note, Part, Score
from data.tokens import DELTA_STEPS, DURATION_STEPS, PITCH_HIGH, PITCH_LOW, VELOCITIES

any_note = st.builds(
    Note,
    start_step=st.integers(0, 4000),
    part=st.sampled_from(Part),
    pitch=st.integers(0, 127),
    duration_steps=st.integers(1, 800),
    velocity=st.integers(1, 127),
)
any_score = st.builds(
    lambda notes, tempo: Score(tuple(sorted(notes)), tempo), st.lists(any_note, max_size=60), st.integers(30, 240)
)


@st.composite
def grid_scores(draw: st.DrawFn) -> Score:
    """Scores whose every value lies on the grid of the tokens, beginning at step 0."""
    onset, notes = 0, []
    for index in range(draw(st.integers(1, 60))):
        onset += draw(st.sampled_from(DELTA_STEPS)) if index else 0
        notes.append(
            Note(
                onset,
                draw(st.sampled_from(Part)),
                draw(st.integers(PITCH_LOW, PITCH_HIGH)),
                draw(st.sampled_from(DURATION_STEPS)),
                draw(st.sampled_from(VELOCITIES)),
            )
        )
    return Score(tuple(sorted(notes)), draw(st.integers(30, 240)))
