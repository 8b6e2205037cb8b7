"""Notes per second of processor time, one thread: the usual way, ours at each precision, and other projects' models.

    python -m benchmarks engine [--json] [--rounds N] [--gpu] [--checkpoint FOLDER] [--plot FILE.svg]
    python -m benchmarks engine --table FILE.json [--gpu]

All variants take turns in each round, so that other work on the machine meets all of them; medians over rounds are
given, and of the ratios to `usual` in the same round. Processor time, since the machine may be shared. Ours are asked
for temperature 0.9 and top-p 0.95. `default` is what the engine uses on this CPU; `continuous` is `default` through the
batcher, saturated with pieces of 50 to 350 notes, beside `static`, the same slots filled with pieces of one length,
and `padded`, where a batch of 50 to 350 notes is written as long as its longest piece and what is too much thrown away.
With guidance, `usual` and `nn.LSTM, one step` have each piece in their batch twice too; only the cache is not in them.

Where there is a GPU, `cuda, float32` and `cuda, float16` are measured by the clock on the wall and at larger batches,
with the ratio to `usual` on the CPU at the same batch or the largest, and as shares of what the GPU's memory and its
arithmetic allow at most (`benchmarks.limits`); so are three layers of 384 units alone, without cache or guidance. By
that clock `continuous` and its two companions are measured too, with as many slots as the engine has there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from benchmarks.command import at_least_one, from_file, write
from benchmarks.limits import copying, gemm, step_bytes, step_flops
from benchmarks.plot import bars
from benchmarks.usual import Stepper, one_step, skuldur, transformer, usual
from data.tokens import IntArray
from engine.batching.batcher import Batcher
from engine.batching.layout import Precision
from engine.batching.native import NativeSlots
from engine.batching.slots import Slots, open_slots, ways
from engine.batching.torch_slots import TorchSlots
from engine.batching.writing import SWITCH_S
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.errors import SetupProblem
from engine.garbage import keep_loaded
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.native.build import NoCompiler
from engine.plan import plan
from engine.types import LENGTH_NOTES_DEFAULT, ComposeRequest

BATCHES = (1, 8, 64)
GPU_BATCHES = (1, 64, 1024, 16384)
_AT_LEAST_S = 0.12  # of one measurement
_STEPS_MIN = 10  # and so many steps at least: the fewest in which the transformer's 4.3 tokens a note come out whole


@dataclasses.dataclass(frozen=True)
class Row:
    """One variant at one batch size."""

    variant: str
    batch: int
    notes_per_s: float
    ratio: float | None = None  # to `usual` at the same batch size; of another model there is none
    # Of the rate at which the bytes and the FLOPs of a note, counted by hand, would be all that takes time.
    share_of_memory: float | None = None
    share_of_arithmetic: float | None = None


class _Ours:
    """A stepper whose slots are always full: a piece as long as people ask for ends, and is begun again.

    What a note costs grows with the notes that its piece's cache has kept.
    """

    def __init__(self, slots: Slots, batch: int) -> None:
        self._slots, self._batch = slots, batch
        self._left = 0

    def __call__(self, steps: int) -> None:
        while steps > 0:
            if self._left == 0:
                for slot in range(self._batch):
                    request = ComposeRequest(length_notes=LENGTH_NOTES_DEFAULT, seed=slot)
                    self._slots.begin(slot, request, plan(request))
                self._left = LENGTH_NOTES_DEFAULT
            now = min(steps, self._left, 16)
            self._slots.run(now)
            self._left -= now
            steps -= now


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="./run bench engine", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N", help="rounds (default 5)")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT, help="a checkpoint folder")
    parser.add_argument("--gpu", action="store_true", help="only what a GPU adds, and `usual`")
    parser.add_argument("--plot", type=Path, help="draw the results into this SVG file")
    parser.add_argument("--table", type=Path, metavar="FILE", help="no measurement: the table of what --json gave")
    options = parser.parse_args(arguments)
    if options.table:

        def show(found: dict[str, Any]) -> str:
            if options.plot:
                _draw([Row(**each) for each in found["rows"]], options.plot)
            return gpu_table(found) if options.gpu else table(found)

        sys.stdout.write(from_file(options.table, show))
        return 0
    if options.gpu and not torch.cuda.is_available():
        raise SetupProblem("There is no GPU here that PyTorch can use; without --gpu the CPU is measured.")
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(options.checkpoint)
    with torch.inference_mode():
        rows = measure(checkpoint, options.rounds, only=("usual",) if options.gpu else ())
        if not options.gpu:
            rows += continuous(checkpoint, rows, options.rounds)
        if torch.cuda.is_available():
            rows += on_device(checkpoint, rows, options.rounds)
            rows += on_device(bare(), [], options.rounds, kinds={"float16, 3 x 384 alone": torch.float16})
            rows += continuous(checkpoint, rows, options.rounds, "cuda", time.perf_counter)
    if options.json:
        facts = {"clock": "cpu", "threads": 1, "rounds": options.rounds, "checkpoint": checkpoint.id}
        if torch.cuda.is_available():
            facts |= {"gpu": torch.cuda.get_device_name(), "gpu_clock": "wall"}
        sys.stdout.write(json.dumps(facts | {"rows": [_facts(row) for row in rows]}) + "\n")
    else:
        for row in rows:
            ratio = "" if row.ratio is None else f"{row.ratio:9.2f} x"
            sys.stdout.write(f"{row.variant:28s} x{row.batch:<3d} {row.notes_per_s:12,.0f} notes/s {ratio}\n")
    if options.plot:
        _draw(rows, options.plot)
    return 0


def _draw(rows: list[Row], path: Path) -> None:
    """The rates of each variant as bars, in an SVG file."""
    by_variant: dict[str, list[float | None]] = {
        row.variant: [None] * len(BATCHES) for row in rows if not row.variant.startswith("cuda")
    }
    for row in rows:
        if row.batch in BATCHES and row.variant in by_variant:
            by_variant[row.variant][BATCHES.index(row.batch)] = row.notes_per_s
    series = [f"{batch} at once" for batch in BATCHES]
    write(path, bars("Notes per second of one CPU core", series, by_variant))


def table(found: dict[str, Any]) -> str:
    """Rates and ratios in Markdown, out of the JSON: a line for each variant that was measured at every batch."""
    by_variant: dict[str, dict[int, Row]] = {}
    for row in (Row(**each) for each in found["rows"]):
        by_variant.setdefault(row.variant, {})[row.batch] = row
    first, *others = BATCHES
    lines = [
        f"| variant | batch {first} | {' | '.join(map(str, others))} |",
        f"|---|{'---:|' * len(BATCHES)}",
    ]
    complete = {name: rows for name, rows in by_variant.items() if rows.keys() >= set(BATCHES)}
    for name, rows in sorted(complete.items(), key=lambda each: (each[0] != "default", -each[1][first].notes_per_s)):
        cells = (f"{rows[batch].notes_per_s:,.0f} ({rows[batch].ratio:g}x)" for batch in BATCHES)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def gpu_table(found: dict[str, Any]) -> str:
    """Rates of a GPU in Markdown, with their shares of what its memory and its arithmetic allow."""
    rows = [Row(**each) for each in found["rows"] if "share_of_memory" in each]
    first, *others = sorted({row.batch for row in rows})
    lines = [
        f"| variant | {first} slot | {' | '.join(f'{n:,}' for n in others)} |",
        f"|---|{'---:|' * (1 + len(others))}",
    ]
    by_variant: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: row.batch):
        shares = (f"{100 * (share or 0):.2g} %" for share in (row.share_of_memory, row.share_of_arithmetic))
        by_variant.setdefault(row.variant, []).append(f"{row.notes_per_s:,.0f} ({', '.join(shares)})")
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in by_variant.items()]
    return "\n".join(lines) + "\n"


def variants(checkpoint: Checkpoint, batch: int, only: Sequence[str] = ()) -> dict[str, Stepper]:
    """Everything that is compared at one batch size, or some of it, ready to step."""
    model = NoteLSTM.of(checkpoint)

    def compiled(precision: Precision) -> Stepper:
        return _Ours(NativeSlots(checkpoint, batch, precision=precision), batch)

    makers: dict[str, Callable[[], Stepper]] = {
        "usual": lambda: usual(model, batch),
        "nn.LSTM, one step": lambda: one_step(model, batch),
        "float32": lambda: compiled("float32"),
        "int8": lambda: compiled("int8"),
        "torch": lambda: _Ours(TorchSlots(checkpoint, batch, block=16), batch),
        "default": lambda: _Ours(open_slots(ways(checkpoint, batch, "cpu")), batch),
        "transformer 6 x 512": lambda: transformer(batch),
        "Skuldur, LSTM 3 x 512": lambda: skuldur(batch),
    }
    steppers = {}
    for name, make in makers.items():
        if not only or name in only:
            try:
                steppers[name] = make()
            except NoCompiler as problem:
                sys.stderr.write(f"{name} is left out: {problem}\n")
    return steppers


def bare() -> Checkpoint:
    """Three layers of 384 units, no cache, no guidance; random weights, on which speed does not depend."""
    torch.manual_seed(1)
    model = NoteLSTM(ModelConfig(hidden=384, layers=3)).eval()
    return Checkpoint.of("bare-0", model, {"limits": {"longest_pitch_run": 8}})


def measure(checkpoint: Checkpoint, rounds: int, only: Sequence[str] = ()) -> list[Row]:
    """Every variant, or some, at every batch size, in turns."""
    steppers = {batch: variants(checkpoint, batch, only) for batch in BATCHES}
    steps: dict[tuple[str, int], int] = {}
    rates: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds + 1):  # the first only finds out how many steps are worth timing
        for batch, each in steppers.items():
            for name, stepper in each.items():
                count = steps.get((name, batch), _STEPS_MIN)
                rate = batch * count / _seconds(partial(stepper, count))
                while turn == 0 and count < (1 << 20) and batch * count / rate < _AT_LEAST_S:
                    count *= 2
                    rate = batch * count / _seconds(partial(stepper, count))
                steps[name, batch] = count
                if turn:
                    rates.setdefault((name, batch), []).append(rate)
    rows = []
    for (name, batch), measured in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(measured, rates["usual", batch], strict=True)]
        rows.append(Row(name, batch, round(statistics.median(measured), 1), round(statistics.median(ratios), 2)))
    return sorted(rows, key=lambda row: (row.batch, row.notes_per_s))


def continuous(
    checkpoint: Checkpoint,
    rows: list[Row],
    rounds: int = 5,
    device: str = "cpu",
    clock: Callable[[], float] = time.process_time,
) -> list[Row]:
    """Through the batcher, more pieces waiting than fit, beside the same slots filled once: what joining costs.

    Both in turns, with pieces of 50 to 350 notes and of 200. `continuous` counts everything that serving takes, the
    requests and the results included, and the end, when the batch runs empty. It is a closed loop: twice as many
    people as there are slots, each of whom asks for the next piece as soon as one is there.
    """
    slots = open_slots(ways(checkpoint, max(BATCHES), device))
    batch = max(BATCHES) if device == "cpu" else slots.count
    fillings = 20 if device == "cpu" else 80  # a second or two of either
    wanted = [ComposeRequest(length_notes=50 + 97 * n % 301, seed=n) for n in range(fillings * batch)]
    filled = [ComposeRequest(length_notes=200, seed=n) for n in range(batch)]
    decided = {request.seed: plan(request) for request in wanted}

    def serve() -> None:
        todo, left, failed, all_done = iter(wanted), len(wanted), list[BaseException](), threading.Event()

        def ask() -> None:
            if request := next(todo, None):
                batcher.submit(request, decided[request.seed]).future.add_done_callback(ask_again)

        def ask_again(before: Future[list[IntArray]]) -> None:
            nonlocal left
            left -= 1
            if problem := before.exception():
                failed.append(problem)
            ask()
            if not left:
                all_done.set()

        for _ in range(2 * batch):
            ask()
        all_done.wait()
        if failed:
            raise failed[0]

    def fill() -> None:
        for _ in range(fillings):
            for slot, request in enumerate(filled):
                slots.begin(slot, request, decided[request.seed])
            while slots.run(slots.chunk_notes // batch):
                pass

    def pad() -> None:
        for first in range(0, len(wanted), batch):
            few = wanted[first : first + batch]
            longest = max(request.length_notes for request in few)
            for slot, request in enumerate(few):
                slots.begin(slot, dataclasses.replace(request, length_notes=longest), decided[request.seed])
            while slots.run(slots.chunk_notes // batch):
                pass

    sys.setswitchinterval(SWITCH_S)  # both as where the engine writes
    keep_loaded()
    batcher = Batcher(lambda: open_slots(ways(checkpoint, max(BATCHES), device)))
    asked = sum(request.length_notes for request in wanted)
    notes = {serve: asked, fill: fillings * 200 * batch, pad: asked}
    rates = [{work: notes[work] / _seconds(work, clock) for work in notes} for _ in range(rounds)]
    batcher.close()
    usual_rate = next(row.notes_per_s for row in rows if (row.variant, row.batch) == ("usual", max(BATCHES)))
    medians = {work: statistics.median(rate[work] for rate in rates) for work in notes}
    where = "" if device == "cpu" else f"{device}, "
    return [
        Row(f"{where}{name}", batch, round(medians[work], 1), round(medians[work] / usual_rate, 2))
        for name, work in (
            ("continuous, 50 to 350 notes", serve),
            ("static, 200 notes", fill),
            ("padded, 50 to 350 notes", pad),
        )
    ]


def on_device(
    checkpoint: Checkpoint,
    rows: list[Row],
    rounds: int,
    device: str = "cuda",
    batches: Sequence[int] = GPU_BATCHES,
    notes: int = LENGTH_NOTES_DEFAULT,
    kinds: Mapping[str, torch.dtype] = MappingProxyType({"float32": torch.float32, "float16": torch.float16}),
    **options: int,
) -> list[Row]:
    """Slots that a GPU steps, all of them filled with pieces of so many notes: wall time, the filling left out.

    Args:
        checkpoint: the model.
        rows: what was measured before.
        rounds: medians of so many.
        device: anything but "cuda" where Triton interprets its kernels.
        batches: how many pieces at once.
        notes: of each.
        kinds: what to call each precision that is measured.
        options: of `GpuSlots`.
    """
    from engine.batching.gpu.slots import GpuSlots  # noqa: PLC0415 -- PyTorch for a CPU has no Triton

    usual_rates = {row.batch: row.notes_per_s for row in rows if row.variant == "usual"}  # none of another model
    found = []
    config, on = checkpoint.config, torch.device(device)
    bytes_per_s = copying(on)()
    for kind, dtype in kinds.items():
        flops_per_s = max(square() for square in gemm(on, dtype))
        for batch in batches:
            try:
                slots = GpuSlots(checkpoint, batch, device=device, dtype=dtype, **options)
            except torch.OutOfMemoryError as problem:
                sys.stderr.write(f"{device} at {batch} is left out: {problem}\n")
                continue
            rates = []
            for _ in range(rounds + 1):  # the first warms up
                for slot in range(batch):
                    request = ComposeRequest(length_notes=notes, seed=slot)
                    slots.begin(slot, request, plan(request))
                started, written = time.perf_counter(), 0
                while now := slots.run(notes):
                    written += now
                rates.append(written / (time.perf_counter() - started))
            rate, beside = statistics.median(rates[1:]), usual_rates.get(batch, usual_rates.get(max(BATCHES)))
            steps_per_s = rate / batch
            moved, computed = step_bytes(config, batch, dtype, notes // 2), step_flops(config, batch, notes // 2)
            found.append(
                Row(
                    f"{device}, {kind}",
                    batch,
                    round(rate, 1),
                    None if beside is None else round(rate / beside, 2),
                    round(steps_per_s * moved / bytes_per_s, 4),
                    round(steps_per_s * computed / flops_per_s, 4),
                )
            )
            del slots  # or the next would find its memory taken
    return found


def _facts(row: Row) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(row).items() if value is not None}


def _seconds(work: Callable[[], None], clock: Callable[[], float] = time.process_time) -> float:
    started = clock()
    work()
    return max(clock() - started, 1e-9)
