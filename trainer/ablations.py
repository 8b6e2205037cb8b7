"""Which of the trainer's choices earn their place: `python -m trainer.ablations`.

Every row is one run that differs from v2 in one choice. All train on the corpus's training side for as many epochs,
from the same seed, and are scored on the whole validation side, so that what helps against learning by heart can show.
With `--from` they begin with finished weights instead of random ones, at a tenth of the rate: what a short run says of
the beginning, this says of the end of a long one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from data.controls import NOT_TOLD
from data.corpus import Piece, load_corpus
from data.errors import MusicLSTMError
from data.split import split_by_composer
from engine.checkpoint import Checkpoint, load_checkpoint
from trainer.config import PRESETS, TrainConfig
from trainer.dataset import Example, to_example
from trainer.loop import Report, Run, has_fast_bf16

log = logging.getLogger(__name__)

# v2 itself, but for what would cost time in a short run; the weights are averaged over the same share of the run.
BASE = dataclasses.replace(PRESETS["v2"], name="base", epochs=2, averaging=0.98, cache=False)


def variants() -> dict[str, TrainConfig]:
    """The rows of the table: what is changed, and the run."""

    def run(**changes: Any) -> TrainConfig:
        return dataclasses.replace(BASE, **changes)

    def shaped(**changes: Any) -> TrainConfig:
        return run(model=dataclasses.replace(BASE.model, **changes))

    return {
        "base": BASE,
        "rate that falls from the beginning": run(cool_down=1.0),
        "rate that never falls": run(final_rate=1.0),
        "no warm-up": run(warm_up=0.0),
        "rate doubled": run(learning_rate=BASE.learning_rate * 2),
        "rate halved": run(learning_rate=BASE.learning_rate / 2),
        "no averaging": run(averaging=0.0),
        "no controls": shaped(controlled=False),
        "weight dropout 0.3": shaped(weight_dropout=0.3),
        "embeddings not tied": shaped(tied=False),
        "one dropout mask for a sequence (variational)": shaped(variational=True),
        "moved by up to 2 semitones": run(semitones=2),
        "no other note values": run(rewritten=0.0),
        "everything told to every piece": run(untold=0.0),
        "batch 64 x 50 (v1)": run(batch=64, sequence_notes=50),
        "no weight decay": run(weight_decay=0.0),
        "dropout 0.3": shaped(dropout=0.3),
        "no dropout": shaped(dropout=0.0),
        "no clipping": run(clip_norm=1e9),
        "3 x 320": shaped(hidden=320, layers=3),
        "2 x 256": shaped(hidden=256),
    }


def _examples(pieces: Sequence[Piece], notes_max: int | None, *, training: bool) -> list[Example]:
    """Examples of the first pieces (in the order of their digests) that make up `notes_max` notes."""
    found: list[Example] = []
    notes = 0
    for piece in sorted(pieces, key=lambda piece: piece.sha256):
        if notes_max is not None and notes + len(piece.score.notes) > notes_max:
            continue
        notes += len(piece.score.notes)
        example = to_example(piece, BASE.mood_confidence, otherwise=training)
        # What is measured must not be told what the whole piece is like.
        found.append(example if training else example.told(NOT_TOLD))
    return found


def _silent(_: Report) -> None:
    """Short runs need no bar."""


def measure(
    config: TrainConfig,
    train: Sequence[Example],
    valid: Sequence[Example],
    device: torch.device,
    start: Checkpoint | None = None,
) -> dict[str, Any]:
    """Train one variant; its figures."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(config, Path(folder), device, bf16=has_fast_bf16(device), start=start)
        trained = run.train(train, valid, _silent)
    return {
        "valid_nats_per_note": trained.valid_nats,
        "train_nats_per_note": trained.train_nats,
        "best_epoch": trained.best_epoch,
        "seconds": round(time.monotonic() - started),
    }


def _run(rows: dict[str, TrainConfig], arguments: argparse.Namespace) -> None:
    """Train and print the rows, one after the other."""
    split = split_by_composer(load_corpus(arguments.corpus))
    train, valid = _examples(split.train, arguments.notes, training=True), _examples(split.valid, None, training=False)
    start = None if arguments.start is None else load_checkpoint(arguments.start)
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    for name, config in rows.items():
        found = measure(config, train, valid, device, start)
        sys.stdout.write(json.dumps({"row": name, "epochs": config.epochs, "notes": arguments.notes} | found) + "\n")
        sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. Prints one JSON object a row, as each is ready."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="python -m trainer.ablations", description=__doc__)
    parser.add_argument("--corpus", type=Path, help="folder made by ./run data; only --list needs none")
    parser.add_argument("--notes", type=int, help="of the training side (default: all)")
    parser.add_argument("--epochs", type=int, help=f"of each row (default: {BASE.epochs})")
    parser.add_argument("--from", dest="start", type=Path, metavar="CHECKPOINT", help="begin with these weights")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows whose name contains one of these")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many rows")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    arguments = parser.parse_args(argv)
    rows = {
        name: dataclasses.replace(
            config,
            epochs=arguments.epochs or config.epochs,
            learning_rate=config.learning_rate / (1 if arguments.start is None else 10),
        )
        for name, config in variants().items()
        if not arguments.only or any(part in name for part in arguments.only)
    }
    if arguments.list:
        sys.stdout.write("".join(f"{name}\n" for name in rows))
        return 0
    if arguments.corpus is None:
        parser.error("--corpus is needed")
    try:
        _run(dict(list(rows.items())[arguments.skip :]), arguments)
    except MusicLSTMError as error:
        log.error("%s", error)  # noqa: TRY400  # one sentence; the traceback helps nobody here
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
