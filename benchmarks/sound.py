"""How fast a score becomes sound, against midi2audio alone; and whether it is always the same sound.

    python -m benchmarks.sound [--json] [--rounds N]    seconds, ratio and memory for pieces of 60, 120 and 240 s
    python -m benchmarks.sound --check                  bit-identical files from any worker, alone and in parallel

Ours: score -> MIDI, mastered WAV, OGG Vorbis and picture, in a worker process. Theirs: midi2audio 0.1.1 with the same
soundfont writes its raw WAV from a MIDI file that exists already. Rounds are interleaved, so that other work on the
machine meets all; medians are given. Nothing of a piece is kept between renders; how cold it is otherwise:

- `ours_s`: a worker as the bot has one, started before the request and busy with other pieces since.
- `first_s`: the first piece ever of such a worker.
- `new_process_s`: the first piece of a worker that is started for it, from before its process exists: the start of
  Python, all imports, the room.

What is made once for a machine, the sound bank and the excerpt of the soundfont, is there in each.

Pieces: the first 60, 120 and 240 s of a piece by the project's composer, of ordinary density.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import midi2audio
import soundfile

from benchmarks import sound_worker
from benchmarks.command import at_least_one, told
from benchmarks.sound_memory import PeakMemory
from data.midi import write_midi
from data.moods import Mood
from data.score import Note, Score
from engine.render.fluidsynth import SAMPLE_RATE_HZ
from engine.render.roll import draw_roll
from engine.render.soundfont import find_soundfont
from engine.render.worker import RenderJob, prepare

SECONDS = (60, 120, 240)
_NOTES_PER_S = (2.3, 3.2)  # the middle half of 96 pieces by the composer, twelve of each mood
_PARALLEL = 3
_PICTURES = 9


@dataclasses.dataclass(frozen=True)
class Row:
    """One length. Ratios are of what midi2audio takes; CPU seconds are those of all processes, theirs included."""

    seconds: int
    notes: int
    ours_s: float
    midi2audio_s: float
    ratio: float
    first_s: float
    new_process_s: float
    new_process_ratio: float
    ours_cpu_s: float
    midi2audio_cpu_s: float
    picture_ms: float
    peak_mb: float


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; the exit status is 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="./run bench sound", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--check", action="store_true", help="prove that the same score always gives the same bytes")
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N", help="rounds of each length (default 5)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="musiclstm-bench-") as name, _quiet():
        folder = Path(name)
        piece = _ordinary_piece(max(SECONDS))
        if options.check:
            return _check(opening(piece, SECONDS[0]), folder, options.json)
        rows = [_measure(opening(piece, seconds), seconds, options.rounds, folder) for seconds in SECONDS]
        font = find_soundfont().name
    if options.json:
        _say(json.dumps({"soundfont": font, "pieces": [dataclasses.asdict(row) for row in rows]}))
    else:
        _say("length    notes   midi2audio   ours     ratio   first    new process   ratio   picture   memory")
        for row in rows:
            _say(
                f"{row.seconds:4d} s  {row.notes:6d}   {row.midi2audio_s:8.2f} s   "
                f"{row.ours_s:5.2f} s   {row.ratio:4.2f}   {row.first_s:5.2f} s   "
                f"{row.new_process_s:8.2f} s    {row.new_process_ratio:4.2f}"
                f"   {row.picture_ms:4.0f} ms   {row.peak_mb:5.0f} MB"
            )
        _say(f"ours: MIDI, mastered WAV, OGG and picture from a warm worker; first: its first piece; all with {font}")
    return 0


def _measure(score: Score, seconds: int, rounds: int, folder: Path) -> Row:
    midi = folder / f"{seconds}.mid"
    midi.write_bytes(write_midi(score, title="Benchmark"))
    theirs = midi2audio.FluidSynth(str(find_soundfont()), SAMPLE_RATE_HZ)
    spent_s: dict[str, list[float]] = collections.defaultdict(list)

    @contextlib.contextmanager
    def timed(name: str) -> Iterator[None]:
        started_s, children_s = time.perf_counter(), sound_worker.children_s()
        yield
        spent_s[name].append(time.perf_counter() - started_s)
        spent_s[name + " cpu"].append(sound_worker.children_s() - children_s)

    with _workers(1) as warm:
        warm.submit(sound_worker.render, _job(score, folder, "first")).result()
        with PeakMemory() as peak:  # not timed: watching takes time too
            warm.submit(sound_worker.render, _job(score, folder, "watched")).result()
        for _ in range(rounds):
            with timed("theirs"):
                theirs.midi_to_audio(str(midi), str(folder / "theirs.wav"))
            with timed("ours"):
                cpu_s = warm.submit(sound_worker.cpu, _job(score, folder, "ours")).result()
            spent_s["ours cpu"][-1] = cpu_s  # of a child that lives on, the system tells no times
            with _workers(1, prepared=False) as new, timed("new process"):
                new.submit(sound_worker.render, _job(score, folder, "new")).result()
            with _workers(1) as started, timed("first"):
                started.submit(sound_worker.render, _job(score, folder, "first")).result()
    median_s = {name: statistics.median(values) for name, values in spent_s.items()}
    return Row(
        seconds=seconds,
        notes=len(score.notes),
        ours_s=round(median_s["ours"], 3),
        midi2audio_s=round(median_s["theirs"], 3),
        ratio=round(median_s["theirs"] / median_s["ours"], 2),
        first_s=round(median_s["first"], 3),
        new_process_s=round(median_s["new process"], 3),
        new_process_ratio=round(median_s["theirs"] / median_s["new process"], 2),
        ours_cpu_s=round(median_s["ours cpu"], 3),
        midi2audio_cpu_s=round(median_s["theirs cpu"], 3),
        picture_ms=round(_picture_ms(score, folder / "ours.wav"), 1),
        peak_mb=round(peak.mb, 1),
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


def _check(score: Score, folder: Path, as_json: bool) -> int:
    """Alone in one worker, again in the same, and several at once in others: every file must be the same."""
    found: dict[str, str] = {}
    with _workers(1) as pool:
        for name in ("alone", "again"):
            found[name] = _digest(pool, score, folder, name)
    with _workers(_PARALLEL) as pool:
        jobs = [_job(score, folder, f"parallel-{index}") for index in range(2 * _PARALLEL)]
        futures = [(job.name, pool.submit(sound_worker.digest, job)) for job in jobs]
        found |= {name: future.result() for name, future in futures}
    same = len(set(found.values())) == 1
    if as_json:
        _say(json.dumps({"same": same, "digests": found}))
    else:
        for name, digest in found.items():
            _say(f"{digest[:16]}  {name}")
        _say("all the same: MIDI, WAV, OGG and picture" if same else "NOT the same")
    return 0 if same else 1


def _digest(pool: ProcessPoolExecutor, score: Score, folder: Path, name: str) -> str:
    return pool.submit(sound_worker.digest, _job(score, folder, name)).result()


def _job(score: Score, folder: Path, name: str) -> RenderJob:
    return RenderJob(score, "Benchmark", ("benchmark",), folder, name, Mood.DARK, None, 0)


@contextlib.contextmanager
def _workers(count: int, *, prepared: bool = True) -> Iterator[ProcessPoolExecutor]:
    """Workers as `RenderPool` has them: prepared for the first piece, or not even started."""
    context = multiprocessing.get_context("spawn")
    scratch = tempfile.mkdtemp(prefix="musiclstm-bench-")
    board = context.RawArray("i", 2)
    try:
        with ProcessPoolExecutor(count, context, sound_worker.start, (board, scratch)) as pool:
            if prepared:
                pool.submit(prepare).result()
            yield pool
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _ordinary_piece(seconds: float) -> Score:
    # Not with the others: a new worker imports this module where it is the program, and nobody's bot has it there.
    from data.composer.piece import compose_piece  # noqa: PLC0415

    for seed in range(1000):
        score = compose_piece(seed).score
        if score.duration_s >= seconds and _NOTES_PER_S[0] < len(score.notes) / score.duration_s < _NOTES_PER_S[1]:
            return score
    raise RuntimeError("no ordinary piece among a thousand")


def opening(score: Score, seconds: float) -> Score:
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
    sys.exit(told(main))
