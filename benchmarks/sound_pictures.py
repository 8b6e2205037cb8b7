"""Spectrograms of the sound before and after, for `docs/sound/`.

    python -m benchmarks.sound_pictures [FOLDER]

Before: what midi2audio 0.1.1 writes with the General MIDI soundfont. After: what the renderer gives. Both on one scale,
0 to -96 dB, 30 Hz to 16 kHz, so that loudness, darkness and tails can be compared; with the figures that a listener
feels: loudness, true peak, correlation of the channels and what a mono loudspeaker loses.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.fft
import soundfile
from PIL import Image, ImageDraw, ImageFont

from benchmarks.command import told
from benchmarks.sound import opening
from data.composer.piece import compose_piece
from data.midi import write_midi
from data.moods import Mood
from data.score import Note, Part, Score
from data.spaces import DEFAULT_SPACES, SPACES, Space
from engine.render import Renderer
from engine.render.loudness import HOP_S, hop_energies, integrated_lufs, true_peaks
from engine.render.soundfont import find_soundfont

_WIDTH_PX, _PANEL_PX, _LEFT_PX, _TEXT_PX = 1000, 250, 64, 34
_FRAMES = 8192
_RANGE_DB = 96.0
_LOW_HZ, _HIGH_HZ = 30.0, 16_000.0
_MARKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)
# Black, violet, magenta, orange, white: equal steps of lightness (after matplotlib's inferno, CC0).
_COLOURS = ((0, 0, 4), (50, 10, 94), (120, 28, 109), (188, 55, 84), (237, 105, 37), (251, 180, 26), (252, 255, 164))
_SECONDS_MAX = 60.0
_PICTURED = (Mood.DARK, Mood.TENSE, Mood.ETHEREAL, Mood.EPIC)
_COLOURS_KEPT = 48  # a third of the bytes

Sound = npt.NDArray[np.float64]


def main(arguments: list[str] | None = None) -> int:
    """Write the pictures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sound_pictures", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/sound"), help="(default: docs/sound)")
    target: Path = parser.parse_args(arguments).folder
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="musiclstm-pictures-") as name:
        folder = Path(name)
        for mood in _PICTURED:
            score = opening(compose_piece(7, mood).score, _SECONDS_MAX)
            panels = [
                ("before: midi2audio", _before(score, folder)),
                (f"after: space {DEFAULT_SPACES[mood]}", _after(score, folder, mood, None)),
            ]
            _stack(f"{mood}", panels).save(target / f"{mood}.png", optimize=True)
        phrase = _phrase()
        _stack(
            "one phrase in five spaces",
            [(f"space {space}", _after(phrase, folder, Mood.DARK, space)) for space in SPACES],
        ).save(target / "spaces.png", optimize=True)
        _stack(
            "the parts, one note each, dry",
            [(part.name.lower(), _after(_single(part), folder, Mood.DARK, Space.DRY)) for part in Part],
        ).save(target / "parts.png", optimize=True)
    return 0


def _before(score: Score, folder: Path) -> Sound:
    midi, wav = folder / "before.mid", folder / "before.wav"
    midi.write_bytes(write_midi(score, title="before"))
    # What midi2audio.FluidSynth.midi_to_audio runs, without its banner.
    command = ["fluidsynth", "-ni", str(find_soundfont()), str(midi), "-F", str(wav), "-r", "44100"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return _read(wav)


def _after(score: Score, folder: Path, mood: Mood, space: Space | None) -> Sound:
    rendered = Renderer().render(score, title="after", recipe=(), folder=folder, name="after", mood=mood, space=space)
    return _read(rendered.wav)


def _read(wav: Path) -> Sound:
    samples, _ = soundfile.read(wav, always_2d=True)
    return np.ascontiguousarray(samples.T)


def _stack(title: str, panels: list[tuple[str, Sound]]) -> Image.Image:
    """All panels under each other on one scale of time."""
    seconds = max(sound.shape[1] for _, sound in panels) / 44_100
    height = _PANEL_PX if len(panels) <= 5 else _PANEL_PX // 2
    image = Image.new("RGB", (_LEFT_PX + _WIDTH_PX + 16, 46 + len(panels) * (height + _TEXT_PX) + 8), "white")
    draw = ImageDraw.Draw(image)
    draw.text((_LEFT_PX, 8), title, "black", ImageFont.load_default(26))
    for index, (name, sound) in enumerate(panels):
        top = 46 + index * (height + _TEXT_PX)
        draw.text((_LEFT_PX, top + 6), f"{name}    {_figures(sound)}", "black", ImageFont.load_default(17))
        panel = _spectrogram(sound, round(_WIDTH_PX * sound.shape[1] / 44_100 / seconds), height)
        draw.rectangle((_LEFT_PX, top + _TEXT_PX, _LEFT_PX + _WIDTH_PX, top + _TEXT_PX + height), "black")
        image.paste(panel, (_LEFT_PX, top + _TEXT_PX))
        for hz in _MARKS_HZ if height == _PANEL_PX else (100, 1000, 10_000):
            share = math.log(hz / _LOW_HZ) / math.log(_HIGH_HZ / _LOW_HZ)
            y = top + _TEXT_PX + height * (1 - share)
            draw.line((_LEFT_PX - 5, y, _LEFT_PX, y), "black")
            label = f"{hz // 1000} kHz" if hz >= 1000 else f"{hz}"
            draw.text((_LEFT_PX - 8, y), label, "black", ImageFont.load_default(13), anchor="rm")
    return image.quantize(_COLOURS_KEPT)


def _spectrogram(sound: Sound, width: int, height: int) -> Image.Image:
    starts = np.linspace(0, max(0, sound.shape[1] - _FRAMES), width).astype(np.int64)
    window = np.hanning(_FRAMES)
    index = np.minimum(starts[:, None] + np.arange(_FRAMES), sound.shape[1] - 1)
    power = np.stack([np.abs(scipy.fft.rfft(channel[index] * window)) ** 2 for channel in sound]).mean(axis=0)
    level_db: Sound = 10 * np.log10(power + 1e-20) - 20 * math.log10(_FRAMES / 4)  # a sine at full scale reads 0
    rows_hz = np.geomspace(_HIGH_HZ, _LOW_HZ, height)
    bins = np.arange(_FRAMES // 2 + 1) * 44_100 / _FRAMES
    picture = np.array([np.interp(rows_hz, bins, column) for column in level_db]).T
    light = np.clip(1 + picture / _RANGE_DB, 0, 1)
    stops = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(light, stops, [colour[channel] for colour in _COLOURS]) for channel in range(3)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def _figures(sound: Sound) -> str:
    planar = sound.astype(np.float32)
    mono = np.tile(planar.mean(axis=0), (2, 1))
    count = int(planar.shape[1] / 44_100 / HOP_S)
    loudness, in_mono = (integrated_lufs(hop_energies(part, 44_100, 0, count).sum(axis=0)) for part in (planar, mono))
    peak = 20 * math.log10(float(true_peaks(np.pad(planar, ((0, 0), (5, 7)))).max()))
    both = planar[:, np.abs(planar).sum(axis=0) > 1e-4]
    correlation = float(np.asarray(np.corrcoef(both))[0, 1])
    return (
        f"{loudness:.1f} LUFS   true peak {peak:.1f} dB   correlation {correlation:.2f}   "
        f"lost in mono {loudness - in_mono:.1f} LU"
    )


def _phrase() -> Score:
    """A drone, a chord, three bells and a drum in six seconds, so that the space is heard after them."""
    notes = [Note(0, Part.DRONE, 38, 60, 80), Note(48, Part.PULSE, 45, 12, 100)]
    notes += [Note(12, Part.PAD, pitch, 36, 80) for pitch in (57, 62, 65)]
    notes += [Note(18 + 9 * index, Part.BELL, pitch, 9, 90) for index, pitch in enumerate((81, 77, 74))]
    return Score(tuple(sorted(notes)), 60.0)


def _single(part: Part) -> Score:
    pitch = {Part.SUB: 36, Part.DRONE: 43, Part.PULSE: 45, Part.BELL: 76}.get(part, 60)
    return Score((Note(0, part, pitch, 36, 90),), 60.0)


if __name__ == "__main__":
    sys.exit(told(main))
