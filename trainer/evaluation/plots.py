"""The evaluation's pictures, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from data.moods import MOODS, PROFILES

_BACKGROUND, _GRID, _TEXT, _FAINT = (252, 252, 250), (222, 222, 218), (30, 32, 40), (120, 122, 130)
_BAND = (205, 226, 214)
# Told apart by colour-blind readers too (Okabe & Ito 2008).
COLOURS = ((213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (120, 120, 120), (230, 159, 0))
Floats = npt.NDArray[np.float64]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _canvas(width: int, height: int, title: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    draw.text((24, 16), title, _TEXT, _font(22))
    return image, draw


def draw_measures(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """A line a measure: the human band, its median, and the median of each system, on the band's own scale.

    Args:
        rows: `study.facts["measures"]` with a human band.
        path: of the PNG.
    """
    names = list(rows[0]["systems"])
    left, right, line, top = 230, 40, 44, 96
    width, height = 1000, top + line * len(rows) + 30
    image, draw = _canvas(width, height, "Medians of each system beside the human band (5 to 95 %)")
    x = 24
    for number, name in enumerate(names):
        draw.ellipse((x, 58, x + 12, 70), COLOURS[number % len(COLOURS)])
        draw.text((x + 18, 55), name, _TEXT, _font(15))
        x += 40 + int(draw.textlength(name, _font(15)))
    span = width - left - right
    for at, row in enumerate(rows):
        human, systems = row["human"], row["systems"]
        low, middle, high = human["p5"], human["median"], human["p95"]
        unit = max(high - low, 1e-9)
        y = top + line * at + line // 2

        def place(value: float, low: float = low, unit: float = unit) -> float:
            return left + span * float(np.clip((value - low) / unit / 3 + 1 / 3, 0.01, 0.99))

        draw.text((24, y - 9), str(row["name"]), _TEXT, _font(16))
        draw.line((left, y, width - right, y), _GRID, 1)
        draw.rectangle((place(low), y - 12, place(high), y + 12), _BAND)
        draw.line((place(middle), y - 12, place(middle), y + 12), _FAINT, 2)
        for number, name in reversed(list(enumerate(names))):
            spot, radius = place(systems[name]["median"]), 7 if number == 0 else 5
            draw.ellipse((spot - radius, y - radius, spot + radius, y + radius), COLOURS[number % len(COLOURS)])
    image.save(path)


def draw_confusion(matrix: Sequence[Sequence[int]], title: str, path: Path) -> None:
    """A confusion matrix of the moods: rows asked, columns heard, each row as shares."""
    cell, left, top = 66, 130, 120
    size = cell * len(MOODS)
    image, draw = _canvas(left + size + 30, top + size + 30, title)
    counts = np.array(matrix, dtype=float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for row, asked in enumerate(MOODS):
        draw.text((16, top + row * cell + cell // 2 - 9), asked.value, _TEXT, _font(15))
        name = asked.value
        draw.text((left + row * cell + 4, top - 24 - 16 * (row % 2)), name, _TEXT, _font(13))
        for column in range(len(MOODS)):
            share = shares[row, column]
            colour = tuple(int(255 + (tone - 255) * share) for tone in (0, 114, 178))
            x, y = left + column * cell, top + row * cell
            draw.rectangle((x, y, x + cell - 2, y + cell - 2), colour)
            ink = (255, 255, 255) if share > 0.5 else _FAINT
            draw.text((x + 16, y + cell // 2 - 9), f"{share:.0%}", ink, _font(15))
    draw.text((left, top - 60), "heard", _FAINT, _font(14))
    draw.text((16, top - 24), "asked", _FAINT, _font(14))
    image.save(path)


def draw_affect(valence: dict[str, float], arousal: dict[str, float], path: Path) -> None:
    """Where moods were meant to lie (circles) and where their pieces were estimated (dots), on Russell's plane."""
    size, margin = 760, 70
    image, draw = _canvas(size, size, "Valence and arousal: meant (ring) and estimated (dot)")

    def place(x: float, y: float) -> tuple[float, float]:
        half = (size - 2 * margin) / 2
        return margin + half * (1 + x), margin + half * (1 - y)

    draw.line((*place(-1, 0), *place(1, 0)), _GRID, 2)
    draw.line((*place(0, -1), *place(0, 1)), _GRID, 2)
    draw.text(place(0.72, -0.02), "valence", _FAINT, _font(14))
    draw.text(place(0.02, 1.0), "arousal", _FAINT, _font(14))
    for mood in MOODS:
        if mood.value not in valence:
            continue
        profile = PROFILES[mood]
        meant, found = place(profile.valence, profile.arousal), place(valence[mood.value], arousal[mood.value])
        draw.line((*meant, *found), profile.rgb, 1)
        draw.ellipse((meant[0] - 9, meant[1] - 9, meant[0] + 9, meant[1] + 9), outline=profile.rgb, width=3)
        draw.ellipse((found[0] - 7, found[1] - 7, found[0] + 7, found[1] + 7), profile.rgb)
        draw.text((found[0] + 10, found[1] - 9), mood.value, _TEXT, _font(15))
    image.save(path)


def draw_lines(lines: dict[str, Sequence[float]], title: str, axis: str, path: Path) -> None:
    """Curves over 1, 2, 3, …, one a name; the first stands out."""
    width, height, left, top, bottom = 900, 460, 70, 90, 60
    image, draw = _canvas(width, height, title)
    highest = max(float(np.nanmax(values)) for values in lines.values()) * 1.1 or 1.0
    count = max(len(values) for values in lines.values())
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = height - bottom - share * (height - top - bottom)
        draw.line((left, y, width - 30, y), _GRID, 1)
        draw.text((14, y - 8), f"{share * highest:.2f}", _FAINT, _font(13))
    x_of = [left + (width - 40 - left) * n / max(count - 1, 1) for n in range(count)]
    for number, x in enumerate(x_of):
        if count <= 20 or number % (count // 10) == 0:
            draw.text((x - 4, height - bottom + 8), str(number + 1), _FAINT, _font(13))
    draw.text((width // 2, height - 28), axis, _FAINT, _font(14))
    at = left
    for number, (name, values) in enumerate(lines.items()):
        colour = _TEXT if number == 0 else COLOURS[(number - 1) % len(COLOURS)]
        points = [
            (x, height - bottom - value / highest * (height - top - bottom))
            for x, value in zip(x_of, values, strict=False)
            if np.isfinite(value)
        ]
        draw.line(points, colour, 4 if number == 0 else 2)
        draw.text((at, 56), name, colour, _font(15))
        at += 24 + int(draw.textlength(name, _font(15)))
    image.save(path)


def draw_spectra(rows: Sequence[tuple[str, Floats]], path: Path) -> None:
    """Log-mel spectra one above the other; each [bands, frames] float64 in dB."""
    width, tall = 900, 170
    image, draw = _canvas(width, 60 + (tall + 40) * len(rows), "Log-mel spectra (dB, both from the first note)")
    for at, (name, spectrum) in enumerate(rows):
        top = 60 + at * (tall + 40)
        draw.text((24, top), name, _TEXT, _font(15))
        scaled = np.clip((spectrum - spectrum.max() + 70) / 70, 0, 1)[::-1]
        # Dark blue through red to yellow: three ramps, one after the other.
        colours = np.stack([scaled * 2, scaled * 2 - 0.9, 0.25 + 0.5 * np.sin(scaled * np.pi)], -1)
        pixels = (np.clip(colours, 0, 1) * 255).astype(np.uint8)
        picture = Image.fromarray(pixels).resize((width - 48, tall), Image.Resampling.BILINEAR)
        image.paste(picture, (24, top + 24))
    image.save(path)
