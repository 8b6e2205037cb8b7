"""The project's own sounds: in tune, seamless, small, always the same."""

import struct

import numpy as np
import pytest

from data.midi import write_midi
from data.score import PROGRAMS, Note, Part, Score
from engine.render import stems
from engine.render.bank import default_cache, ensure_bank, key_hz
from engine.render.fluidsynth import FluidSynth, Stem
from engine.render.soundfont import check_soundfont, find_soundfont

RATE_HZ = 44_100
OWN = (Part.SUB, Part.DRONE, Part.PAD, Part.CHOIR, Part.KEYS, Part.BELL, Part.PLUCK, Part.TEXTURE)


@pytest.fixture(scope="module")
def bank():
    return ensure_bank(default_cache())


def test_it_is_a_whole_soundfont_under_30_mb(bank):
    check_soundfont(bank)
    assert bank.stat().st_size < 30_000_000
    assert b"CC0-1.0" in bank.read_bytes()[:400]


def test_it_has_a_preset_for_each_of_its_parts(bank):
    data = bank.read_bytes()
    at = data.index(b"phdr")
    (length,) = struct.unpack_from("<I", data, at + 4)
    programs = {struct.unpack_from("<H", data, at + 8 + row + 20)[0] for row in range(0, length - 38, 38)}
    assert programs == {PROGRAMS[part] for part in OWN}


def test_a_damaged_bank_is_made_again_and_is_the_same(tmp_path, bank):
    path = tmp_path / bank.name
    path.write_bytes(bank.read_bytes()[:1000])
    assert ensure_bank(tmp_path) == path
    assert path.read_bytes() == bank.read_bytes()


@pytest.mark.parametrize("part", Part)
def test_every_part_is_heard_and_equally_loud(part, bank):
    pitch = {Part.SUB: 36, Part.DRONE: 43, Part.PULSE: 45, Part.BELL: 76}.get(part, 60)
    sound = _played(part, pitch, bank, steps=24)
    assert 0.004 < np.abs(sound).max() < 0.2


def _played(part: Part, pitch: int, bank, steps: int = 48):
    midi = write_midi(Score((Note(0, part, pitch, steps, 90),), 120.0), title="")
    (stem,) = stems.split(midi, [[part]], 480 * 20)
    synth = FluidSynth([find_soundfont(), bank])
    blocks = synth.blocks([Stem(stem)], 4 * RATE_HZ)
    return np.concatenate([block[0].mean(axis=1) for block in blocks])


def test_a_bass_below_what_loudspeakers_play_is_heard_as_well_as_one_above(bank):
    notes = [_played(Part.SUB, pitch, bank, steps=96) for pitch in range(18, 38, 2)]
    heard_db = [_heard_db(note[RATE_HZ : 3 * RATE_HZ]) for note in notes]
    assert max(heard_db) - min(heard_db) < 5  # with the same harmonics at each pitch it was 16


def test_glass_is_as_loud_on_one_recording_as_on_the_next(bank):
    sounds = [_played(Part.BELL, pitch, bank)[: RATE_HZ // 2] for pitch in range(60, 109, 6)]
    levels_db = [10 * float(np.log10((sound**2).mean())) for sound in sounds]
    assert np.abs(np.diff(levels_db)).max() < 2


def _heard_db(sound) -> float:
    """Level as the ear weighs it (A-weighting, IEC 61672-1)."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    weight = hz**4 / ((hz**2 + 20.6**2) * (hz**2 + 12194**2) * np.sqrt((hz**2 + 107.7**2) * (hz**2 + 737.9**2)))
    return 10 * float(np.log10((power * weight**2).sum()))


@pytest.mark.parametrize("pitch", [98, 100, 102, 105])
def test_a_high_cloud_has_no_tone_that_folds_back_into_discord(pitch, bank):
    midi = write_midi(Score((Note(0, Part.TEXTURE, pitch, 48, 90),), 60.0), title="")
    (stem,) = stems.split(midi, [[Part.TEXTURE]], 480 * 20)
    synth = FluidSynth([find_soundfont(), bank])
    blocks = synth.blocks([Stem(stem, divider=2)], 4 * RATE_HZ)  # as the renderer has it played
    sound = np.concatenate([block[0].mean(axis=1) for block in blocks])[RATE_HZ // 2 :]
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    partial = np.fft.rfftfreq(len(sound), 2 / RATE_HZ) / key_hz(pitch)
    own = [np.abs(partial / ratio - 1) < 0.04 for ratio in (0.5, 1, 2, 3, 4, 6)]
    foreign = power[~np.any(own, axis=0) & (partial > 0.1)].sum()
    assert foreign < 2e-3 * power.sum()  # with the highest recording at 90 it was 8e-3 at 105


@pytest.mark.parametrize("part", OWN)
@pytest.mark.parametrize("pitch", [43, 55, 66])
def test_it_is_in_tune(part, pitch, bank):
    sound = _played(part, pitch, bank)[: 2 * RATE_HZ]
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 19)) ** 2
    hz = np.fft.rfftfreq(1 << 19, 1 / RATE_HZ)
    near = np.abs(np.log2(np.maximum(hz, 1) / key_hz(pitch))) < 0.5  # half an octave around the fundamental
    cents = 1200 * np.log2((power[near] * hz[near]).sum() / power[near].sum() / key_hz(pitch))
    assert abs(cents) < (40 if part is Part.TEXTURE else 12)  # a cloud of short grains is not sharp


def test_sustained_sounds_go_on_through_their_loop(bank):
    for part in (Part.DRONE, Part.PAD, Part.CHOIR, Part.SUB):
        midi_steps = 12 * 2 * 14  # fourteen seconds at 120: more than two rounds of the loop
        midi = write_midi(Score((Note(0, part, 55, midi_steps, 90),), 120.0), title="")
        (stem,) = stems.split(midi, [[part]], 480 * 40)
        synth = FluidSynth([find_soundfont(), bank])
        sound = np.concatenate([block[0].mean(axis=1) for block in synth.blocks([Stem(stem)], 13 * RATE_HZ)])
        level = np.sqrt((sound[3 * RATE_HZ :].reshape(-1, RATE_HZ // 2) ** 2).mean(axis=1))
        assert level.min() > 0.35 * level.max(), part
        steps = np.abs(np.diff(sound[3 * RATE_HZ :]))
        assert steps.max() < 12 * np.sqrt((steps**2).mean()), part  # a seam would be a step
