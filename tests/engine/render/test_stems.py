"""Stems are the downloaded MIDI, divided: nothing is lost, nothing played twice."""

import io

import numpy as np
import pretty_midi
import pytest

from data.midi import write_midi
from data.score import PROGRAMS, Note, Part, Score
from engine.render.bank import ensure_bank
from engine.render.fluidsynth import SAMPLE_RATE_HZ, FluidSynth, Stem
from engine.render.soundfont import find_soundfont
from engine.render.stems import AIR, DARK, GROUND, Group, plan_stems, split, ticks_per_beat


@pytest.fixture
def everybody() -> Score:
    notes = [Note(6 * part, part, 48 + part, 24 + 12 * (part % 3), 80) for part in Part]
    return Score(tuple(sorted(notes)), 90.0)


def _notes(midi: bytes) -> list[tuple[int, int, float]]:
    parsed = pretty_midi.PrettyMIDI(io.BytesIO(midi))
    return sorted((i.program, n.pitch, round(n.start, 3)) for i in parsed.instruments for n in i.notes)


def test_every_note_is_in_exactly_one_stem(everybody):
    midi = write_midi(everybody, title="Void Harbour", texts=["seed:7"])
    stems = split(midi, [group.parts for group in plan_stems(everybody)], 10_000)
    assert len(stems) == 4
    assert sorted(note for stem in stems for note in _notes(stem)) == _notes(midi)


def test_ground_and_air_are_apart_and_what_has_no_treble_takes_half_the_rate(everybody):
    groups = plan_stems(everybody)
    assert {part for group in groups if group.ground for part in group.parts} == GROUND
    assert {part for group in groups if not group.ground for part in group.parts} == AIR
    assert {part for group in groups if group.divider == 2 for part in group.parts} == DARK


def test_a_stem_with_most_of_the_work_is_divided_fairly(everybody):
    first, second = [group.parts for group in plan_stems(everybody) if group.divider == 1]
    assert not set(first) & set(second)
    assert abs(len(first) - len(second)) <= 2


def test_only_what_is_needed_is_played():
    alone = Score((Note(0, Part.BELL, 60, 12, 80),), 90.0)
    assert plan_stems(alone) == [Group((Part.BELL,), ground=False, divider=1)]
    assert plan_stems(Score((Note(0, Part.SUB, 30, 12, 80),), 90.0)) == [Group((Part.SUB,), ground=True, divider=2)]


def test_parts_at_half_the_rate_have_no_treble_to_lose(tmp_path):
    """What lies above 9.5 kHz of a typical note, played at the full rate: 40 dB down at least, images of the player."""
    synth = FluidSynth([find_soundfont(), ensure_bank(tmp_path)])
    for part in DARK:
        midi = write_midi(Score((Note(0, part, 50, 12, 110),), 60.0), title="")
        sound = np.concatenate([stem.sum(axis=1) for (stem,) in synth.blocks([Stem(midi)], 2 * SAMPLE_RATE_HZ)])
        power = np.abs(np.fft.rfft(sound)) ** 2
        treble = power[np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ) > 9500].sum()
        assert 10 * np.log10(treble / power.sum()) < -40, part


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
    assert expression[PROGRAMS[Part.STRINGS]] == [82]  # 7.5 dB down: 40 log10(82 / 127)
