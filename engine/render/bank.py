"""The project's own sounds, where General MIDI is poorest or costs most: all but strings, lead and pulse.

Synthesised here, from numbers alone, and dedicated to the public domain (CC0-1.0). The sustained ones are made by
spectrum: each harmonic is a narrow band of bins with random phases, turned into sound by one inverse FFT, so that it is
as rich as an ensemble and repeats without a seam by construction (after Paul Nasca's PADsynth algorithm, 2005). Bells
are sums of decaying partials; the texture is a cloud of grains on a circle.

Samples are mono: width comes from the stage position of each part and from the reverberation, and a note costs one
voice where the stereo samples of FluidR3 cost two to four. FluidR3's harp alone took half the time of a piece.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.score import PROGRAMS, Part
from engine.errors import SetupProblem
from engine.render import sf2
from engine.render.audio_file import atomic, remove_stale
from engine.render.sf2 import Generator, Preset, Sample, absolute_cents, sf2_bytes, timecents
from engine.render.soundfont import check_soundfont

_RATE_HZ = 44_100
_LOW_RATE_HZ = 22_050  # for what has nothing above 8 kHz
_LOOP_FRAMES = 1 << 17  # 6 s at the low rate: longer than one notices a repetition
_RMS = 0.16  # Gaussian sound: its peaks stay 16 dB above this, so nothing clips

# Played by this bank; the others need a General MIDI font.
OWN_PARTS: frozenset[Part] = frozenset(Part) - {Part.STRINGS, Part.LEAD, Part.PULSE}

Wave = npt.NDArray[np.float32]
Amplitude = Callable[[npt.NDArray[np.float64], float], npt.NDArray[np.float64]]  # (harmonic numbers, f0 in Hz)


def default_cache() -> Path:
    """Where the bank is kept unless the caller knows better: the user's cache folder (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "musiclstm"


def ensure_bank(folder: Path) -> Path:
    """The bank's file, made when it is missing or damaged; that takes about a second, once.

    Two processes may do so at the same time: each writes its own file and the last one stays; both are the same.

    Raises:
        StorageProblem: the folder cannot be written.
    """
    path = folder / f"bank-{_version()}.sf2"
    try:
        check_soundfont(path)
    except SetupProblem:
        with contextlib.suppress(OSError):  # told by the next line, in one place
            folder.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            file.write(bank_bytes())
        remove_stale(set(folder.glob("bank-*.sf2")) - {path})
    return path


@functools.cache
def _version() -> str:
    """Names the sounds: a digest of the code that makes them, so that a bank of another version is never used."""
    code = b"".join(Path(module).read_bytes() for module in (__file__, sf2.__file__))
    return hashlib.sha256(code).hexdigest()[:12]


def bank_bytes() -> bytes:
    """The bank as a SoundFont; the same bytes each time."""
    presets = [_sub(), _drone(), _pad(), _choir(), _keys(), _bell(), _pluck(), _texture()]
    about = {"INAM": "MusicLSTM", "IENG": "MusicLSTM", "ICOP": "CC0-1.0, no rights reserved", "ISFT": "MusicLSTM"}
    return sf2_bytes(presets, about)


def key_hz(key: float) -> float:
    """Frequency of a MIDI note in equal temperament, 69 is 440 Hz."""
    return float(440.0 * 2 ** ((key - 69) / 12))


def _sub() -> Preset:
    """A sine with just enough harmonics that a telephone lets one guess it.

    Where hardly any loudspeaker sounds, the harmonics take over: the ear puts the fundamental there by itself. So it is
    as loud at 20 Hz as at 60, to the ear (A-weighted), which heard 12 to 16 dB less of the sine.
    """

    def amplitude(n: npt.NDArray[np.float64], f0: float) -> npt.NDArray[np.float64]:
        harmonics = 0.42 * max(1.0, 60.0 / f0) ** 2 * n**-1.6
        return np.where(n == 1, 1.0, harmonics) * (n <= max(8.0, 400.0 / f0))

    samples = [
        _spectral(f"sub {key}", key, amplitude, cents=3, line=1.0, level=1.15)
        for key in (*range(18, 36, 3), *range(36, 67, 6))
    ]
    return Preset("Sub", PROGRAMS[Part.SUB], samples, _envelope(0.03, 0.7))


def _drone() -> Preset:
    """Dark and slowly breathing: the fundamental stands still, its harmonics beat against each other."""

    def amplitude(n: npt.NDArray[np.float64], f0: float) -> npt.NDArray[np.float64]:
        hollow = np.where(n % 2 == 0, 0.55, 1.0)  # fewer even harmonics: a stopped pipe, a cavity
        return n**-1.15 * hollow / (1 + (n * f0 / 900.0) ** 2)

    samples = [
        _spectral(f"drone {key}", key, amplitude, cents=16, line=0.7, level=1.14, breath=0.02)
        for key in range(24, 79, 6)
    ]
    slow = {
        Generator.MODULATION_LFO_TO_VOLUME: 14,  # 1.4 dB, every nine seconds
        Generator.MODULATION_LFO_FREQUENCY: absolute_cents(0.11),
        Generator.MODULATION_LFO_DELAY: timecents(1.0),
    }
    return Preset("Drone", PROGRAMS[Part.DRONE], samples, _envelope(1.4, 3.2) | slow)


def _pad() -> Preset:
    """Warm and wide, a choir of detuned oscillators behind a low-pass."""

    def amplitude(n: npt.NDArray[np.float64], f0: float) -> npt.NDArray[np.float64]:
        return n**-1.05 / (1 + (n * f0 / 1800.0) ** 2)

    samples = [
        _spectral(f"pad {key}", key, amplitude, cents=26, line=0.25, level=1.0, breath=0.01) for key in range(36, 97, 6)
    ]
    return Preset("Warm pad", PROGRAMS[Part.PAD], samples, _envelope(0.55, 2.2))


def _choir() -> Preset:
    """Voices on "oh": harmonics under three formants that do not move with the pitch (Peterson & Barney 1952)."""
    formants = ((480.0, 1.0, 90.0), (860.0, 0.55, 110.0), (2450.0, 0.16, 180.0), (3300.0, 0.07, 260.0))

    def amplitude(n: npt.NDArray[np.float64], f0: float) -> npt.NDArray[np.float64]:
        hz = n * f0
        throat = sum(gain / (1 + ((hz - centre) / width) ** 2) for centre, gain, width in formants)
        return np.asarray((0.03 + throat) * n**-0.75 / (1 + (hz / 4200.0) ** 4))

    samples = [
        _spectral(f"choir {key}", key, amplitude, cents=32, line=0.1, level=0.95, breath=0.045)
        for key in range(44, 93, 4)
    ]
    vibrato = {
        Generator.VIBRATO_LFO_TO_PITCH: 7,
        Generator.VIBRATO_LFO_FREQUENCY: absolute_cents(4.6),
        Generator.VIBRATO_LFO_DELAY: timecents(0.9),
    }
    return Preset("Far choir", PROGRAMS[Part.CHOIR], samples, _envelope(0.45, 1.6) | vibrato)


def _bell() -> Preset:
    """Glass: the partials of a struck bar (1, 2.756, 5.404: Fletcher & Rossing 1998, section 2.16) and an octave."""
    partials = (
        # ratio, gain, seconds to fall by 60 dB at middle C
        (1.0, 1.0, 6.5),
        (1.0028, 0.45, 6.0),  # the same mode twice, 5 cents apart: glass is never quite round
        (2.0, 0.32, 4.2),
        (2.756, 0.26, 2.6),
        (5.404, 0.12, 1.1),
        (8.933, 0.05, 0.5),
    )
    samples = []
    for key in range(48, 109, 6):
        f0 = key_hz(key)
        seconds = 5.0 if key < 84 else 3.5
        t = np.arange(round(seconds * _RATE_HZ)) / _RATE_HZ
        shorter = (key_hz(60) / f0) ** 0.35  # small glass rings for less time
        phases = np.random.default_rng(key).uniform(0, 2 * np.pi, len(partials))
        phases[1] = phases[0]  # one blow starts both; else some keys begin where they cancel
        wave = np.zeros_like(t)
        for (ratio, gain, fall_s), phase in zip(partials, phases, strict=True):
            if ratio * f0 < 14_000:
                wave += gain * np.exp(-6.9 * t / (fall_s * shorter)) * np.sin(2 * np.pi * ratio * f0 * t + phase)
        samples.append(Sample(f"bell {key}", _struck(wave, t, 0.004, 0.55), _RATE_HZ, key, loops=False))
    return Preset("Glass", PROGRAMS[Part.BELL], samples, _envelope(0.001, 3.5))


def _keys() -> Preset:
    """An electric piano: a tine whose overtones come from frequency modulation and fade first (Chowning 1973)."""
    samples = []
    for key in range(33, 100, 6):
        f0, rate_hz = key_hz(key), _LOW_RATE_HZ if key < 57 else _RATE_HZ
        seconds = 5.0 if key < 69 else 3.5
        t = np.arange(round(seconds * rate_hz)) / rate_hz
        fall_s = 6.5 * (key_hz(48) / f0) ** 0.45
        brightness = min(1.0, (key_hz(66) / f0) ** 0.5)
        body = np.sin(2 * np.pi * f0 * t + brightness * np.exp(-4 * t / fall_s) * np.sin(2 * np.pi * f0 * t))
        tine = np.exp(-t / 0.09) * np.sin(2 * np.pi * min(14 * f0, 0.3 * rate_hz) * t)
        wave = np.exp(-6.9 * t / fall_s) * (body + 0.25 * np.sin(4 * np.pi * f0 * t)) + 0.05 * tine
        samples.append(Sample(f"keys {key}", _struck(wave, t, 0.003, 0.42), rate_hz, key, loops=False))
    return Preset("Tine piano", PROGRAMS[Part.KEYS], samples, _envelope(0.001, 0.7))


def _pluck() -> Preset:
    """A dark harp: a string plucked at a fifth of its length (partials sin(n pi / 5) / n); high partials die first."""
    samples = []
    for key in range(33, 100, 6):
        f0, rate_hz = key_hz(key), _LOW_RATE_HZ if key < 57 else _RATE_HZ
        seconds = 4.5 if key < 69 else 3.0
        t = np.arange(round(seconds * rate_hz)) / rate_hz
        fall_s = 5.5 * (key_hz(48) / f0) ** 0.4
        phases = np.random.default_rng(2000 + key).uniform(0, 2 * np.pi, 40)
        wave = np.zeros_like(t)
        for n in range(1, 40):
            hz = n * f0 * np.sqrt(1 + 6e-5 * n * n)  # a stiff string is slightly sharp up there
            if hz > 0.36 * rate_hz:
                break
            gain = np.sin(n * np.pi / 5) / n / (1 + (hz / 2600) ** 2)
            wave += gain * np.exp(-6.9 * t * (1 + hz / 900) / fall_s) * np.sin(2 * np.pi * hz * t + phases[n])
        samples.append(Sample(f"pluck {key}", _struck(wave, t, 0.002, 0.6), rate_hz, key, loops=False))
    return Preset("Dark harp", PROGRAMS[Part.PLUCK], samples, _envelope(0.001, 0.9))


def _struck(wave: npt.NDArray[np.float64], t: npt.NDArray[np.float64], attack_s: float, peak: float) -> Wave:
    """A decaying sound without a click at either end, at this peak."""
    wave = wave * np.minimum(1.0, t / attack_s) * np.minimum(1.0, (t[-1] - t) / 0.4)
    return np.asarray(wave * (peak / np.abs(wave).max()), np.float32)


def _texture() -> Preset:
    """A cloud: 160 grains of a tone, its octaves and fifths, each 0.1 to 0.6 s, strewn over a circle of six seconds."""
    ratios = np.array([0.5, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0])
    samples = []
    for key in range(42, 107, 8):  # as high as it is played: what is raised beyond the sample rate folds into discord
        generator = np.random.default_rng(1000 + key)
        f0 = key_hz(key)
        cloud = np.zeros(_LOOP_FRAMES)
        for _ in range(160):
            frames = int(generator.uniform(0.1, 0.6) * _LOW_RATE_HZ)
            ratio = float(generator.choice(ratios)) * 2 ** (generator.normal(0, 8) / 1200)
            if 2 * ratio * f0 > 8000:
                continue
            t = np.arange(frames) / _LOW_RATE_HZ
            grain = np.hanning(frames) * np.sin(2 * np.pi * ratio * f0 * t + generator.uniform(0, 2 * np.pi))
            grain += 0.3 * np.hanning(frames) ** 2 * np.sin(2 * np.pi * 2.01 * ratio * f0 * t)
            where = (int(generator.integers(_LOOP_FRAMES)) + np.arange(frames)) % _LOOP_FRAMES
            cloud[where] += grain * generator.uniform(0.3, 1.0) / ratio**0.5
        samples.append(Sample(f"texture {key}", _levelled(cloud, 0.8), _LOW_RATE_HZ, key, loops=True))
    return Preset("Cloud", PROGRAMS[Part.TEXTURE], samples, _envelope(0.7, 2.0))


def _spectral(
    name: str,
    key: int,
    amplitude: Amplitude,
    *,
    cents: float,
    line: float,
    level: float,
    breath: float = 0.0,
) -> Sample:
    """One looping sample at the low rate whose harmonics are bands of noise.

    Args:
        name: of the sample.
        key: MIDI note.
        amplitude: of each harmonic.
        cents: width of the fundamental's band; those above widen in proportion, as in any ensemble.
        line: share of each of the first three harmonics that stands still, 0 to 1; keeps a bass from fading in and out.
        level: relative to the other sounds.
        breath: noise around the harmonics, relative to them.
    """
    generator = np.random.default_rng(100 * key + round(10 * cents))
    f0 = key_hz(key)
    bin_hz = _LOW_RATE_HZ / _LOOP_FRAMES
    highest_hz = 0.36 * _LOW_RATE_HZ  # six semitones up it is still below the limit of the sample rate
    spectrum = np.zeros(_LOOP_FRAMES // 2 + 1, np.complex128)
    numbers = np.arange(1.0, max(2, int(highest_hz / f0)) + 1)
    for n, gain in zip(numbers, amplitude(numbers, f0), strict=True):
        if gain < 1e-4:
            continue
        centre = n * f0 / bin_hz
        width = max(0.5, (2 ** (cents / 1200) - 1) * centre)
        bins = np.arange(max(1, int(centre - 4 * width)), min(len(spectrum), int(centre + 4 * width) + 2))
        band = np.exp(-(((bins - centre) / width) ** 2))
        band /= np.sqrt((band**2).sum())
        share = line if n <= 3 else 0.0
        spectrum[bins] += gain * (1 - share) * band * np.exp(2j * np.pi * generator.random(len(bins)))
        spectrum[round(centre)] += gain * share * np.exp(2j * np.pi * generator.random())
    if breath:
        hz = np.arange(len(spectrum)) * bin_hz
        air = np.exp(-((np.log2(np.maximum(hz, 20) / (3 * f0)) / 1.6) ** 2))
        noise = generator.normal(size=len(spectrum)) + 1j * generator.normal(size=len(spectrum))
        spectrum += noise * air * breath * np.sqrt((np.abs(spectrum) ** 2).sum() / (2 * air**2).sum()) * 2
    return Sample(name, _levelled(np.fft.irfft(spectrum), level), _LOW_RATE_HZ, key, loops=True)


def _levelled(wave: npt.NDArray[np.float64], level: float) -> Wave:
    """Scale to _RMS * level, and lower where a peak would clip."""
    scaled = wave * (_RMS * level / np.sqrt((wave**2).mean()))
    return np.asarray(scaled / max(1.0, np.abs(scaled).max() / 0.98), np.float32)


def _envelope(attack_s: float, release_s: float) -> dict[Generator, int]:
    return {Generator.ATTACK: timecents(attack_s), Generator.RELEASE: timecents(release_s)}
