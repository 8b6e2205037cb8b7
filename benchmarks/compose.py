"""From a request to its files, alone and in a crowd, as the bot makes pieces: wall time.

    python -m benchmarks compose [--json] [--rounds N] [--at-once 1,4,16,64,128,256] [--notes N] [--plot FILE.svg]
    python -m benchmarks compose --table FILE.json

Alone: pieces of 200 notes one after the other, with the share of each stage. In a crowd: so many pieces asked for in
the same moment by four people, the first of whom asks for half of all before the others ask for anything; pieces of 64
notes, or the crowds would take an hour where rendering is slow. The moods take turns, and a piece of one may last eight
times as long as one of another: a crowd too small for all of them gathers again until each was there. `fairness` is
Jain's index (1984) of the notes that each of the four has when half of the pieces are done: 1 when all have the same, a
quarter when one has everything; first come, first served would give 0.25. `longest_stall_ms` is how long the event loop
was held.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.command import at_least_one, from_file, write
from benchmarks.plot import lines
from benchmarks.sound_memory import PeakMemory, resident_mb
from data.moods import Mood
from engine.garbage import keep_loaded
from engine.local import LocalEngine, open_engine
from engine.render import fitting_workers
from engine.types import ComposeRequest, Progress

LENGTH_NOTES = 200
CROWD_NOTES = 64
CROWDS = "1,4,16,64,128,256"
_PEOPLE = ("asks for half", "second", "third", "fourth")
_FIRST_NOTES = """
import asyncio, sys
from pathlib import Path
from engine.types import ComposeRequest, Progress, Stage
from engine.local import open_engine
from engine.render import fitting_workers

def hear(now: Progress) -> None:
    if now.stage is Stage.RENDERING and not now.done:
        print("written", flush=True)

async def compose() -> None:
    engine = open_engine(folder=Path(sys.argv[1]), render_workers=fitting_workers())
    await engine.compose(ComposeRequest(length_notes=16), hear)
    await engine.aclose()

asyncio.run(compose())
"""


@dataclasses.dataclass(frozen=True)
class Alone:
    """One piece at a time."""

    notes: int
    pieces: int
    p50_s: float
    writing_s: float
    rendering_s: float
    other_s: float
    shares: dict[str, float]  # of the whole: writing notes; sound, picture and files; what is neither
    first_progress_ms: float
    process_to_first_piece_s: float  # to its notes, which are in the making when the first progress is told


@dataclasses.dataclass(frozen=True)
class Memory:
    """Proportional set sizes (what several processes map is shared out among them) in megabytes; 0 beyond Linux."""

    engine_mb: float  # the process that asks
    others_mb: float  # the processes that write and render together, at most, while a piece of each mood is made


@dataclasses.dataclass(frozen=True)
class Crowd:
    """Many at once."""

    at_once: int
    notes: int
    pieces_per_minute: float
    p50_s: float
    p95_s: float
    fairness: float | None
    longest_stall_ms: float


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="./run bench compose", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--rounds", type=at_least_one, default=7, metavar="N", help="pieces made alone (default 7)")
    parser.add_argument(
        "--at-once", type=_sizes, default=CROWDS, metavar="N,N", help=f"sizes of crowds (default {CROWDS})"
    )
    parser.add_argument(
        "--notes", type=int, default=CROWD_NOTES, metavar="N", help=f"of each piece in a crowd (default {CROWD_NOTES})"
    )
    parser.add_argument("--plot", type=Path, help="draw the load curve into this SVG file")
    parser.add_argument("--table", type=Path, metavar="FILE", help="no measurement: the table of what --json gave")
    options = parser.parse_args(arguments)
    if options.table:

        def show(found: dict[str, Any]) -> str:
            if options.plot:
                _draw([Crowd(**row) for row in found["load"]], options.plot)
            return table(found)

        sys.stdout.write(from_file(options.table, show))
        return 0
    alone, crowds, memory = asyncio.run(measure(options.rounds, options.at_once, options.notes))
    if options.json:
        load = [dataclasses.asdict(crowd) for crowd in crowds]
        found = {"alone": dataclasses.asdict(alone), "load": load, "memory": dataclasses.asdict(memory)}
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write(_told(alone, crowds, memory))
    if options.plot:
        _draw(crowds, options.plot)
    return 0


def _told(alone: Alone, crowds: list[Crowd], memory: Memory) -> str:
    told = (
        f"one piece of {alone.notes} notes: {alone.p50_s:.2f} s "
        f"({', '.join(f'{name} {100 * share:.1f} %' for name, share in alone.shares.items())}); first progress "
        f"after {alone.first_progress_ms:.1f} ms; from process start to a first short piece's notes "
        f"{alone.process_to_first_piece_s:.2f} s\n"
    )
    for crowd in crowds:
        fairness = "" if crowd.fairness is None else f"   fairness {crowd.fairness:.3f}"
        told += (
            f"{crowd.at_once:4d} pieces of {crowd.notes} notes at once: {crowd.pieces_per_minute:6.1f} a minute   "
            f"p50 {crowd.p50_s:6.2f} s   p95 {crowd.p95_s:6.2f} s   "
            f"longest stall {crowd.longest_stall_ms:5.1f} ms{fairness}\n"
        )
    return told + f"memory: {memory.engine_mb:.0f} MB, and {memory.others_mb:.0f} MB of the processes beside it\n"


def _sizes(text: str) -> list[int]:
    return [at_least_one(size) for size in text.split(",")]


def _draw(crowds: list[Crowd], path: Path) -> None:
    """The load curve, in an SVG file."""
    curves = {"median": [c.p50_s for c in crowds], "95 of 100": [c.p95_s for c in crowds]}
    title = f"Seconds from request to files, pieces of {crowds[0].notes} notes"
    across = [float(crowd.at_once) for crowd in crowds]
    write(path, lines(title, "requests at once", across, curves, "s"))


def table(found: dict[str, Any]) -> str:
    """The load curve in Markdown, out of the JSON."""
    lines = [
        "| at once | pieces a minute | median | 95 of 100 | fairness | longest stall of the event loop |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for crowd in (Crowd(**row) for row in found["load"]):
        fairness = "" if crowd.fairness is None else f"{crowd.fairness:.3f}"
        lines.append(
            f"| {crowd.at_once} | {crowd.pieces_per_minute:.1f} | {crowd.p50_s:.2f} s | {crowd.p95_s:.2f} s "
            f"| {fairness} | {crowd.longest_stall_ms:.0f} ms |"
        )
    return "\n".join(lines) + "\n"


async def measure(rounds: int, sizes: list[int], notes: int) -> tuple[Alone, list[Crowd], Memory]:
    """All of it with one engine, which stays warm as the bot's does."""
    with tempfile.TemporaryDirectory(prefix="musiclstm-bench-") as name:
        first_s = statistics.median([_process_to_first_piece(name) for _ in range(3)])
        engine = open_engine(folder=Path(name), queue_limit=max(*sizes, len(Mood)), render_workers=fitting_workers())
        try:
            keep_loaded()  # as the bot does
            await engine.compose(_request(0, notes))  # warms up the worker
            alone, crowds = await _alone(engine, rounds, first_s), [await _crowd(engine, size, notes) for size in sizes]
            with PeakMemory() as others:  # not timed: watching takes time too
                await _crowd(engine, len(Mood), notes)
            return alone, crowds, Memory(round(resident_mb(os.getpid()), 1), round(others.mb, 1))
        finally:
            await engine.aclose()


def _process_to_first_piece(folder: str) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-c", _FIRST_NOTES, folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        if child.stdout is None or not child.stdout.readline():
            raise RuntimeError("no notes were written")
        return time.perf_counter() - started


def _request(number: int, notes: int) -> ComposeRequest:
    return ComposeRequest(mood=list(Mood)[number % len(Mood)], length_notes=notes, seed=number, tempo_bpm=90)


async def _alone(engine: LocalEngine, rounds: int, first_s: float) -> Alone:
    totals, writing, rendering, reported = [], [], [], []
    for number in range(1, rounds + 1):
        heard: list[float] = []
        started = time.perf_counter()

        def hear(_: Progress, heard: list[float] = heard) -> None:
            heard.append(time.perf_counter())

        piece = await engine.compose(_request(number, LENGTH_NOTES), hear)
        totals.append(time.perf_counter() - started)
        reported.append(heard[0] - started)
        writing.append(piece.sampling_s)
        rendering.append(piece.rendering_s)
        await asyncio.to_thread(piece.wav.unlink)
    median = statistics.median
    others = [total - w - r for total, w, r in zip(totals, writing, rendering, strict=True)]
    stages = {"notes": writing, "sound, picture and files": rendering, "other": others}
    return Alone(
        LENGTH_NOTES,
        rounds,
        round(median(totals), 3),
        round(median(writing), 4),
        round(median(rendering), 3),
        round(median(others), 4),
        {name: round(sum(took) / sum(totals), 4) for name, took in stages.items()},
        round(1000 * median(reported), 2),
        round(first_s, 2),
    )


async def _crowd(engine: LocalEngine, size: int, notes: int) -> Crowd:
    loop = asyncio.get_running_loop()
    stalls, running = [0.0], True
    finished: list[tuple[float, str]] = []
    spent_s = 0.0

    async def heartbeat() -> None:
        while running:
            before = loop.time()
            await asyncio.sleep(0.002)
            stalls.append(loop.time() - before - 0.002)

    async def one(number: int, person: str) -> None:
        piece = await engine.compose(_request(1000 + number, notes), lambda _: None, server="one", person=person)
        finished.append((loop.time() - started, person))
        await asyncio.to_thread(piece.wav.unlink)

    greedy = -(-size // 2)
    people = [_PEOPLE[0] if number < greedy else _PEOPLE[1 + number % 3] for number in range(size)]
    beat = asyncio.create_task(heartbeat())
    for first in range(0, max(size, len(Mood)), size):
        started = loop.time()
        await asyncio.gather(*(one(first + number, person) for number, person in enumerate(people)))
        spent_s += max(seconds for seconds, _ in finished[-size:])
    running = False
    await beat
    times = sorted(seconds for seconds, _ in finished)
    half = [person for _, person in sorted(finished)[: size // 2]]
    had = [half.count(person) for person in _PEOPLE]
    return Crowd(
        size,
        notes,
        round(60 * len(times) / spent_s, 1),
        round(statistics.median(times), 2),
        round(times[math.ceil(0.95 * len(times)) - 1], 2),
        round(sum(had) ** 2 / (len(had) * sum(h * h for h in had)), 3) if size >= 8 else None,
        round(1000 * max(stalls), 1),
    )
