"""How fast a score becomes sound, against midi2audio alone; and whether it is always the same sound.

    python -m benchmarks.sound [--json] [--rounds N]    seconds, ratio and memory for pieces of 60, 120 and 240 s
    python -m benchmarks.sound --check                  bit-identical files from any worker, alone and in parallel

Ours: score -> MIDI, mastered WAV, OGG Vorbis and picture, in a worker process as the bot keeps one: warm, but nothing
of the piece was ever seen before. Theirs: midi2audio 0.1.1 with the same soundfont writes its raw WAV from a MIDI file
that exists already. Rounds are interleaved, so that other work on the machine meets both; medians are given.

Pieces: the first 60, 120 and 240 s of a piece by the project's composer, of ordinary density.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Self

import midi2audio
import soundfile

from data.composer.piece import compose_piece
from data.midi import write_midi
from data.moods import Mood
from data.score import Note, Score
from engine.render.fluidsynth import SAMPLE_RATE_HZ
from engine.render.roll import draw_roll
from engine.render.soundfont import find_soundfont
from engine.render.worker import RenderJob, ready, render_job, start_worker

SECONDS = (60, 120, 240)
_NOTES_PER_S = (2.3, 3.2)  # the middle half of 96 pieces by the composer, twelve of each mood
_PARALLEL = 3
_PICTURES = 9


@dataclasses.dataclass(frozen=True)
class Row:
    """One length."""

    seconds: int
    notes: int
    ours_s: float
    midi2audio_s: float
    ratio: float
    first_s: float
    picture_ms: float
    peak_mb: float


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; the exit status is 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="bench sound", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--check", action="store_true", help="prove that the same score always gives the same bytes")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of each length (default 5)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="musiclstm-bench-") as name, _quiet():
        folder = Path(name)
        piece = _ordinary_piece(max(SECONDS))
        if options.check:
            return _check(_opening(piece, SECONDS[0]), folder, options.json)
        rows = [_measure(_opening(piece, seconds), seconds, options.rounds, folder) for seconds in SECONDS]
    if options.json:
        _say(json.dumps({"pieces": [dataclasses.asdict(row) for row in rows]}))
    else:
        _say("length    notes   ours      midi2audio   ratio   first     picture   memory")
        for row in rows:
            _say(
                f"{row.seconds:4d} s  {row.notes:6d}   {row.ours_s:5.2f} s   {row.midi2audio_s:6.2f} s     "
                f"{row.ratio:4.2f}   {row.first_s:5.2f} s   {row.picture_ms:4.0f} ms   {row.peak_mb:5.0f} MB"
            )
        _say("ours: MIDI, mastered WAV, OGG and picture from a warm worker; first: with the start of the worker")
    return 0


def _measure(score: Score, seconds: int, rounds: int, folder: Path) -> Row:
    midi = folder / f"{seconds}.mid"
    midi.write_bytes(write_midi(score, title="Benchmark"))
    theirs = midi2audio.FluidSynth(str(find_soundfont()), SAMPLE_RATE_HZ)
    ours_s, midi2audio_s = [], []
    started_s = time.perf_counter()
    with _workers(1) as pool:
        pool.submit(render_job, _job(score, folder, "first")).result()
        first_s = time.perf_counter() - started_s
        with _PeakMemory() as peak:  # not timed: watching takes time too
            pool.submit(render_job, _job(score, folder, "watched")).result()
        for _ in range(rounds):
            started_s = time.perf_counter()
            theirs.midi_to_audio(str(midi), str(folder / "theirs.wav"))
            midi2audio_s.append(time.perf_counter() - started_s)
            started_s = time.perf_counter()
            pool.submit(render_job, _job(score, folder, "ours")).result()
            ours_s.append(time.perf_counter() - started_s)
    ours, other = statistics.median(ours_s), statistics.median(midi2audio_s)
    return Row(
        seconds,
        len(score.notes),
        round(ours, 3),
        round(other, 3),
        round(other / ours, 2),
        round(first_s, 3),
        round(_picture_ms(score, folder / "ours.wav"), 1),
        round(peak.mb, 1),
    )


def _picture_ms(score: Score, wav: Path) -> float:
    """Milliseconds of one picture, piano-roll and spectrum, the median of nine."""
    samples, rate_hz = soundfile.read(wav, dtype="float32")
    sound, spent_s = samples.T.copy(), []
    for _ in range(_PICTURES):
        started_s = time.perf_counter()
        draw_roll(score, "Benchmark", Mood.DARK, sound, rate_hz)
        spent_s.append(time.perf_counter() - started_s)
    return 1000 * statistics.median(spent_s)


class _PeakMemory(threading.Thread):
    """Watches the resident memory of this process's descendants (Linux; elsewhere it stays 0).

    `ru_maxrss` of children would count what a child shares with its parent between fork and exec.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mb = 0.0
        self._stop_wanted = threading.Event()

    def run(self) -> None:
        while not self._stop_wanted.wait(0.02):
            self.mb = max(self.mb, sum(map(_resident_mb, _descendants(os.getpid()))))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_wanted.set()
        self.join()


def _descendants(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
        return children + [below for child in children for below in _descendants(child)]
    return []


def _resident_mb(pid: int) -> float:
    with contextlib.suppress(OSError, IndexError):
        # The exclusive share of what several processes map, such as a soundfont, counts once.
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1e3
    return 0.0


def _check(score: Score, folder: Path, as_json: bool) -> int:
    """Alone in one worker, again in the same, and several at once in others: every file must be the same."""
    found: dict[str, str] = {}
    with _workers(1) as pool:
        for name in ("alone", "again"):
            found[name] = _digest(pool, score, folder, name)
    with _workers(_PARALLEL) as pool:
        jobs = [_job(score, folder, f"parallel-{index}") for index in range(2 * _PARALLEL)]
        futures = [(job.name, pool.submit(digest_job, job)) for job in jobs]
        found |= {name: future.result() for name, future in futures}
    same = len(set(found.values())) == 1
    if as_json:
        _say(json.dumps({"same": same, "digests": found}))
    else:
        for name, digest in found.items():
            _say(f"{digest[:16]}  {name}")
        _say("all the same: MIDI, WAV, OGG and picture" if same else "NOT the same")
    return 0 if same else 1


def digest_job(job: RenderJob) -> str:
    """Render, and give one digest of all that came out."""
    rendered = render_job(job)
    whole = hashlib.sha256()
    for data in (rendered.midi, rendered.wav.read_bytes(), rendered.ogg, rendered.roll_png):
        whole.update(hashlib.sha256(data).digest())
    rendered.wav.unlink()
    return whole.hexdigest()


def _digest(pool: ProcessPoolExecutor, score: Score, folder: Path, name: str) -> str:
    return pool.submit(digest_job, _job(score, folder, name)).result()


def _job(score: Score, folder: Path, name: str) -> RenderJob:
    return RenderJob(score, "Benchmark", ("benchmark",), folder, name, Mood.DARK, None, 0)


@contextlib.contextmanager
def _workers(count: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    scratch = tempfile.mkdtemp(prefix="musiclstm-bench-")
    board = context.RawArray("i", 2)
    try:
        with ProcessPoolExecutor(count, context, start_worker, (None, None, board, scratch)) as pool:
            pool.submit(ready).result()
            yield pool
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _ordinary_piece(seconds: float) -> Score:
    for seed in range(1000):
        score = compose_piece(seed).score
        if score.duration_s >= seconds and _NOTES_PER_S[0] < len(score.notes) / score.duration_s < _NOTES_PER_S[1]:
            return score
    raise RuntimeError("no ordinary piece among a thousand")


def _opening(score: Score, seconds: float) -> Score:
    """The first seconds of a piece; notes that sound longer end there."""
    end = round(seconds / score.seconds(1))
    notes = [
        Note(note.start_step, note.part, note.pitch, min(note.duration_steps, end - note.start_step), note.velocity)
        for note in score.notes
        if note.start_step < end
    ]
    return Score(tuple(sorted(notes)), score.tempo_bpm)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send FluidSynth's banner, which midi2audio lets through, nowhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        _OUT.append(kept)
        yield
    finally:
        os.dup2(kept, 1)
        _OUT.pop()
        os.close(kept)


_OUT: list[int] = []  # the real standard output while it is silenced


def _say(line: str) -> None:
    os.write(_OUT[-1] if _OUT else 1, f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
