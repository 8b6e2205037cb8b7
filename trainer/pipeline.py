"""From a corpus folder to examples, and from a finished run to a checkpoint that has been heard."""

from __future__ import annotations

import datetime as dt
import logging
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from data.composer.corpus import SOURCE
from data.composers import persons
from data.controls import NOT_TOLD, controls
from data.corpus import Piece, corpus_hash, load_corpus
from data.keys import estimate_key
from data.listener import Listener, labelled
from data.mood_estimate import estimate_mood
from data.moods import MOODS
from data.repetition import bands, excerpts
from data.sources import source as registered
from data.sources import source_names
from data.split import Split, split_by_composer
from data.tokens import ATTRIBUTES, mode_index, remaining_bin, tempo_bin
from engine.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from engine.errors import SetupProblem
from engine.originality import FILE as INDEX
from engine.originality import PIECES_MAX, Index
from engine.plan import Style, plan, to_score
from engine.sampler import Sampler
from engine.types import ComposeRequest
from trainer.baselines import NGram
from trainer.cache import held_out_nats, tuned
from trainer.card import write_card
from trainer.config import TrainConfig
from trainer.dataset import Example, to_example, usual_pitch_run
from trainer.loop import Trained
from trainer.originality import build_index, known

log = logging.getLogger(__name__)

_CLEAR_MIN = 10  # fewer would make a mood's pieces much alike
_STYLES_MAX = 128  # of each mood
_MOOD_CONFIDENCE = 0.4
_BAND_MIN = 20  # excerpts: of fewer, the outermost would be the band


@dataclass(frozen=True, slots=True)
class Corpora:
    """The three sides of a corpus and what the checkpoint will say about it."""

    train: list[Example]
    valid: list[Example]
    test: list[Example]
    description: dict[str, Any]
    pieces: Split  # that the sides were made of

    def test_by_source(self) -> dict[str, list[Example]]:
        """The pieces of `test`, source by source."""
        sources = [piece.source for piece in self.pieces.test]
        result: dict[str, list[Example]] = {source: [] for source in sorted(set(sources))}
        for source, example in zip(sources, self.test, strict=True):
            result[source].append(example)
        return result


def prepare(folder: Path, config: TrainConfig) -> Corpora:
    """Load a corpus, split it by composer, and turn each side into examples.

    The sides that measure are not told the controls: these look at the whole piece.

    Args:
        folder: made by `./run data`.
        config: which moods count and how pieces are shown.

    Raises:
        SetupProblem: the folder has too few pieces for three sides, or more than can be indexed.
        CorpusProblem: the folder holds no corpus, or a damaged one.
    """
    pieces = load_corpus(folder)
    split = split_by_composer(pieces)
    if not (split.train and split.valid and split.test):
        raise SetupProblem(
            f"The corpus in {folder} has {len(pieces)} pieces, too few to train on some and test on others: "
            "add more with ./run data add."
        )
    if len(split.train) > PIECES_MAX:  # else nobody would be told before the end of the training
        raise SetupProblem(f"The corpus in {folder} has more than {PIECES_MAX:,} pieces to train on: take fewer.")
    train = [to_example(piece, config.mood_confidence, otherwise=config.rewritten > 0) for piece in split.train]
    valid, test = (
        [to_example(piece, config.mood_confidence).told(NOT_TOLD) for piece in side]
        for side in (split.valid, split.test)
    )
    return Corpora(train, valid, test, _describe(pieces, train, valid, test, by_title=split.by_title), split)


def styles(pieces: Sequence[Piece]) -> dict[str, list[str]]:
    """What the pieces of each mood are like, as a checkpoint keeps it: lines of mode, tempo and controls.

    Of the pieces that were written for their mood, those count in which it is heard (`data.mood_estimate`) as well: the
    model is to be shown clear examples.
    """
    result: dict[str, list[str]] = {}
    for mood in MOODS:
        written = [piece for piece in pieces if piece.mood is mood and piece.mood_confidence == 1.0]
        clear = [piece for piece in written if estimate_mood(piece.score).mood is mood]
        lines = []
        for piece in (clear if len(clear) >= _CLEAR_MIN else written)[:_STYLES_MAX]:
            key, _ = estimate_key(piece.score.notes)
            style = Style(
                mode_index(key.mode),
                tempo_bin(piece.score.tempo_bpm),
                remaining_bin(len(piece.score.notes)),
                controls(piece.score),
            )
            lines.append(str(style))
        if lines:
            result[mood.value] = lines
    return result


def mood_listener(pieces: Sequence[Piece]) -> Listener | None:
    """A listener fitted to excerpts as long as what people ask for; None unless each mood has pieces.

    The project's own pieces say what they were written as, others what is fairly sure of them.
    """
    rows, moods = labelled(piece for piece in pieces if piece.mood_confidence >= _MOOD_CONFIDENCE)
    return Listener.fit(rows, moods) if set(moods) == set(MOODS) else None


def human_bands(pieces: Sequence[Piece]) -> dict[str, list[float]]:
    """What 90 of 100 excerpts of pieces by people lie within, for each measure of repetition; empty for too few."""
    heard = [excerpt for piece in pieces if piece.source != SOURCE for excerpt in excerpts(piece.score)]
    if len(heard) < _BAND_MIN:
        return {}
    return {name: [round(edge, 4) for edge in band] for name, band in bands(heard).items()}


def _describe(
    pieces: list[Piece], train: list[Example], valid: list[Example], test: list[Example], *, by_title: bool
) -> dict[str, Any]:
    sources: dict[tuple[str, str], list[Piece]] = {}
    for piece in pieces:
        sources.setdefault((piece.source, piece.licence), []).append(piece)
    by_nobody = len(pieces) if by_title else sum(not persons(piece.composer, piece.title) for piece in pieces)
    return {
        "hash": corpus_hash(pieces),
        "pieces": len(pieces),
        "sources": [
            {"source": source, "licence": licence, "pieces": len(own), "credits": _credits(source, own)}
            for (source, licence), own in sorted(sources.items())
        ],
        "moods": {mood.value: sum(piece.mood == mood for piece in pieces) for mood in MOODS},
        "split": {
            name: {"pieces": len(side), "notes": sum(len(example.tokens) for example in side)}
            for name, side in (("train", train), ("valid", valid), ("test", test))
        },
        # Pieces by nobody known, and by the program, are divided by title; all are, where it is one person's music.
        "split_by": " or ".join(["composer"] * (by_nobody < len(pieces)) + ["title"] * (by_nobody > 0)),
    }


def finish(
    out: Path,
    config: TrainConfig,
    corpora: Corpora,
    trained: Trained,
    *,
    how: dict[str, Any],
    start: Path | None = None,
) -> None:
    """Measure the trained model beside its baselines, write the checkpoint and its card, and compose with it.

    Args:
        out: folder of the checkpoint.
        config: of the run.
        corpora: what was learnt and is measured with.
        trained: the outcome of the run.
        how: what the sidecar says about the run besides its configuration.
        start: the checkpoint that was fine-tuned, whose music may be copied as well.

    Raises:
        SetupProblem: the checkpoint cannot be written, or does not compose.
    """
    model = trained.model.cpu().eval()
    # A checkpoint of half the size: the notes are written with eight bits in any case.
    model.load_state_dict({name: tensor.half().float() for name, tensor in model.state_dict().items()})
    if config.cache:
        log.info("Tuning the cache.")
        model.config = tuned(model, corpora.valid)
    valid_nats = held_out_nats(model, corpora.valid)
    train, valid, test = ([example.tokens for example in side] for side in (corpora.train, corpora.valid, corpora.test))
    log.info("Scoring the baselines on the same split and tokens.")
    baselines = {name: NGram(order).fit(train) for name, order in (("unigram", 1), ("5-gram", 5))}
    learnt = corpora.pieces.train
    fine_tuned, learnt_before = (load_checkpoint(start), Index.load(start)) if start else (None, None)
    sidecar: dict[str, Any] = {
        "name": config.name,
        "preset": config.name,
        "corpus": corpora.description | (_before(fine_tuned, learnt_before, corpora.pieces) if fine_tuned else {}),
        "metrics": {
            "valid_nats_per_note": sum(valid_nats),
            "valid_nats_by_attribute": dict(zip([a.name for a in ATTRIBUTES], valid_nats, strict=True)),
            **({"valid_nats_per_note_without_cache": trained.valid_nats} if config.cache else {}),
            "train_nats_per_note": trained.train_nats,
            "test_nats_per_note": sum(held_out_nats(model, corpora.test)),
            "test_nats_per_note_by_source": {
                source: sum(held_out_nats(model, examples)) for source, examples in corpora.test_by_source().items()
            },
            "baselines": {name: model.nats_per_note(valid) for name, model in baselines.items()},
            "baselines_test": {name: model.nats_per_note(test) for name, model in baselines.items()},
        },
        "limits": {"longest_pitch_run": usual_pitch_run(corpora.train), "bands": human_bands(learnt)},
        **({"styles": styles(learnt)} if config.model.controlled else {}),
        **({"listener": listener.as_dict()} if (listener := mood_listener(learnt)) else {}),
        "training": {
            **config.as_dict(),
            "best_epoch": trained.best_epoch,
            "seconds": round(trained.seconds),
            "from": fine_tuned.id if fine_tuned else None,
            **how,
            "torch": torch.__version__,
        },
        "revision": _revision(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }
    log.info("Indexing the training pieces, so that copies are noticed.")
    index = build_index(learnt)
    if learnt_before:
        index = learnt_before.joined(index)
    save_checkpoint(out, model, sidecar, {INDEX: index.as_bytes()})
    write_card(out)
    _smoke_test(out)


def _credits(source: str, pieces: Sequence[Piece]) -> list[str]:
    """The lines that the licences of these pieces ask for."""
    return [registered(source).credit] if source in source_names() else sorted({piece.credit for piece in pieces})


def _before(start: Checkpoint, index: Index | None, pieces: Split) -> dict[str, Any]:
    """The sources of what a checkpoint had learnt, and how many held-out pieces are among it, as far as is known."""
    corpus = start.sidecar["corpus"]
    held_out = {"valid": pieces.valid, "test": pieces.test}
    return {
        "before": [*corpus["sources"], *corpus.get("before", [])],
        "held_out_learnt_before": {side: known(index, own) for side, own in held_out.items()} if index else None,
    }


def _smoke_test(folder: Path) -> None:
    """Compose one short piece for each mood with the checkpoint as it lies on the disk."""
    checkpoint = load_checkpoint(folder)
    sampler = Sampler(checkpoint, device="cpu")
    for mood in MOODS:
        request = ComposeRequest(mood=mood, length_notes=64, seed=1)
        decided = plan(request, checkpoint.styles)
        score = to_score(sampler.sample(request, decided), decided)
        if len(score.notes) != request.length_notes:
            raise SetupProblem(f"The new checkpoint wrote {len(score.notes)} notes where 64 were asked for ({mood}).")
        log.info("%s: %d notes, %.0f s", mood, len(score.notes), score.duration_s)


def _revision() -> str | None:
    """The commit that trained the checkpoint, or None outside a repository."""
    result = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or None
