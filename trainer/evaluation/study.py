"""The whole evaluation of one checkpoint, as one JSON value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.composer.corpus import SOURCE
from data.corpus import Piece, corpus_hash, load_corpus
from data.moods import MOODS
from data.repetition import excerpts
from data.score import Score
from data.split import Split, split_by_composer
from engine.checkpoint import BUILT_IN, Checkpoint, load_checkpoint
from engine.errors import SetupProblem
from engine.originality import Index
from trainer.baselines import NGram
from trainer.dataset import to_example
from trainer.evaluation.answers import (
    Json,
    Say,
    compare_measures,
    listen_for_moods,
    look_for_copies,
    score_held_out,
    see_endings,
)
from trainer.evaluation.bleu import bleu
from trainer.evaluation.systems import Served, ngram_pieces, requests, serve, shuffled
from trainer.originality import build_index, known, source_of


@dataclass(frozen=True, slots=True)
class Options:
    """What is evaluated, and how.

    Attributes:
        checkpoint: folder.
        corpus: folder that the checkpoint was trained on.
        human: folder whose held-out human pieces are the band, where `corpus` has none; None: `corpus`.
        beside: another checkpoint for comparison, or None.
        pieces: how many the checkpoint composes.
        length_notes: of every piece.
        temperature: of every piece.
        seed: of the first piece.
        confidence: human pieces with a mood less sure than this do not train the listener.
    """

    checkpoint: Path
    corpus: Path
    beside: Path | None = None
    pieces: int = 400
    length_notes: int = 200
    temperature: float = 0.9
    seed: int = 20_000
    confidence: float = 0.4
    human: Path | None = None


@dataclass(slots=True)
class Study:
    """The result: `facts` is the report's JSON; the rest is for its pictures and sounds."""

    facts: Json
    served: list[Served]
    split: Split


def run(options: Options, say: Say) -> Study:
    """Evaluate a checkpoint.

    Raises:
        MusicLSTMError: the checkpoint or the corpus is missing or damaged.
    """
    checkpoint = load_checkpoint(options.checkpoint)
    beside = load_checkpoint(options.beside) if options.beside else None
    pieces = load_corpus(options.corpus)
    band = load_corpus(options.human) if options.human else pieces
    return examine(checkpoint, beside, Index.load(options.checkpoint), pieces, band, options, say)


def examine(
    checkpoint: Checkpoint,
    beside: Checkpoint | None,
    index: Index | None,
    pieces: Sequence[Piece],
    band: Sequence[Piece],
    options: Options,
    say: Say,
) -> Study:
    """Evaluate what was loaded.

    Args:
        checkpoint: to evaluate.
        beside: to compare with, or None.
        index: of the checkpoint; None: made from the training side of the corpus.
        pieces: the corpus.
        band: the corpus whose held-out human pieces are the band; may be the same.
        options: the rest.
        say: told what is being done.

    Raises:
        SetupProblem: too few human pieces are held back to compare with.
    """
    split = split_by_composer(pieces)
    band_split = split if band is pieces else split_by_composer(band)
    human = [piece for piece in (*band_split.valid, *band_split.test) if piece.source != SOURCE]
    excerpted = [score for piece in human for score in excerpts(piece.score, options.length_notes)]
    if len(excerpted) < 20:
        raise SetupProblem(
            f"The corpus in {options.human or options.corpus} holds back too few human pieces of "
            f"{options.length_notes} notes to compare with: name one that does with --human, or ask for a smaller "
            "--length."
        )
    if index is None:
        tick = say("Indexing the training pieces", 1)
        index = build_index(split.train)
        tick()
    say_fit = say("Fitting the n-grams", 2)
    train = [to_example(piece).tokens for piece in split.train]
    ngrams: dict[str, NGram] = {}
    for name, order in (("5-gram", 5), ("unigram", 1)):
        ngrams[name] = NGram(order).fit(train)
        say_fit()
    checkpoints = {one.id: one for one in (checkpoint, beside) if one is not None}
    wanted = requests(options.pieces, options.length_notes, options.temperature, options.seed)
    served = serve(checkpoint, index, wanted, say("Composing", len(wanted)))
    fewer = wanted[: max(len(MOODS), options.pieces // 4)]
    rng = np.random.default_rng(options.seed)
    systems: dict[str, list[Score]] = {checkpoint.id: [piece.score for piece in served]}
    if beside is not None:
        its_index = Index.load(options.beside) if options.beside else None  # it is served as it would be
        found = serve(beside, its_index, fewer, say(f"Composing with {beside.id}", len(fewer)))
        systems[beside.id] = [piece.score for piece in found]
    for name, model in ngrams.items():
        systems[name] = ngram_pieces(model, fewer, say(f"Composing with the {name}", len(fewer)))
    baselines = dict(list(systems.items())[1:])  # by request; the first is the one served
    systems["shuffle"] = [shuffled(score, rng) for score in excerpted]
    splits = [split] if band is pieces else [split, band_split]
    sure = [
        piece
        for one in splits
        for piece in one.train
        if piece.source == SOURCE or piece.mood_confidence >= options.confidence
    ]
    unheard = [piece for one in splits for piece in (*one.valid, *one.test)]
    scored = score_held_out(checkpoints, ngrams, {"valid": split.valid, "test": split.test}, rng, say)
    facts: Json = {
        "checkpoint": checkpoint.id,
        "preset": checkpoint.sidecar.get("preset"),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "pieces": options.pieces,
        "baseline_pieces": len(fewer),
        "length_notes": options.length_notes,
        "temperature": options.temperature,
        "first_seed": options.seed,
        "corpus": {
            "hash": corpus_hash(pieces),
            "trained_on_this": checkpoint.sidecar.get("corpus", {}).get("hash") == corpus_hash(pieces),
            "train_pieces": len(split.train),
            "held_out_by_title": split.by_title or band_split.by_title,
            "held_out_human_pieces": len(human),
            "human_excerpts": len(excerpted),
            "held_out_pieces": len(unheard),
            "held_out_learnt": known(index, unheard),
        },
        "nats_per_note": {
            side: {name: one.pop("nats") for name, one in by_system.items()} for side, by_system in scored.items()
        },
        "nats_per_note_95": scored,
        "measures": compare_measures(excerpted, systems, say),
        "moods": listen_for_moods(sure, unheard, served, (fewer, baselines), rng, say),
        "originality": look_for_copies(index, human, served, systems, say),
        "endings": see_endings(human, served, systems),
        "exact_length": float(np.mean([len(p.score.notes) == p.request.length_notes for p in served])),
    }
    return Study(facts, served, split)


def default_beside(checkpoint: Path) -> Path | None:
    """The built-in v1, unless it is what is evaluated."""
    v1 = BUILT_IN / "v1"
    return v1 if (v1 / "model.json").exists() and v1.resolve() != checkpoint.resolve() else None


def nearest_piece(study: Study, number: int) -> tuple[Piece, float] | None:
    """The training piece closest to a served one and their BLEU, or None where nothing is shared."""
    found = study.served[number].originality
    if found is None or found.closest_title is None:
        return None
    for piece in study.split.train:
        if source_of(piece).title == found.closest_title:
            return piece, bleu(study.served[number].score, [piece.score])
    return None
