"""Two small charts as SVG, so that measurements can be looked at without another dependency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_COLOURS = ("#7fb2e5", "#3a6ea5", "#173a5e", "#e0a458", "#b5523b")
_LEFT, _RIGHT, _TOP, _BAR = 190, 130, 70, 15


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 13) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'


def _page(width: int, height: int, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" fill="#222">'
    )
    paper = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([head, paper, *parts, "</svg>\n"])


def _legend(series: Sequence[str]) -> list[str]:
    parts = []
    for at, name in enumerate(series):
        x = _LEFT + 130 * at
        parts += [f'<rect x="{x}" y="40" width="12" height="12" fill="{_COLOURS[at]}"/>', _text(x + 18, 51, name)]
    return parts


def bars(title: str, series: Sequence[str], rows: Mapping[str, Sequence[float | None]]) -> str:
    """Horizontal bars on a logarithmic scale: a group for each row, a bar for each series; None is left out."""
    values = [value for row in rows.values() for value in row if value]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    width = 860
    scale = (width - _LEFT - _RIGHT) / max(1, high - low)
    parts = [_text(_LEFT, 24, f"{title} (logarithmic)", size=16), *_legend(series)]
    y = _TOP
    for name, row in rows.items():
        present = [(at, value) for at, value in enumerate(row) if value]
        parts.append(_text(_LEFT - 10, y + _BAR * len(present) / 2 + 5, name, anchor="end"))
        for at, value in present:
            length = max(1.0, (math.log10(value) - low) * scale)
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR - 2}" fill="{_COLOURS[at]}"/>')
            parts.append(_text(_LEFT + length + 5, y + _BAR - 4, f"{value:,.0f}", size=11))
            y += _BAR
        y += 10
    return _page(width, y + 10, parts)


def lines(title: str, x_name: str, xs: Sequence[float], series: Mapping[str, Sequence[float]], unit: str) -> str:
    """Curves over a logarithmic x axis, with their values written beside the points."""
    width, height, bottom = 860, 420, 370
    top = max(max(values) for values in series.values()) * 1.1
    span = math.log2(max(xs) / min(xs)) or 1.0

    def place(x: float, value: float) -> tuple[float, float]:
        across = math.log2(x / min(xs)) / span
        return 80 + across * (width - 180), bottom - value / top * (bottom - _TOP)

    parts = [_text(80, 24, title, size=16), *_legend(list(series))]
    parts.append(f'<path d="M80 {_TOP} V{bottom} H{width - 80}" fill="none" stroke="#888"/>')
    parts += [_text(place(x, 0)[0], bottom + 20, f"{x:g}", anchor="middle") for x in xs]
    parts.append(_text(width - 80, bottom + 40, x_name, anchor="end"))
    for at, values in enumerate(series.values()):
        points = [place(x, value) for x, value in zip(xs, values, strict=True)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{_COLOURS[at]}" stroke-width="2"/>')
        for (x, y), value in zip(points, values, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_COLOURS[at]}"/>')
            parts.append(_text(x + 5, y - 6, f"{value:.3g} {unit}", size=11))
    return _page(width, height, parts)
