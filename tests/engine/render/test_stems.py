"""Stems are the downloaded MIDI, divided: nothing is lost, nothing played twice."""

import io

import pretty_midi
import pytest

from data.midi import write_midi
from data.score import PROGRAMS, Note, Part, Score
from engine.render.stems import AIR, GROUND, plan_stems, split, ticks_per_beat


@pytest.fixture
def everybody() -> Score:
    notes = [Note(6 * part, part, 48 + part, 24 + 12 * (part % 3), 80) for part in Part]
    return Score(tuple(sorted(notes)), 90.0)


def _notes(midi: bytes) -> list[tuple[int, int, float]]:
    parsed = pretty_midi.PrettyMIDI(io.BytesIO(midi))
    return sorted((i.program, n.pitch, round(n.start, 3)) for i in parsed.instruments for n in i.notes)


def test_every_note_is_in_exactly_one_stem(everybody):
    midi = write_midi(everybody, title="Void Harbour", texts=["seed:7"])
    ground, air = plan_stems(everybody)
    stems = split(midi, [*ground, *air], 10_000)
    assert len(stems) == 3
    assert sorted(note for stem in stems for note in _notes(stem)) == _notes(midi)


def test_the_ground_is_apart_and_the_air_is_shared_fairly(everybody):
    ground, air = plan_stems(everybody)
    assert set(ground[0]) == GROUND
    assert set(air[0]) | set(air[1]) == AIR
    assert not set(air[0]) & set(air[1])
    assert abs(len(air[0]) - len(air[1])) <= 2


def test_only_what_is_needed_is_played():
    alone = Score((Note(0, Part.BELL, 60, 12, 80),), 90.0)
    assert plan_stems(alone) == ([], [[Part.BELL]])
    assert plan_stems(Score((Note(0, Part.SUB, 30, 12, 80),), 90.0)) == ([[Part.SUB]], [])


def test_a_stem_lasts_until_the_end_tick(everybody):
    midi = write_midi(everybody, title="")
    end_tick = 50_000
    (stem,) = split(midi, [[Part.PAD]], end_tick)
    parsed = pretty_midi.PrettyMIDI(io.BytesIO(stem))
    assert parsed.time_to_tick(end_tick / ticks_per_beat(midi) * 60 / 90.0) == pytest.approx(end_tick, abs=2)
    assert stem.endswith(b"\xff\x2f\x00")


def test_parts_are_balanced_by_expression(everybody):
    midi = write_midi(everybody, title="")
    parsed = pretty_midi.PrettyMIDI(io.BytesIO(split(midi, [[Part.STRINGS, Part.PULSE]], 9000)[0]))
    expression = {
        instrument.program: [change.value for change in instrument.control_changes if change.number == 11]
        for instrument in parsed.instruments
    }
    assert expression[PROGRAMS[Part.PULSE]] == [127]
    assert expression[PROGRAMS[Part.STRINGS]][0] < 90
