"""`./run train`: make a checkpoint out of a corpus."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from data.corpus import DEFAULT_FOLDER
from data.errors import MusicLSTMError
from engine.checkpoint import Checkpoint, load_checkpoint
from engine.errors import SetupProblem
from engine.types import SEED_MAX
from trainer.config import PRESETS, TrainConfig
from trainer.distributed import Group, join, leave, noticing_others
from trainer.loop import Report, Run, has_fast_bf16
from trainer.pipeline import Corpora, finish, prepare
from trainer.progress import BarProgress, EventLog, JsonProgress, Reporter

CHECKPOINTS = Path("var/checkpoints")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="./run train", description="Train a MusicLSTM checkpoint on a corpus.")
    result.add_argument("--preset", choices=sorted(PRESETS), default="v1", help="model and schedule (default: v1)")
    result.add_argument(
        "--corpus", type=Path, default=DEFAULT_FOLDER, help=f"folder made by ./run data (default: {DEFAULT_FOLDER})"
    )
    result.add_argument("--out", type=Path, help=f"checkpoint folder (default: {CHECKPOINTS}/PRESET)")
    result.add_argument(
        "--from", dest="start", type=Path, metavar="CHECKPOINT", help="fine-tune these weights instead of random ones"
    )
    result.add_argument("--epochs", type=int, help="instead of the preset's number")
    result.add_argument("--seed", type=int, help="instead of the preset's seed")
    result.add_argument(
        "--resume", action="store_true", help="go on with an interrupted run; begin where there is none"
    )
    result.add_argument("--device", choices=("cpu", "cuda"), type=_device, help="default: cuda where there is one")
    result.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    result.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="of the LSTM (default: auto)"
    )
    result.add_argument(
        "--progress", choices=("bar", "jsonl"), default="bar", help="a bar for people, or a JSON object a line"
    )
    return result


def _device(name: str) -> str:
    if name == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("there is no GPU here that PyTorch can use")
    return name


def configuration(arguments: argparse.Namespace, start: Checkpoint | None) -> TrainConfig:
    """The preset with what the command line changes, and of the shape of the checkpoint that is fine-tuned."""
    changes = {name: value for name in ("epochs", "seed") if (value := getattr(arguments, name)) is not None}
    if changes.get("epochs", 1) < 1:
        raise SetupProblem("--epochs is at least 1.")
    if not 0 <= changes.get("seed", 0) <= SEED_MAX:
        raise SetupProblem(f"--seed is 0 to {SEED_MAX}.")
    preset = PRESETS[arguments.preset]
    if start is not None:
        ours, theirs = preset.model, start.config
        changes["model"] = dataclasses.replace(
            theirs,
            dropout=ours.dropout,
            variational=ours.variational,
            weight_dropout=ours.weight_dropout,
            guidance=ours.guidance,
            cache_share=0.0,  # other music, another cache
        )
        changes["cache"] = preset.cache or theirs.cache_share > 0
    return dataclasses.replace(preset, **changes)


def run(arguments: argparse.Namespace, group: Group, device: torch.device) -> Path:
    """Train as told, in one process or as one of a group; the folder of the finished checkpoint.

    Raises:
        MusicLSTMError: the corpus is missing or too small, the disk is full, the loss diverged.
    """
    torch.set_flush_denormal(True)  # Adam's moments of rarely used rows fade into denormals, which slow a CPU down
    if arguments.threads is not None:
        if arguments.threads < 1:
            raise SetupProblem("--threads is at least 1.")
        torch.set_num_threads(arguments.threads)
    start = load_checkpoint(arguments.start) if arguments.start else None
    config = configuration(arguments, start)
    if group.size > config.batch:
        raise SetupProblem(f"The preset {config.name} has {config.batch} lanes: start at most so many processes.")
    bf16 = arguments.precision == "bfloat16" or (arguments.precision == "auto" and has_fast_bf16(device))
    out: Path = arguments.out or CHECKPOINTS / config.name
    corpora: Corpora = prepare(arguments.corpus, config)
    unfinished = Run(config, out, device, bf16=bf16, start=start, group=group)
    if arguments.resume and unfinished.resumable:
        unfinished.resume()
    elif arguments.resume:
        logging.getLogger("trainer").info("There is no interrupted run in %s: this one begins anew.", out)
    elif unfinished.resumable:
        raise SetupProblem(f"{out} holds an interrupted run: add --resume to go on with it, or choose another --out.")
    with contextlib.ExitStack() as stack:
        reporters = [stack.enter_context(reporter) for reporter in (_reporters(arguments, out) if group.leads else [])]

        def report(now: Report) -> None:
            for reporter in reporters:
                reporter(now)

        trained = unfinished.train(corpora.train, corpora.valid, report)
    if group.leads:
        how = {
            "device": device.type,
            "lstm_precision": "bfloat16" if bf16 else "float32",
            "processes": group.size,
        }
        finish(out, config, corpora, trained, how=how, start=arguments.start)
        unfinished.finish()
    return out


def _reporters(arguments: argparse.Namespace, out: Path) -> list[Reporter]:
    """What shows this run to a person or a program."""
    shown: Reporter = JsonProgress(sys.stdout) if arguments.progress == "jsonl" else BarProgress()
    return [shown, EventLog(out / "tensorboard")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    arguments = parser().parse_args(argv)
    group, device = join(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    # Of several processes one speaks.
    level = logging.INFO if group.leads else logging.CRITICAL
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    try:
        with noticing_others():
            out = run(arguments, group, device)
    except MusicLSTMError as error:
        logging.getLogger("trainer").error("%s", error)  # noqa: TRY400  # one sentence; the traceback helps nobody here
        return 78 if isinstance(error, SetupProblem) else 1
    except KeyboardInterrupt:
        logging.getLogger("trainer").warning("Interrupted; go on with: ./run train … --resume")
        return 130
    finally:
        leave()
    if not group.leads:
        return 0
    if arguments.progress == "jsonl":
        sys.stdout.write(json.dumps({"event": "finished", "checkpoint": str(out.resolve())}) + "\n")
    else:
        sys.stdout.write(f"The checkpoint is in {out}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
