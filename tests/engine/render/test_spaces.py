"""Each space is a space of its own, and each gives what a listener needs."""

import numpy as np
import pyloudnorm
import pytest
import soundfile
from scipy.fft import next_fast_len
from scipy.signal import resample_poly

from data.moods import MOODS, Mood
from data.score import Note, Part, Score
from data.spaces import DEFAULT_SPACES, SPACES, Space
from engine.render import Renderer
from engine.render.space import CHARACTERS, _quick_length, room

RATE_HZ = 44_100


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """[n, 2] of one phrase in each space: a drone and a chord of four seconds, bells, drums."""
    folder = tmp_path_factory.mktemp("spaces")
    notes = [Note(0, Part.DRONE, 38, 48, 80), Note(24, Part.PULSE, 45, 12, 100), Note(0, Part.SUB, 33, 48, 80)]
    notes += [Note(0, Part.PAD, pitch, 48, 80) for pitch in (57, 62, 65)]
    notes += [Note(9 * index, Part.BELL, pitch, 9, 90) for index, pitch in enumerate((81, 77, 74))]
    score = Score(tuple(sorted(notes)), 60.0)
    found = {}
    for space in SPACES:
        rendered = Renderer().render(score, title="", recipe=(), folder=folder, name=space, mood=Mood.DARK, space=space)
        found[space], _ = soundfile.read(rendered.wav, always_2d=True)
    return found


@pytest.mark.parametrize("space", SPACES)
def test_loud_enough_and_never_too_loud(sounds, space):
    sound = sounds[space]
    assert pyloudnorm.Meter(RATE_HZ).integrated_loudness(sound) == pytest.approx(-16, abs=0.5)
    assert 20 * np.log10(np.abs(resample_poly(sound, 4, 1, axis=0)).max()) <= -0.95
    assert np.abs(sound.mean(axis=0)).max() < 1e-3


@pytest.mark.parametrize("space", SPACES)
def test_one_loudspeaker_plays_it_too(sounds, space):
    sound = sounds[space]
    meter = pyloudnorm.Meter(RATE_HZ)
    in_mono = np.repeat(sound.mean(axis=1, keepdims=True), 2, axis=1)
    assert meter.integrated_loudness(sound) - meter.integrated_loudness(in_mono) < 2.5
    assert 0.2 < np.corrcoef(sound.T)[0, 1] < 0.99


@pytest.mark.parametrize("space", SPACES)
def test_one_loudspeaker_plays_the_bass_of_what_is_in_the_air_too(space, tmp_path):
    score = Score(tuple(Note(0, Part.PAD, pitch, 48, 80) for pitch in (40, 45, 52)), 60.0)
    rendered = Renderer().render(score, title="", recipe=(), folder=tmp_path, name="low", mood=Mood.DARK, space=space)
    sound, _ = soundfile.read(rendered.wav, always_2d=True)
    hz, spectra = np.fft.rfftfreq(len(sound), 1 / RATE_HZ), np.fft.rfft(sound.T)
    bass = spectra[:, (hz > 80) & (hz < 180)]
    lost = (np.abs(bass) ** 2).sum() / 2 / (np.abs(bass.mean(axis=0)) ** 2).sum()
    assert 10 * np.log10(lost) < 1.2  # 3.5 in the void when the bass of its reverberation was as wide as the rest


@pytest.mark.parametrize("space", SPACES)
def test_it_fades_to_nothing_without_a_step(sounds, space):
    sound = np.abs(sounds[space])
    assert sound[-30:].max() < 0.0005
    windows = sound[: len(sound) // 4410 * 4410].reshape(-1, 4410 * 2).max(axis=1)
    end = windows[-20:]  # the last two seconds only fall
    assert (end[1:] <= end[:-1] * 1.5 + 0.001).all()


def test_spaces_differ_in_how_long_they_ring(sounds):
    def rings_s(space: Space) -> float:
        """From the end of the notes, at 4 s, until nothing is left above -50 dB."""
        loud = np.flatnonzero(np.abs(sounds[space]).max(axis=1) > 10 ** (-50 / 20))
        return loud[-1] / RATE_HZ - 4

    assert rings_s(Space.VOID) > rings_s(Space.CATHEDRAL) > rings_s(Space.HANGAR) > rings_s(Space.TAPE)


@pytest.mark.parametrize("space", SPACES)
def test_a_room_has_room_for_its_tail(space):
    place = room(space, RATE_HZ)
    assert place.hop_frames % 2 == 0
    assert place.hop_frames > RATE_HZ
    assert place.hop_frames // 2 + place._impulse_frames - 1 <= place.fft_frames  # or its end would sound at the start
    assert place._impulse_frames > 0.9 * max(CHARACTERS[space].decay_s) * RATE_HZ / 2
    assert place.wet.shape == (2, place.fft_frames // 2 + 1)
    assert CHARACTERS[space].tail_s > 2.5  # the fade-out


def test_lengths_for_the_fft_are_those_of_scipy():
    assert all(_quick_length(least) == next_fast_len(least, real=True) for least in range(1, 300_000, 337))


def test_every_mood_has_a_space_and_every_space_is_described():
    assert set(DEFAULT_SPACES) == set(MOODS)
    assert set(CHARACTERS) == set(SPACES)


@pytest.mark.parametrize("space", SPACES)
def test_a_room_is_independent_left_and_right_widens_the_direct_sound_and_takes_the_rumble_away(space):
    place = room(space, RATE_HZ)
    middle, side = np.fft.irfft(place.wet, place.fft_frames)
    tail = slice(RATE_HZ // 4, None)  # from half a second on
    assert abs(np.corrcoef(middle[tail], side[tail])[0, 1]) < 0.3
    assert (side[:1500] ** 2).sum() > 0.8 * CHARACTERS[space].width ** 2
    hz = np.fft.rfftfreq(8192, 2 / RATE_HZ)
    with_direct = np.abs(1 + np.fft.rfft(middle[:8192]))
    assert with_direct[(hz > 5) & (hz < 20)].max() < 0.1
    assert place.ground_send == pytest.approx(CHARACTERS[space].ground_wet / CHARACTERS[space].wet)
