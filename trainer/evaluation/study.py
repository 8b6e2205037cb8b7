"""The whole evaluation of one checkpoint, as one JSON value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.composer.corpus import SOURCE
from data.controls import NOT_TOLD
from data.corpus import Piece, Split, corpus_hash, load_corpus, split_by_composer
from data.endings import ending
from data.keys import estimate_key
from data.listener import Listener, features, labelled
from data.moods import MOODS
from data.repetition import excerpts
from data.score import Score
from engine.checkpoint import BUILT_IN, Checkpoint, load_checkpoint
from engine.errors import SetupProblem
from engine.originality import Index
from engine.takes import takes_of
from engine.types import COPIED_RUN_LIMIT_NOTES, Originality
from trainer.baselines import NGram
from trainer.cache import held_out_nats
from trainer.dataset import Example, to_example
from trainer.evaluation.bleu import bleu, self_bleu
from trainer.evaluation.measures import MEASURES, lag_curve
from trainer.evaluation.moods import affect, hear_by_literature, histograms, recognition
from trainer.evaluation.systems import Served, ngram_pieces, requests, serve, shuffled
from trainer.originality import build_index, leave_one_author_out, source_of

Say = Callable[[str, int], Callable[[], None]]  # (what is being done, steps) -> call after each step
Json = dict[str, Any]

BAND = (5, 95)  # percentiles of human excerpts
_SELF_BLEU_PIECES = 40  # a BLEU against hundreds of references finds every phrase somewhere


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
        found = serve(beside, None, fewer, say(f"Composing with {beside.id}", len(fewer)))
        systems[beside.id] = [piece.score for piece in found]
    for name, model in ngrams.items():
        systems[name] = ngram_pieces(model, fewer, say(f"Composing with the {name}", len(fewer)))
    systems["shuffle"] = [shuffled(score, rng) for score in excerpted]
    held_out = {"valid": split.valid, "test": split.test}
    if any(piece.source == SOURCE for piece in pieces):
        of_people = {side: [piece for piece in members if piece.source != SOURCE] for side, members in held_out.items()}
        held_out |= {f"{side}, by people": members for side, members in of_people.items() if members}
    facts: Json = {
        "checkpoint": checkpoint.id,
        "preset": checkpoint.sidecar.get("preset"),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "pieces": options.pieces,
        "length_notes": options.length_notes,
        "temperature": options.temperature,
        "first_seed": options.seed,
        "corpus": {
            "hash": corpus_hash(pieces),
            "trained_on_this": checkpoint.sidecar.get("corpus", {}).get("hash") == corpus_hash(pieces),
            "train_pieces": len(split.train),
            "held_out_human_pieces": len(human),
            "human_excerpts": len(excerpted),
        },
        "nats_per_note": {side: _nats(checkpoints, ngrams, members, rng, say) for side, members in held_out.items()},
        "measures": _measures(excerpted, systems, say),
        "moods": _moods([split] if band is pieces else [split, band_split], served, options, rng, say),
        "originality": _originality(index, human, served, say),
        "endings": _endings(human, served, systems),
        "exact_length": float(np.mean([len(p.score.notes) == p.request.length_notes for p in served])),
    }
    return Study(facts, served, split)


def default_beside(checkpoint: Path) -> Path | None:
    """The built-in v1, unless it is what is evaluated."""
    v1 = BUILT_IN / "v1"
    return v1 if (v1 / "model.json").exists() and v1.resolve() != checkpoint.resolve() else None


def _nats(
    checkpoints: dict[str, Checkpoint],
    ngrams: dict[str, NGram],
    pieces: Sequence[Piece],
    rng: np.random.Generator,
    say: Say,
) -> Json:
    """Nats per note of held-out pieces by composers that training has not seen."""
    tick = say("Scoring held-out pieces", len(checkpoints) + len(ngrams) + 1)
    examples = [to_example(piece) for piece in pieces]
    result: Json = {}
    for name, checkpoint in checkpoints.items():
        confidence = checkpoint.sidecar.get("training", {}).get("mood_confidence", 0.0)
        # Controls look at the whole piece, so nobody is told them.
        result[name] = _model_nats(checkpoint, [to_example(piece, confidence).told(NOT_TOLD) for piece in pieces])
        tick()
    for name, model in ngrams.items():
        result[name] = model.nats_per_note([example.tokens for example in examples])
        tick()
    first = next(iter(checkpoints.values()))
    shuffles = [_shuffled_example(piece, rng) for piece in pieces]
    result[f"{first.id} on a shuffle of the same notes"] = _model_nats(first, shuffles)
    tick()
    return result


def _model_nats(checkpoint: Checkpoint, examples: Sequence[Example]) -> float:
    return sum(held_out_nats(checkpoint.model, examples))


def _shuffled_example(piece: Piece, rng: np.random.Generator) -> Example:
    values = {name: getattr(piece, name) for name in piece.__slots__}
    return to_example(Piece(**(values | {"score": shuffled(piece.score, rng)}))).told(NOT_TOLD)


def _measures(human: Sequence[Score], systems: dict[str, list[Score]], say: Say) -> list[Json]:
    """Each measure with the human band and every system's place in it."""
    tick = say("Measuring", len(MEASURES) + 1)
    rows = []
    columns: list[tuple[str, str, str, list[float], dict[str, list[float]]]] = []
    for measure in MEASURES:
        values = {name: [measure.of(score) for score in scores] for name, scores in systems.items()}
        columns.append((measure.name, measure.group, measure.says, [measure.of(score) for score in human], values))
        tick()
    says = "BLEU-4 against 39 other pieces, Zhu et al. 2018, by sacrebleu"
    blues = {name: self_bleu(scores[:_SELF_BLEU_PIECES]) for name, scores in systems.items()}
    spread = human[:: max(1, len(human) // _SELF_BLEU_PIECES)][:_SELF_BLEU_PIECES]  # of as many pieces as there are
    columns.append(("self-BLEU", "repetition", says, self_bleu(spread), blues))
    tick()
    for name, group, says_, of_human, of_systems in columns:
        low, middle, high = (float(value) for value in np.percentile(of_human, (BAND[0], 50, BAND[1])))
        rows.append(
            {
                "name": name,
                "group": group,
                "says": says_,
                "human": {"p5": low, "median": middle, "p95": high},
                "systems": {
                    system: {
                        "median": float(np.median(values)),
                        "share_inside": float(np.mean([low <= value <= high for value in values])),
                        "inside": bool(low <= np.median(values) <= high),
                    }
                    for system, values in of_systems.items()
                },
            }
        )
    curves = {"human": human, **systems}
    lag = {name: _mean_lags(scores) for name, scores in curves.items()}
    reference = lag["human"]
    rows.append(
        {
            "name": "similarity error",
            "group": "coherence",
            "says": "mean distance of the bar-lag curve from the human one, Yu et al. 2022; no band",
            "curves": {name: [round(float(value), 4) for value in curve] for name, curve in lag.items()},
            "systems": {n: {"error": float(np.abs(c - reference).mean())} for n, c in lag.items() if n != "human"},
        }
    )
    return rows


def _mean_lags(scores: Sequence[Score]) -> npt.NDArray[np.float64]:
    """The mean lag curve; a piece too short for a lag has no say in it."""
    curves = np.array([lag_curve(score) for score in scores])  # [pieces, lags]
    known = np.isfinite(curves)
    mean: npt.NDArray[np.float64] = np.where(known, curves, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    return mean


def _moods(
    splits: Sequence[Split], served: Sequence[Served], options: Options, rng: np.random.Generator, say: Say
) -> Json:
    tick = say("Listening for moods", 3)
    train = [piece for split in splits for piece in split.train]
    held_out = [piece for split in splits for piece in (*split.valid, *split.test)]
    sure = [p for p in train if p.source == SOURCE or p.mood_confidence >= options.confidence]
    scores, asked = [piece.score for piece in served], [piece.request.mood for piece in served]
    result = {"literature": recognition(asked, hear_by_literature(scores), rng), **affect(asked, scores)}
    tick()
    for name, hears in (("fitted", features), ("histograms", histograms)):
        listener = Listener.fit(*labelled(sure, options.length_notes, hears))
        test_rows, test_labels = labelled(held_out, options.length_notes, hears)
        result[name] = {
            **recognition(asked, listener.hear(np.array([hears(score) for score in scores])), rng),
            "trained_on": {
                "human_excerpts": sum(2 for p in sure if p.source != SOURCE),
                "own_excerpts": sum(2 for p in sure if p.source == SOURCE),
            },
            "held_out_accuracy": recognition(test_labels, listener.hear(test_rows), rng)["accuracy"],
        }
        tick()
    return result


def _originality(index: Index, human: Sequence[Piece], served: Sequence[Served], say: Say) -> Json:
    tick = say("Looking for copies", 1)
    of_human = leave_one_author_out(index, human)
    tick()
    final = [index.check(piece.score) for piece in served]
    closest = sorted(range(len(final)), key=lambda n: final[n].copied_share, reverse=True)[:5]
    takes = takes_of(served[0].request.length_notes)
    return {
        "human_p95_of_training_pieces": index.human_p95,
        "run_limit_notes": COPIED_RUN_LIMIT_NOTES,
        "held_out_human": _shares(of_human),
        "served": _shares(final),
        "takes": takes,
        "copies_passed_over": float(np.mean([piece.chosen.copies > 0 for piece in served])),
        "more_takes_drawn": float(np.mean([piece.chosen.drawn > takes for piece in served])),
        "not_acceptable_after_all": float(np.mean([not found.acceptable for found in final])),
        "closest": [
            {
                "seed": served[n].request.seed,
                "mood": served[n].request.mood.value,
                "copied_share": final[n].copied_share,
                "longest_copied_run_notes": final[n].longest_copied_run_notes,
                "closest_title": final[n].closest_title,
            }
            for n in closest
        ],
    }


def _cut(score: Score) -> Score:
    return Score(score.notes[: len(score.notes) * 2 // 3], score.tempo_bpm)


def _shares(found: Sequence[Originality]) -> Json:
    shares = [one.copied_share for one in found]
    runs = [one.longest_copied_run_notes for one in found]
    return {
        "copied_share_median": float(np.median(shares)),
        "copied_share_p95": float(np.percentile(shares, 95)),
        "copied_share_max": float(np.max(shares)),
        "longest_run_median_notes": float(np.median(runs)),
        "longest_run_p95_notes": float(np.percentile(runs, 95)),
        "longest_run_max_notes": int(np.max(runs)),
        "histogram": np.histogram(shares, bins=20, range=(0, 0.4))[0].tolist(),
    }


def _endings(human: Sequence[Piece], served: Sequence[Served], systems: dict[str, list[Score]]) -> Json:
    """How pieces end; human pieces that were cut at two thirds show what stopping looks like."""

    def of(scores: Sequence[Score]) -> Json:
        ends = [ending(score, estimate_key(score.notes)[0].tonic) for score in scores]
        return {
            name: float(np.mean([getattr(end, name) for end in ends])) for name in ("ends", "long", "fading", "tonic")
        }

    own = [ending(piece.score, piece.plan.key.tonic) for piece in served]
    return {
        "served": {
            name: float(np.mean([getattr(e, name) for e in own])) for name in ("ends", "long", "fading", "tonic")
        },
        "whole human pieces": of([piece.score for piece in human]),
        "human pieces cut at two thirds": of([_cut(piece.score) for piece in human]),
        **{name: of(scores) for name, scores in list(systems.items())[1:]},  # the first is the one served
    }


def nearest_piece(study: Study, number: int) -> tuple[Piece, float] | None:
    """The training piece closest to a served one and their BLEU, or None where nothing is shared."""
    found = study.served[number].originality
    if found is None or found.closest_title is None:
        return None
    for piece in study.split.train:
        if source_of(piece).title == found.closest_title:
            return piece, bleu(study.served[number].score, [piece.score])
    return None
