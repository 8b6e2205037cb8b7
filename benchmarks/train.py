"""How fast training is, beside how fast this machine multiplies matrices.

    python -m benchmarks train [--json] [--rounds N] [--threads N] [--presets v1,v2]
    python -m benchmarks train --table FILE.json

Each row is one preset on one device at one precision: real steps of the training loop (forward, backward, clipping,
AdamW, the averaged weights) over synthetic notes, in rounds that take turns with all other rows; medians. A GPU is
measured where there is one.

`share_of_gemm` is what a note costs, 6 FLOPs for each of the parameters that take part in a matrix product
(`benchmarks.limits`), x notes/s over what `torch.matmul` reaches in the same round, on the same device, at the same
precision and with as many threads. The rest goes to element-wise work, and to products that are small: a step of an
LSTM waits for the step before and multiplies as many rows as there are lanes.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.command import at_least_one, from_file
from benchmarks.limits import gemm, multiplied, wait
from data.tokens import ATTRIBUTES
from trainer.config import PRESETS, TrainConfig
from trainer.dataset import Batch, Example, batches
from trainer.loop import Run, has_fast_bf16

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_AT_LEAST_S = 0.5  # of steps a round; at least one step
_PIECE_NOTES = 500  # a usual length


@dataclasses.dataclass(frozen=True)
class Row:
    """One preset on one device at one precision."""

    preset: str
    device: str
    precision: str
    notes_per_s: float
    gflops_per_s: float
    gemm_gflops_per_s: float
    share_of_gemm: float


class Training:
    """The loop of one preset, fed with notes at random."""

    def __init__(self, config: TrainConfig, device: torch.device, precision: str) -> None:
        self._device = device
        with tempfile.TemporaryDirectory() as folder:  # nothing is saved
            self.run = Run(config, Path(folder), device, bf16=precision == "bfloat16")
        self.run.model.train()
        self._batches = itertools.cycle(list(_synthetic(config)))

    def notes_per_s(self) -> float:
        """Train for a moment."""
        started, notes = time.perf_counter(), 0
        while not notes or time.perf_counter() - started < _AT_LEAST_S:
            batch = next(self._batches)
            self.run.step(dataclasses.replace(batch, previous=batch.previous.clone()))
            notes += int(batch.mask.sum())
        wait(self._device)
        return notes / (time.perf_counter() - started)


def _synthetic(config: TrainConfig) -> Iterator[Batch]:
    """An epoch in which every lane has a piece and all are full but the last batch."""
    rng = np.random.default_rng(1)
    tables = config.model.tables

    def piece() -> Example:
        tokens = np.stack([rng.integers(0, attribute.size, _PIECE_NOTES) for attribute in ATTRIBUTES], axis=1)
        return Example(tokens, np.stack([rng.integers(0, size, _PIECE_NOTES) for size in tables], axis=1))

    return batches(
        [piece() for _ in range(config.batch)],
        batch=config.batch,
        sequence_notes=config.sequence_notes,
        segment_notes=_PIECE_NOTES,
        rng=None,
    )


def measure(presets: list[str], devices: list[torch.device], rounds: int) -> list[Row]:
    """Time every preset on every device at each precision that might be fast there, float32 first."""
    where = [
        (device, precision)
        for device in devices
        for precision in _PRECISIONS
        if precision == "float32" or device.type == "cuda" or has_fast_bf16(device)
    ]
    training = {(preset, *at): Training(PRESETS[preset], *at) for preset in presets for at in where}
    products = {(device, name): gemm(device, _PRECISIONS[name]) for device, name in where}
    for each in training.values():
        each.notes_per_s()  # the first steps make buffers and choose kernels
    notes: dict[tuple[str, torch.device, str], list[float]] = {key: [] for key in training}
    flops: dict[tuple[torch.device, str], list[float]] = {at: [] for at in where}
    for _ in range(rounds):
        for at, squares in products.items():
            flops[at].append(max(square() for square in squares))
        for key, each in training.items():
            notes[key].append(each.notes_per_s())
    rows = []
    for (preset, device, precision), found in notes.items():
        peak, speed = flops[device, precision], statistics.median(found)
        per_note = 6 * multiplied(PRESETS[preset].model)
        share = statistics.median(per_note * here / most for here, most in zip(found, peak, strict=True))
        gemm_rate = statistics.median(peak)
        rows.append(
            Row(preset, device.type, precision, speed, per_note * speed / 1e9, gemm_rate / 1e9, round(share, 4))
        )
    return rows


def table(found: dict[str, Any]) -> str:
    """Markdown, out of the JSON."""
    lines = ["| preset | device | precision | notes a second | share of matrix products |", "|---|---|---|---:|---:|"]
    for row in (Row(**each) for each in found["rows"]):
        rate, share = f"{row.notes_per_s:,.0f}", f"{100 * row.share_of_gemm:.3g} %"
        lines.append(f"| {row.preset} | {row.device} | {row.precision} | {rate} | {share} |")
    return "\n".join(lines) + "\n"


def _presets(text: str) -> list[str]:
    presets = text.split(",")
    if unknown := set(presets) - PRESETS.keys():
        raise argparse.ArgumentTypeError(f"there is no preset {min(unknown)!r}: there are {', '.join(PRESETS)}")
    return presets


def main(arguments: list[str] | None = None) -> int:
    """Run the measurement."""
    parser = argparse.ArgumentParser(prog="./run bench train", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument(
        "--rounds", type=at_least_one, default=15, help="how often each row takes its turn (default: 15)"
    )
    parser.add_argument("--threads", type=at_least_one, help="CPU threads (default: torch's own choice)")
    parser.add_argument("--presets", type=_presets, default="v1,v2", help="which (default: v1,v2)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="no measurement: the table of what --json gave")
    options = parser.parse_args(arguments)
    if options.table:
        sys.stdout.write(from_file(options.table, table))
        return 0
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # as training does
    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    rows = measure(options.presets, devices, options.rounds)
    threads = torch.get_num_threads()
    if options.json:
        gpu = {"device": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
        facts = gpu | {"threads": threads, "rounds": options.rounds, "torch": torch.__version__}
        sys.stdout.write(json.dumps(facts | {"rows": [dataclasses.asdict(row) for row in rows]}) + "\n")
        return 0
    sys.stdout.write(f"{threads} CPU threads, {options.rounds} rounds\n")
    for row in rows:
        sys.stdout.write(
            f"{row.preset:4s} {row.device:5s} {row.precision:9s} {row.notes_per_s:10,.0f} notes/s "
            f"{row.gflops_per_s:10,.1f} of {row.gemm_gflops_per_s:10,.1f} GFLOP/s: {100 * row.share_of_gemm:5.3g} %\n"
        )
    return 0
