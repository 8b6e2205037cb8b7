"""What a crowd is, and what is said of it, with an engine that takes a tenth of a second a piece."""

from __future__ import annotations

import asyncio
import collections
import statistics
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import compose
from data.moods import MOODS
from engine.local import LocalEngine
from engine.types import ComposeRequest


class OneAtATime:
    """First come, first served; a piece of `ambient` takes twice as long as others."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, asyncio.Lock()
        self.moods: list[str] = []
        self.taken_s: list[float] = []

    async def compose(self, request: ComposeRequest, *_: object, **__: object) -> Any:
        async with self._lock:
            started = time.perf_counter()
            await asyncio.sleep(0.2 if request.mood == "ambient" else 0.1)
            self.taken_s.append(time.perf_counter() - started)
            self.moods.append(request.mood)
            wav = self._folder / f"{len(self.moods)}.wav"
            wav.touch()
            return SimpleNamespace(wav=wav)


async def crowd(folder: Path, size: int) -> tuple[compose.Crowd, OneAtATime]:
    engine = OneAtATime(folder)
    return await compose._crowd(cast("LocalEngine", engine), size, 64), engine


@pytest.mark.parametrize("size", [1, 3, 8])
async def test_every_mood_is_in_the_smallest_crowd(size: int, tmp_path: Path) -> None:
    found, engine = await crowd(tmp_path, size)
    counts = collections.Counter(engine.moods)
    assert counts.keys() == set(MOODS)
    assert max(counts.values()) <= 2
    assert found.at_once == size
    assert found.pieces_per_minute == pytest.approx(60 * len(engine.moods) / sum(engine.taken_s), rel=0.2)
    if size == 1:
        assert found.p50_s == pytest.approx(statistics.median(engine.taken_s), abs=0.03)
        assert found.p95_s == pytest.approx(max(engine.taken_s), abs=0.03)


def test_first_come_first_served_is_a_quarter_fair_and_leaves_nothing(tmp_path: Path) -> None:
    found, _ = asyncio.run(crowd(tmp_path, 8))
    assert found.fairness == 0.25
    assert list(tmp_path.iterdir()) == []


def test_a_process_is_timed_up_to_its_first_notes(tmp_path: Path) -> None:
    started = time.perf_counter()
    assert 0 < compose._process_to_first_piece(str(tmp_path)) < time.perf_counter() - started
