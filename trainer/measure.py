"""`python -m trainer.measure CHECKPOINT --corpus DIR`: write what a finished checkpoint says about itself again.

For a checkpoint that was trained before the trainer measured, tuned or told as it does now. The weights stay.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from data.errors import MusicLSTMError
from engine.checkpoint import load_checkpoint
from engine.errors import CheckpointProblem
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from trainer.cache import held_out_nats
from trainer.config import PRESETS, TrainConfig
from trainer.loop import Trained
from trainer.originality import check_learnt
from trainer.pipeline import finish, prepare


def measure(folder: Path, corpus: Path, start: Path | None = None) -> None:
    """Measure a checkpoint on the corpus that it was trained on, and write its sidecar, card and index anew.

    Args:
        folder: of the checkpoint.
        corpus: made by `./run data`.
        start: the checkpoint that it was fine-tuned from.

    Raises:
        MusicLSTMError: one of them is missing or damaged, not what the checkpoint was trained on or fine-tuned from,
            or the checkpoint was not trained by us.
    """
    checkpoint = load_checkpoint(folder)
    try:
        told, preset = checkpoint.sidecar["training"], PRESETS[checkpoint.sidecar["preset"]]
    except KeyError as error:
        raise CheckpointProblem(
            f"{folder} does not say how it was trained, or by a preset that is no more: train it anew."
        ) from error
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    config = TrainConfig(
        **{name: value for name, value in told.items() if name in fields and name not in {"model", "cache"}},
        # Neither guidance nor cache is trained: they are the preset's of today.
        model=dataclasses.replace(ModelConfig(**told["model"]), guidance=preset.model.guidance),
        cache=told.get("cache") or preset.cache,
    )
    model = NoteLSTM.of(checkpoint)
    model.config = config.model  # as it was trained
    corpora = prepare(corpus, config)
    check_learnt(folder, corpus, corpora.description["hash"], start)
    by_attribute = held_out_nats(model, corpora.valid)
    train_nats = checkpoint.sidecar["metrics"]["train_nats_per_note"]
    trained = Trained(model, told["best_epoch"], sum(by_attribute), train_nats, told["seconds"])
    how = {name: value for name, value in told.items() if name not in {*fields, "best_epoch", "seconds", "from"}}
    finish(folder, config, corpora, trained, how=how, start=start)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="python -m trainer.measure", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder")
    parser.add_argument("--corpus", type=Path, required=True, help="folder that it was trained on")
    parser.add_argument("--from", dest="start", type=Path, help="the checkpoint that it was fine-tuned from")
    arguments = parser.parse_args(argv)
    try:
        measure(arguments.checkpoint, arguments.corpus, arguments.start)
    except MusicLSTMError as error:
        logging.getLogger("trainer").error("%s", error)  # noqa: TRY400  # one sentence; the traceback helps nobody here
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
