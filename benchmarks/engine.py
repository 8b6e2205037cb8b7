"""Notes per second of processor time, one thread: the usual way, ours at each precision, and other projects' models.

    python -m benchmarks engine [--json] [--rounds N] [--plot FILE.svg]

All variants take turns in each round, so that other work on the machine meets all of them; medians over rounds are
given, and of the ratios to `usual` in the same round. Processor time, since the machine may be shared. Ours are asked
for temperature 0.9 and top-p 0.95. `default` is what the engine uses on this machine; `continuous` is `default` through
the batcher, saturated with pieces of 50 to 350 notes, beside `static`, the same slots filled with pieces of one length.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.plot import bars
from benchmarks.usual import Stepper, one_step, skuldur, transformer, usual
from engine.batching.batcher import Batcher
from engine.batching.layout import Precision
from engine.batching.native import NativeSlots
from engine.batching.slots import Slots, open_slots, ways
from engine.batching.torch_slots import TorchSlots
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.native.build import NoCompiler
from engine.plan import plan
from engine.types import LENGTH_NOTES_DEFAULT, ComposeRequest

BATCHES = (1, 8, 64)
_AT_LEAST_S = 0.12  # of one measurement


@dataclasses.dataclass(frozen=True)
class Row:
    """One variant at one batch size."""

    variant: str
    batch: int
    notes_per_s: float
    ratio: float  # to `usual` at the same batch size


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
    parser = argparse.ArgumentParser(prog="bench engine", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds (default 5)")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT, help="a checkpoint folder")
    parser.add_argument("--plot", type=Path, help="draw the results into this SVG file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(options.checkpoint)
    with torch.inference_mode():
        rows = measure(checkpoint, options.rounds)
        rows += continuous(checkpoint, rows)
    if options.plot:
        by_variant: dict[str, list[float | None]] = {row.variant: [None] * len(BATCHES) for row in rows}
        for row in rows:
            by_variant[row.variant][BATCHES.index(row.batch)] = row.notes_per_s
        series = [f"{batch} at once" for batch in BATCHES]
        options.plot.write_text(bars("Notes per second of one CPU core", series, by_variant), encoding="utf-8")
    if options.json:
        facts = {"clock": "cpu", "threads": 1, "rounds": options.rounds, "checkpoint": checkpoint.id}
        sys.stdout.write(json.dumps(facts | {"rows": [dataclasses.asdict(row) for row in rows]}) + "\n")
    else:
        for row in rows:
            sys.stdout.write(
                f"{row.variant:28s} x{row.batch:<3d} {row.notes_per_s:12,.0f} notes/s {row.ratio:9.2f} x\n"
            )
    return 0


def variants(checkpoint: Checkpoint, batch: int) -> dict[str, Stepper]:
    """Everything that is compared at one batch size, ready to step."""
    model = checkpoint.model
    steppers: dict[str, Stepper] = {"usual": usual(model, batch), "nn.LSTM, one step": one_step(model, batch)}
    compiled: tuple[Precision, ...] = ("float32", "int8")
    for precision in compiled:
        try:
            steppers[precision] = _Ours(NativeSlots(checkpoint, batch, precision=precision), batch)
        except NoCompiler as problem:
            sys.stderr.write(f"{precision} is left out: {problem}\n")
    steppers["torch"] = _Ours(TorchSlots(checkpoint, batch, block=16), batch)
    if torch.cuda.is_available():
        steppers["cuda"] = _Ours(TorchSlots(checkpoint, batch, device="cuda"), batch)
    steppers["default"] = _Ours(open_slots(ways(checkpoint, batch)), batch)
    steppers["transformer 6 x 512"] = transformer(batch)
    steppers["Skuldur, LSTM 3 x 512"] = skuldur(batch)
    return steppers


def measure(checkpoint: Checkpoint, rounds: int) -> list[Row]:
    """Every variant at every batch size, in turns."""
    steppers = {batch: variants(checkpoint, batch) for batch in BATCHES}
    steps: dict[tuple[str, int], int] = {}
    rates: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds + 1):  # the first only finds out how many steps are worth timing
        for batch, each in steppers.items():
            for name, stepper in each.items():
                count = steps.get((name, batch), 1)
                rate = batch * count / _seconds(lambda s=stepper, n=count: s(n))
                while turn == 0 and count < (1 << 20) and batch * count / rate < _AT_LEAST_S:
                    count *= 2
                    rate = batch * count / _seconds(lambda s=stepper, n=count: s(n))
                steps[name, batch] = count
                if turn:
                    rates.setdefault((name, batch), []).append(rate)
    rows = []
    for (name, batch), measured in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(measured, rates["usual", batch], strict=True)]
        rows.append(Row(name, batch, round(statistics.median(measured), 1), round(statistics.median(ratios), 2)))
    return sorted(rows, key=lambda row: (row.batch, row.notes_per_s))


def continuous(checkpoint: Checkpoint, rows: list[Row], rounds: int = 5) -> list[Row]:
    """Through the batcher, more pieces waiting than fit, beside the same slots filled once: what joining costs.

    Both in turns, with pieces of 50 to 350 notes and of 200. `continuous` counts everything that serving takes, the
    requests and the results included, and the end, when the batch runs empty.
    """
    batch = max(BATCHES)
    slots = open_slots(ways(checkpoint, batch))
    wanted = [ComposeRequest(length_notes=50 + 97 * n % 301, seed=n) for n in range(20 * batch)]
    filled = [ComposeRequest(length_notes=200, seed=n) for n in range(batch)]
    decided = {request.seed: plan(request) for request in wanted}

    def serve() -> None:
        tickets = [batcher.submit(request, decided[request.seed]) for request in wanted]
        for ticket in tickets:
            ticket.future.result()

    def fill() -> None:
        for _ in range(20):
            for slot, request in enumerate(filled):
                slots.begin(slot, request, decided[request.seed])
            while slots.run(slots.chunk_notes // batch):
                pass

    batcher = Batcher(lambda: open_slots(ways(checkpoint, batch)))
    notes = {serve: sum(request.length_notes for request in wanted), fill: 20 * 200 * batch}
    rates = [{work: notes[work] / _seconds(work) for work in (serve, fill)} for _ in range(rounds)]
    batcher.close()
    usual_rate = next(row.notes_per_s for row in rows if (row.variant, row.batch) == ("usual", batch))
    medians = {work: statistics.median(rate[work] for rate in rates) for work in notes}
    return [
        Row(name, batch, round(medians[work], 1), round(medians[work] / usual_rate, 2))
        for name, work in (("continuous, 50 to 350 notes", serve), ("static, 200 notes", fill))
    ]


def _seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return max(time.process_time() - started, 1e-9)
