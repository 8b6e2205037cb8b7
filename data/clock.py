"""Lengths of time as people read them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """`0:07`, `3:21`, `1:02:03`; rounded to the nearest second."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
