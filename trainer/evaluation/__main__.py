"""`./run evaluate`: measure a checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from data.corpus import DEFAULT_FOLDER
from data.errors import MusicLSTMError
from data.moods import Mood
from data.score import Score
from engine.checkpoint import BUILT_IN
from engine.errors import SetupProblem, StorageProblem
from engine.render import Renderer
from engine.types import (
    LENGTH_NOTES_MAX,
    LENGTH_NOTES_MIN,
    SEED_MAX,
    TEMPERATURE_MAX,
    TEMPERATURE_MIN,
)
from trainer.evaluation import jsb, plots, report, study
from trainer.evaluation.answers import Say
from trainer.evaluation.bleu import bleu
from trainer.evaluation.spectrum import distance_db, log_mel
from trainer.evaluation.study import Options, Study
from trainer.progress import BarProgress

log = logging.getLogger("trainer.evaluation")

DEFAULT_OUT = Path("var/evaluation")
BENCHMARKS = Path("var/benchmarks")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="./run evaluate", description="Measure a checkpoint beside baselines and human music."
    )
    result.add_argument("checkpoint", nargs="?", help="a checkpoint folder, or the name of a built-in one: v1, v2")
    result.add_argument(
        "--corpus", type=Path, default=DEFAULT_FOLDER, help=f"what it learnt (default: {DEFAULT_FOLDER})"
    )
    result.add_argument("--human", type=Path, help="corpus of the human band, where --corpus holds back no human music")
    result.add_argument("--beside", help="another checkpoint to compare with (default: v1, or none for v1 itself)")
    result.add_argument("--pieces", type=int, default=400, help="to compose, the moods taking turns (default: 400)")
    result.add_argument("--length", type=int, default=200, help="notes a piece (default: 200)")
    result.add_argument("--temp", type=float, default=0.9, help="temperature (default: 0.9)")
    result.add_argument("--seed", type=int, default=20_000, help="of the first piece; they count up (default: 20000)")
    result.add_argument("--sounds", type=int, default=2, help="pieces to render and compare by ear's eye (default: 2)")
    result.add_argument("--out", type=Path, help=f"folder of the report (default: {DEFAULT_OUT}/CHECKPOINT)")
    result.add_argument("--json", action="store_true", help="print the figures as JSON instead of the report")
    result.add_argument(
        "--benchmark",
        nargs=2,
        metavar=("NAME", "PATH"),
        help="instead: train and score the model class on published data; NAME is jsb, PATH its piano-rolls",
    )
    result.add_argument("--epochs", type=int, help="of the benchmark's training (default: its own number)")
    result.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    return result


class _Bar:
    """One line of progress for each thing that is done, on standard error."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<40}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress.tasks:  # or the end of no bar would be an empty line
            self._progress.stop()

    def __call__(self, what: str, steps: int) -> Callable[[], None]:
        """Begin something of so many steps; call the result after each."""
        self._progress.start()
        if not self._progress.console.is_terminal:  # a bar is drawn once there, at the end
            log.info("%s …", what)
        task = self._progress.add_task(what, total=steps)
        return lambda: self._progress.advance(task)


def checkpoint_folder(name: str) -> Path:
    """A folder, or a built-in checkpoint by its name."""
    return BUILT_IN / name if (BUILT_IN / name / "model.json").exists() else Path(name)


def options_of(arguments: argparse.Namespace) -> Options:
    """What the command line asks for.

    Raises:
        SetupProblem: a number is out of range, or no checkpoint is named.
    """
    if arguments.checkpoint is None:
        raise SetupProblem("Name a checkpoint: ./run evaluate v1, or the folder of one.")
    if arguments.pieces < len(Mood) or arguments.sounds < 0:
        raise SetupProblem(f"--pieces is at least {len(Mood)}, one a mood, and --sounds 0 or more.")
    for name, low, high in (
        ("length", LENGTH_NOTES_MIN, LENGTH_NOTES_MAX),
        ("temp", TEMPERATURE_MIN, TEMPERATURE_MAX),
        ("seed", 0, SEED_MAX),
    ):
        if not low <= getattr(arguments, name) <= high:
            raise SetupProblem(f"--{name} is {low:g} to {high:.10g}.")
    checkpoint = checkpoint_folder(arguments.checkpoint)
    beside = checkpoint_folder(arguments.beside) if arguments.beside else study.default_beside(checkpoint)
    return Options(
        checkpoint,
        arguments.corpus,
        beside,
        arguments.pieces,
        arguments.length,
        arguments.temp,
        arguments.seed,
        human=arguments.human,
    )


def benchmark(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run a published benchmark; an interrupted run is gone on with. The figures lie in its folder, too.

    Raises:
        MusicLSTMError: there is no such benchmark, or its data or the run are no good.
    """
    name, path = arguments.benchmark
    if name != "jsb":
        raise SetupProblem(f"There is no benchmark '{name}': jsb is the one.")
    if arguments.epochs is not None and arguments.epochs < 1:
        raise SetupProblem("--epochs is at least 1.")
    config = dataclasses.replace(jsb.CONFIG, epochs=arguments.epochs or jsb.CONFIG.epochs)
    folder: Path = arguments.out or BENCHMARKS / name
    rolls = jsb.read_rolls(Path(path))
    with BarProgress() as progress:
        result = jsb.run(rolls, folder, progress, config=config).as_dict()
    with _storing(folder):
        (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


@contextlib.contextmanager
def _storing(folder: Path) -> Iterator[None]:
    """Say in one sentence what keeps files out of a folder.

    Raises:
        StorageProblem: the disk is full, or the folder is read-only.
    """
    try:
        yield
    except OSError as error:
        raise StorageProblem(f"The figures could not be written to {folder}: {error.strerror}.") from error


def write(done: Study, out: Path, sounds: int, say: Say) -> None:
    """Write report.md, report.json and the pictures.

    Raises:
        StorageProblem: the disk is full, or the folder is read-only.
        RenderFailed: a piece cannot be made to sound.
    """
    with _storing(out):
        out.mkdir(parents=True, exist_ok=True)
        _write(done, out, sounds, say)


def _write(done: Study, out: Path, sounds: int, say: Say) -> None:
    facts = done.facts
    banded = [row for row in facts["measures"] if "human" in row]
    curves = next(row["curves"] for row in facts["measures"] if "curves" in row)
    plots.draw_measures(banded, out / "measures.png")
    plots.draw_lines(curves, "How alike bars are that stand so far apart", "bars apart", out / "lags.png")
    for listener in ("fitted", "literature", "histograms"):
        title = f"Moods asked and heard ({listener}), {facts['moods'][listener]['accuracy']:.0%} right"
        plots.draw_confusion(facts["moods"][listener]["confusion"], title, out / f"confusion-{listener}.png")
    plots.draw_affect(facts["moods"]["valence"]["means"], facts["moods"]["arousal"]["means"], out / "affect.png")
    facts["sounds"] = _sounds(done, out, sounds, say)
    facts["verdicts"] = report.verdicts(facts)
    (out / "report.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "report.md").write_text(report.markdown(facts), encoding="utf-8")


def _sounds(done: Study, out: Path, count: int, say: Say) -> list[dict[str, Any]]:
    """Render pieces of different moods and their nearest in the corpus, and compare spectra."""
    result: list[dict[str, Any]] = []
    tick = say("Rendering pieces and their nearest", count)
    rng = np.random.default_rng(done.facts["first_seed"])
    for number, served in enumerate(done.served):
        if len(result) == count:
            break
        found = study.nearest_piece(done, number)
        if found is None or served.request.mood.value in {one["mood"] for one in result}:
            continue
        piece, similarity = found
        other = done.split.train[int(rng.integers(len(done.split.train)))]
        length = len(served.score.notes)
        scores = (served.score, _opening(piece.score, length), _opening(other.score, length))
        spectra = [_spectrum(score, served.request.mood) for score in scores]
        picture = f"spectra-{served.request.mood}.png"
        names = (
            f"{served.request.mood}, seed {served.request.seed}",
            f"nearest: {piece.title}",
            f"at random: {other.title}",
        )
        plots.draw_spectra(list(zip(names, spectra, strict=True)), out / picture)
        result.append(
            {
                "mood": served.request.mood.value,
                "seed": served.request.seed,
                "closest_title": served.originality.closest_title if served.originality else None,
                "bleu": similarity,
                "bleu_to_another": bleu(served.score, [other.score]),
                "distance_db": distance_db(spectra[0], spectra[1]),
                "distance_to_another_db": distance_db(spectra[0], spectra[2]),
                "picture": picture,
            }
        )
        tick()
    return result


def _opening(score: Score, notes: int) -> Score:
    return Score(score.notes[:notes], score.tempo_bpm)


def _spectrum(score: Score, mood: Mood) -> plots.Floats:
    with tempfile.TemporaryDirectory() as folder:
        rendered = Renderer().render(
            score, title="Excerpt", recipe=["evaluation"], folder=Path(folder), name="piece", mood=mood
        )
        return log_mel(rendered.wav)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = parser().parse_args(argv)
    try:
        if arguments.threads is not None:
            if arguments.threads < 1:
                raise SetupProblem("--threads is at least 1.")
            torch.set_num_threads(arguments.threads)
        if arguments.benchmark:
            sys.stdout.write(json.dumps(benchmark(arguments), indent=2) + "\n")
            return 0
        options = options_of(arguments)
        folder = arguments.out or DEFAULT_OUT
        with _storing(folder):  # before an hour's work that nowhere could be kept
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        with _Bar() as bar:
            done = study.run(options, bar)
            out = arguments.out or DEFAULT_OUT / done.facts["checkpoint"]
            write(done, out, arguments.sounds, bar)
    except MusicLSTMError as error:
        log.error("%s", error)  # noqa: TRY400  # one sentence; the traceback helps nobody here
        return 78 if isinstance(error, SetupProblem) else 1
    except KeyboardInterrupt:
        log.warning("Interrupted; a benchmark goes on where it was when it is started again.")
        return 130
    if arguments.json:
        sys.stdout.write((out / "report.json").read_text(encoding="utf-8"))
    else:
        sys.stdout.write((out / "report.md").read_text(encoding="utf-8"))
        log.info("The report, its pictures and report.json are in %s.", out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
