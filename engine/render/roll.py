"""A piece as a picture: its piano roll, one colour a part, with bars and a title, over the spectrum of its sound.

Discord shows a picture about 550 pixels wide, and 400 on a telephone: it is drawn at twice the former, with type that
is still legible at the latter.
"""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from data.clock import clock
from data.moods import PROFILES, Mood
from data.score import STEPS_PER_BAR, Note, Part, Score

WIDTH_PX, HEIGHT_PX = 1100, 620
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 76, 198  # around the roll
_SPECTRUM_TOP, _SPECTRUM_HEIGHT = HEIGHT_PX - 160, 112  # below it, above the names of the parts
_MEL_BANDS = 56
_MEL_HZ = (40.0, 9000.0)
_SPECTRUM_FRAMES = 1024  # of every second: 46 ms, 22 Hz apart, less than the lowest band is wide
_SPECTRUM_RANGE_DB = 66.0
_SPECTRUM_DIM_DB = 0.0  # a piece whose loudest band is weaker than this, 53 dB below full scale, is drawn dark
_BACKGROUND = (16, 17, 24)
_GRID, _GRID_STRONG = (34, 36, 48), (58, 61, 80)
_TEXT, _TEXT_FAINT = (232, 232, 240), (172, 175, 194)
_LARGE_PX, _SMALL_PX = 36, 24
Sound = npt.NDArray[np.float32]

_OCTAVE = 12
_MIN_PITCH_SPAN = 24

# Told apart by colour-blind readers too: low parts dark and saturated, high parts light (after Okabe & Ito 2008).
PART_COLOURS: dict[Part, tuple[int, int, int]] = {
    Part.SUB: (0, 114, 178),
    Part.DRONE: (96, 84, 176),
    Part.PAD: (86, 140, 233),
    Part.STRINGS: (0, 158, 115),
    Part.CHOIR: (204, 121, 200),
    Part.KEYS: (230, 159, 0),
    Part.BELL: (240, 228, 66),
    Part.PLUCK: (132, 214, 120),
    Part.LEAD: (238, 96, 60),
    Part.TEXTURE: (138, 146, 164),
    Part.PULSE: (190, 66, 84),
}


def draw_roll(score: Score, title: str, mood: Mood, sound: Sound | None = None, rate_hz: int = 44_100) -> bytes:
    """A PNG, WIDTH_PX x HEIGHT_PX; about 20 ms for a piece of 750 notes.

    Args:
        score: at least one note.
        title: one line; cut with an ellipsis where it is too long.
        mood: gives the accent colour.
        sound: [2, n] float32, what the piece sounds like; without it the lower part stays empty.
        rate_hz: of the sound.
    """
    image = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    duration_s = score.duration_s if sound is None else max(score.duration_s, sound.shape[1] / rate_hz)
    frame = _Frame(score, duration_s)
    _draw_grid(draw, frame, score)
    for note in sorted(score.notes, key=lambda note: -note.duration_steps):  # short notes on top of long ones
        _draw_note(draw, frame, note)
    if sound is not None:
        panel = _spectrum(sound, rate_hz, PROFILES[mood].rgb)
        image.paste(panel.resize((WIDTH_PX - _LEFT - _RIGHT, _SPECTRUM_HEIGHT)), (_LEFT, _SPECTRUM_TOP))
    _draw_words(draw, score, title, mood, duration_s)
    buffer = io.BytesIO()
    # A hundred colours are plenty for a drawing, and a quarter of the bytes and of the time.
    image.quantize(100, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


class _Frame:
    """Where steps and pitches lie in the picture."""

    def __init__(self, score: Score, duration_s: float) -> None:
        pitches = [note.pitch for note in score.notes]
        low, high = min(pitches, default=48), max(pitches, default=72)
        spare = max(0, _MIN_PITCH_SPAN - (high - low))
        self.low, self.high = low - 1 - spare // 2, high + 1 + spare - spare // 2
        self.end_step = max(STEPS_PER_BAR, math.ceil(duration_s / score.seconds(1)))
        self.x_per_step = (WIDTH_PX - _LEFT - _RIGHT) / self.end_step
        self.y_per_pitch = (HEIGHT_PX - _TOP - _BOTTOM) / (self.high - self.low + 1)

    def x(self, step: int) -> float:
        return _LEFT + step * self.x_per_step

    def y(self, pitch: int) -> float:
        """The upper edge of a pitch."""
        return _TOP + (self.high - pitch) * self.y_per_pitch


def _spectrum(sound: Sound, rate_hz: int, colour: tuple[int, int, int]) -> Image.Image:
    """A mel spectrogram, one pixel a band and half a pixel a column, from black through the mood's colour to white."""
    columns = (WIDTH_PX - _LEFT - _RIGHT) // 2
    starts = np.linspace(0, max(0, sound.shape[1] - 2 * _SPECTRUM_FRAMES), columns).astype(np.int64)
    # Every second frame will do: nothing to be seen lies above 11 kHz, and little to be folded back.
    index = np.minimum(starts[:, None] + 2 * np.arange(_SPECTRUM_FRAMES), sound.shape[1] - 1)
    middle = sound[0][index]
    middle += sound[1][index]
    middle *= np.hanning(_SPECTRUM_FRAMES).astype(np.float32)
    spectra = np.fft.rfft(middle)
    power = spectra.real**2 + spectra.imag**2
    low, high = (1127 * math.log1p(hz / 700) for hz in _MEL_HZ)  # O'Shaughnessy 1987
    centres_hz = 700 * np.expm1(np.linspace(low, high, _MEL_BANDS + 1) / 1127)
    bins = np.round(centres_hz * _SPECTRUM_FRAMES / (rate_hz / 2)).astype(np.int64)
    bins = np.maximum.accumulate(np.maximum(bins, np.arange(_MEL_BANDS + 1) + bins[0]))
    bands = np.add.reduceat(power, bins[:-1], axis=1)[:, ::-1].T
    level_db = 10 * np.log10(bands + 1e-9)
    light = np.clip(1 + (level_db - max(level_db.max(), _SPECTRUM_DIM_DB)) / _SPECTRUM_RANGE_DB, 0, 1)
    stops = np.array([_BACKGROUND, colour, (250, 246, 236)], np.float64)
    shades = np.array([np.interp(np.linspace(0, 1, 40), (0, 0.6, 1), stops[:, channel]) for channel in range(3)]).T
    return Image.fromarray(shades[(light * 39).astype(np.int64)].astype(np.uint8))


def _draw_grid(draw: ImageDraw.ImageDraw, frame: _Frame, score: Score) -> None:
    small = _font(_SMALL_PX)
    for pitch in range(frame.low, frame.high + 1):
        if pitch % _OCTAVE == 0:
            y = frame.y(pitch) + frame.y_per_pitch
            draw.line((_LEFT, y, WIDTH_PX - _RIGHT, y), _GRID_STRONG)
            if y - 12 > _TOP:
                draw.text((_LEFT - 10, y), f"C{pitch // _OCTAVE - 1}", _TEXT_FAINT, small, anchor="rs")
    bars = -(-frame.end_step // STEPS_PER_BAR)
    every = next(step for step in (1, 2, 4, 8, 16, 32, 64, 128, 1 << 30) if bars / step <= 18)
    for bar in range(0, bars, min(every, bars)):
        x = frame.x(bar * STEPS_PER_BAR)
        draw.line((x, _TOP, x, HEIGHT_PX - _BOTTOM), _GRID_STRONG if bar % (4 * every) == 0 else _GRID)
        if bar % (2 * every) == 0:
            time_s = score.seconds(bar * STEPS_PER_BAR)
            draw.text((x, HEIGHT_PX - _BOTTOM + 6), clock(time_s), _TEXT_FAINT, small, "ma")


def _draw_note(draw: ImageDraw.ImageDraw, frame: _Frame, note: Note) -> None:
    red, green, blue = PART_COLOURS[note.part]
    light = 0.45 + 0.55 * note.velocity / 127  # louder is brighter
    background = tuple((1 - light) * channel for channel in _BACKGROUND)
    colour = tuple(round(light * c + b) for c, b in zip((red, green, blue), background, strict=True))
    x0, x1 = frame.x(note.start_step), frame.x(note.end_step)
    y0 = frame.y(note.pitch)
    height = max(4.0, frame.y_per_pitch - 1)
    draw.rectangle((x0, y0, max(x0 + 3, x1 - 1.5), y0 + height), colour)


def _draw_words(draw: ImageDraw.ImageDraw, score: Score, title: str, mood: Mood, duration_s: float) -> None:
    draw.rectangle((0, 0, 9, HEIGHT_PX), PROFILES[mood].rgb)
    large, medium = _font(_LARGE_PX), _font(_SMALL_PX)
    draw.text((_LEFT - 40, 18), _shortened(draw, title, large, WIDTH_PX - _LEFT - 330), _TEXT, large)
    facts = f"{len(score.notes)} notes · {clock(duration_s)} · {score.tempo_bpm:.0f} BPM"
    draw.text((WIDTH_PX - _RIGHT, 28), facts, _TEXT_FAINT, medium, "ra")
    x = float(_LEFT - 40)
    for part in sorted({note.part for note in score.notes}):
        name = part.name.lower()
        if x + 30 + draw.textlength(name, medium) > WIDTH_PX - _RIGHT:
            break
        draw.rectangle((x, HEIGHT_PX - 32, x + 16, HEIGHT_PX - 16), PART_COLOURS[part])
        draw.text((x + 24, HEIGHT_PX - 39), name, _TEXT, medium)
        x += 24 + draw.textlength(name, medium) + 16


def _shortened(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float
) -> str:
    text = " ".join(text.split())[:200]
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "…", font) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface (Aileron, CC0), so that pictures are the same on every machine."""
    return ImageFont.load_default(size_px)
