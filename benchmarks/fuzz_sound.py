"""Mutated files against everything that reads or plays them: no crash, no hang, nothing left behind.

    python -m benchmarks.fuzz_sound [--files N] [--seed S] [--json]

Each file is a good MIDI, WAV, OGG or FLAC of ours with bytes changed, cut, repeated or swapped. MIDI goes through
`read_midi` and, where that accepts it, is cut to its first seconds and rendered; and straight into the hardened
FluidSynth, which never sees such a file in the bot. Every file goes through `read_recipe`. The work is done in a child
process in batches, so that a crash or a hang of a parser is seen, named and survived.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from benchmarks.command import at_least_one, told
from data.errors import InvalidMidi, MusicLSTMError
from data.midi import read_midi, write_midi
from data.moods import Mood
from data.score import Note, Part, Score, trim_overlaps
from data.spaces import Space
from engine.render import Renderer, fit, read_recipe
from engine.render.fluidsynth import FluidSynth, Stem
from engine.render.soundfont import find_soundfont

_BATCH = 50
_SLOW_S = 75.0  # longer than any deadline in the renderer: a hang
_BATCH_SLOW_S = 900.0  # a batch takes seconds: a hang that comes back never
_PLAYED_S = 1.0  # of an accepted file: its parser is what is tested, and music costs time
_SPAN_STEPS = 48
_DIRECT_FRAMES = 44_100


def main(arguments: list[str] | None = None) -> int:
    """Run the fuzzer; the exit status is 1 when anything crashed, hung or left a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_sound", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=at_least_one, default=5000, metavar="N", help="mutated files (default 5000)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (default 0)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    outcomes: collections.Counter[str] = collections.Counter()
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="musiclstm-fuzz-") as name:
        folder = Path(name)
        sources = [str(path) for path in _good_files(folder / "good")]
        pool = _pool()
        for first in range(0, options.files, _BATCH):
            indices = range(first, min(options.files, first + _BATCH))
            try:
                outcomes.update(pool.submit(fuzz, sources, options.seed, indices, name).result(_BATCH_SLOW_S))
            except (BrokenProcessPool, TimeoutError) as problem:
                what = "HUNG" if isinstance(problem, TimeoutError) else "CRASHED"
                outcomes[what] += 1
                among = f"files {indices.start} to {indices.stop - 1}, seed {options.seed}"
                sys.stderr.write(f"{what.lower()} among {among}\n")
                for child in multiprocessing.active_children():
                    child.kill()
                pool.shutdown()
                pool = _pool()
        pool.shutdown()
    bad = sum(count for outcome, count in outcomes.items() if outcome.isupper())
    result = {"files": options.files, "seconds": round(time.perf_counter() - started_s, 1), "outcomes": dict(outcomes)}
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        for outcome, count in sorted(outcomes.items(), key=lambda pair: -pair[1]):
            sys.stdout.write(f"{count:6d}  {outcome}\n")
        sys.stdout.write(f"{options.files} files in {result['seconds']} s: {'PROBLEMS' if bad else 'no problem'}\n")
    return 1 if bad else 0


def fuzz(sources: list[str], seed: int, indices: range, folder_name: str) -> dict[str, int]:
    """Try the mutations with these numbers; what happened to how many. Upper case: what must not happen."""
    folder = Path(folder_name) / "work"
    folder.mkdir(exist_ok=True)
    scratch = Path(folder_name) / "scratch"
    scratch.mkdir(exist_ok=True)
    tempfile.tempdir = str(scratch)
    renderer = Renderer()
    outcomes: collections.Counter[str] = collections.Counter()
    for index in indices:
        generator = random.Random(f"{seed}/{index}")
        source = Path(generator.choice(sources))
        data = mutated(source.read_bytes(), generator)
        started_s = time.monotonic()
        try:
            outcomes[_try(data, source.suffix, renderer, folder, direct=index % 10 == 0)] += 1
        except Exception as error:
            outcomes["CRASHED"] += 1
            sys.stderr.write(f"file {index}, seed {seed}: {error!r}\n")
        if time.monotonic() - started_s > _SLOW_S:
            outcomes["HUNG"] += 1
            sys.stderr.write(f"file {index}, seed {seed}: {time.monotonic() - started_s:.0f} s\n")
        for left in [*folder.iterdir(), *scratch.iterdir()]:
            outcomes["LEFT SOMETHING BEHIND"] += 1
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return dict(outcomes)


def mutated(data: bytes, generator: random.Random) -> bytes:
    """A damaged copy: one to four changes of bytes, cuts, repetitions, swaps and absurd numbers."""
    out = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        # Headers are what parsers trust: a quarter of all damage is done there.
        reach = len(out) if generator.random() < 0.75 else min(len(out), 64)
        at = generator.randrange(max(1, reach))
        length = generator.randint(1, 64)
        match generator.randrange(7):
            case 0:
                out[at : at + 1] = bytes((generator.randrange(256),))
            case 1:
                out[at : at + 1] = bytes((out[at] ^ 1 << generator.randrange(8) if at < len(out) else 0,))
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = out[at : at + length]
            case 4:
                out[at : at + length] = generator.randbytes(length)
            case 5:
                out[at : at + 4] = generator.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
            case _:
                del out[at + length * 16 :]
    return bytes(out)


def _try(data: bytes, suffix: str, renderer: Renderer, folder: Path, *, direct: bool) -> str:
    recipe = read_recipe(data)
    if suffix != ".mid":
        return "recognised" if recipe is not None else "not recognised"
    if direct:
        # Around read_midi: FluidSynth itself has to meet the bytes, and may fail, but only in the way that is promised.
        with contextlib.suppress(MusicLSTMError):
            collections.deque(FluidSynth([find_soundfont()]).blocks([Stem(data)], _DIRECT_FRAMES), maxlen=0)
    try:
        score = read_midi(data).score
        notes = [note for note in score.notes if score.seconds(note.start_step) < _PLAYED_S]
        notes = [Note(n.start_step, n.part, n.pitch, min(n.duration_steps, _SPAN_STEPS), n.velocity) for n in notes]
        if not notes:
            return "accepted, begins late"
        rendered = renderer.render(
            Score(trim_overlaps(tuple(notes)), score.tempo_bpm),
            title="fuzz",
            recipe=(),
            folder=folder,
            name="fuzz",
            mood=Mood.DARK,
            space=Space.DRY,
        )
    except InvalidMidi:
        return "refused"
    except MusicLSTMError as error:
        return f"render refused: {type(error).__name__}"
    else:
        rendered.wav.unlink()
        return "played"


def _good_files(folder: Path) -> list[Path]:
    """One good file of each kind, small."""
    folder.mkdir()
    generator = random.Random(1)
    notes = tuple(
        sorted(
            Note(generator.randrange(30), part, generator.randrange(40, 80), generator.randint(3, 24), 80)
            for part in Part
            for _ in range(2)
        )
    )
    score = Score(trim_overlaps(notes), 120.0)
    rendered = Renderer().render(
        score, title="Good", recipe=("seed:1",), folder=folder, name="good", mood=Mood.DARK, space=Space.DRY
    )
    files = {"good.mid": rendered.midi, "good.ogg": rendered.ogg}
    files |= {"other.mid": write_midi(score, title="ü" * 200, texts=["x" * 500] * 20)}
    flac = fit(rendered.wav, rendered.wav.stat().st_size // 2).content
    files["good.flac"] = flac if isinstance(flac, bytes) else flac.read_bytes()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "good.wav").write_bytes(rendered.wav.read_bytes()[:20_000])
    # MIDI is what most parsers meet: three of four mutations are of it.
    midi = [folder / "good.mid", folder / "other.mid"]
    return [*midi * 5, folder / "good.ogg", folder / "good.flac", folder / "good.wav"]


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


if __name__ == "__main__":
    sys.exit(told(main))
