"""The answers of an evaluation, question by question, as JSON values: `study` puts them together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from data.composer.corpus import SOURCE
from data.controls import NOT_TOLD
from data.corpus import Piece
from data.endings import ending
from data.keys import estimate_key
from data.listener import Floats, Listener, features, labelled
from data.moods import Mood
from data.repetition import excerpts
from data.score import Score
from engine.checkpoint import Checkpoint
from engine.model import NoteLSTM
from engine.originality import Index, all_runs
from engine.takes import takes_of
from engine.types import COPIED_RUN_LIMIT_NOTES, ComposeRequest, Originality
from trainer.baselines import NGram
from trainer.cache import held_out_nats
from trainer.dataset import Example, to_example
from trainer.evaluation.bleu import self_bleu
from trainer.evaluation.intervals import mean_interval
from trainer.evaluation.measures import MEASURES, lag_curve
from trainer.evaluation.moods import affect, hear_by_literature, histograms, recognition
from trainer.evaluation.systems import Served, shuffled
from trainer.originality import leave_one_author_out, source_of

Say = Callable[[str, int], Callable[[], None]]  # (what is being done, steps) -> call after each step
Json = dict[str, Any]
Hears = Callable[[Score], Floats]

BAND = (5, 95)  # percentiles of human excerpts
_SELF_BLEU_PIECES = 40  # a BLEU against hundreds of references finds every phrase somewhere


def score_held_out(
    checkpoints: dict[str, Checkpoint],
    ngrams: dict[str, NGram],
    sides: dict[str, list[Piece]],
    rng: np.random.Generator,
    say: Say,
) -> dict[str, Json]:
    """Nats per note of held-out pieces by composers that training has not seen.

    Args:
        checkpoints: by name; the first is the one evaluated.
        ngrams: by name.
        sides: of the corpus, by name; where the program's own pieces are among them, those by people count apart too.
        rng: shuffles notes.
        say: told what is being done.

    Returns:
        per side and system "nats", their 95 % interval, and, of all but the first, how far they are "above" it.
    """
    result: dict[str, Json] = {}
    of_people: dict[str, Json] = {}
    for side, pieces in sides.items():
        tick = say(f"Scoring held-out pieces ({side})", len(checkpoints) + len(ngrams) + 1)
        examples = [to_example(piece) for piece in pieces]
        found: dict[str, Floats] = {}  # of each system [N], the nats of each piece
        for name, checkpoint in checkpoints.items():
            confidence = checkpoint.sidecar.get("training", {}).get("mood_confidence", 0.0)
            # Controls look at the whole piece, so nobody is told them.
            untold = [to_example(piece, confidence).told(NOT_TOLD) for piece in pieces]
            found[name] = _model_nats(checkpoint, untold)
            if checkpoint.config.cache_share:
                alone = dataclasses.replace(checkpoint.config, cache_share=0.0)
                found[f"{name} without its cache"] = _model_nats(dataclasses.replace(checkpoint, config=alone), untold)
            tick()
        for name, model in ngrams.items():
            found[name] = _ngram_nats(model, examples)
            if model.order > 1:
                found[f"{name} that counts the piece too"] = _ngram_nats(model, examples, listening=True)
            tick()
        first = next(iter(checkpoints.values()))
        shuffles = [_shuffled_example(piece, rng) for piece in pieces]
        found[f"{first.id} on a shuffle of the same notes"] = _model_nats(first, shuffles)
        tick()
        result[side] = _per_note(found, pieces, np.ones(len(pieces), bool))
        people = np.array([piece.source != SOURCE for piece in pieces])
        if people.any() and not people.all():
            of_people[f"{side}, by people"] = _per_note(found, pieces, people)
    return result | of_people


def _per_note(found: dict[str, Floats], pieces: Sequence[Piece], which: npt.NDArray[np.bool_]) -> Json:
    """What `score_held_out` says of some of the pieces."""
    notes = np.array([float(len(piece.score.notes)) for piece in pieces])[which]
    authors = np.array([source_of(piece).author for piece in pieces])[which].tolist()
    own = next(iter(found.values()))
    return {
        name: {
            "nats": float(nats[which].sum() / notes.sum()),
            "interval": mean_interval(nats[which], notes, authors),
            "above": None if nats is own else mean_interval((nats - own)[which], notes, authors),
        }
        for name, nats in found.items()
    }


def _model_nats(checkpoint: Checkpoint, examples: Sequence[Example]) -> Floats:
    """[N] float64: the nats of each piece."""
    model = NoteLSTM.of(checkpoint)
    return np.array([sum(held_out_nats(model, [example])) * len(example.tokens) for example in examples])


def _ngram_nats(model: NGram, examples: Sequence[Example], *, listening: bool = False) -> Floats:
    """[N] float64: the nats of each piece."""
    return np.array([model.nats_per_note([e.tokens], listening=listening) * len(e.tokens) for e in examples])


def _shuffled_example(piece: Piece, rng: np.random.Generator) -> Example:
    values = {name: getattr(piece, name) for name in piece.__slots__}
    return to_example(Piece(**(values | {"score": shuffled(piece.score, rng)}))).told(NOT_TOLD)


def compare_measures(human: Sequence[Score], systems: dict[str, list[Score]], say: Say) -> list[Json]:
    """Each measure with the human band and every system's place in it."""
    tick = say("Measuring", len(MEASURES) + 1)
    rows = []
    columns: list[tuple[str, str, str, list[float], dict[str, list[float]]]] = []
    for measure in MEASURES:
        values = {name: [measure.of(score) for score in scores] for name, scores in systems.items()}
        columns.append((measure.name, measure.group, measure.says, [measure.of(score) for score in human], values))
        tick()
    says = "BLEU-4 against 39 other pieces, Zhu et al. 2018, by sacrebleu"
    # Of excerpts, and of their shuffles, from as many pieces as there are; moods take turns in the others.
    step = {"shuffle": max(1, len(human) // _SELF_BLEU_PIECES)}
    blues = {name: self_bleu(scores[:: step.get(name, 1)][:_SELF_BLEU_PIECES]) for name, scores in systems.items()}
    spread = human[:: step["shuffle"]][:_SELF_BLEU_PIECES]
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


def listen_for_moods(
    train: Sequence[Piece],
    held_out: Sequence[Piece],
    served: Sequence[Served],
    baselines: tuple[Sequence[ComposeRequest], dict[str, list[Score]]],
    rng: np.random.Generator,
    say: Say,
) -> Json:
    """How often the moods that were asked for are heard.

    Args:
        train: pieces whose moods the regressions learn.
        held_out: pieces that they are tried on.
        served: by the checkpoint.
        baselines: requests, and the pieces that each other system wrote for them.
        rng: shuffles labels.
        say: told what is being done.
    """
    length_notes = served[0].request.length_notes

    def of_baselines(hear: Callable[[Sequence[Score]], Sequence[Mood]]) -> dict[str, float]:
        wanted = [request.mood for request in baselines[0]]
        return {name: _agreement(wanted, hear(scores)) for name, scores in baselines[1].items()}

    tick = say("Listening for moods", 3)
    scores, asked = [piece.score for piece in served], [piece.request.mood for piece in served]
    result = {"literature": recognition(asked, hear_by_literature(scores), rng), **affect(asked, scores)}
    result["literature"]["baselines"] = of_baselines(hear_by_literature)
    tick()
    by_people, by_program = _apart(train)
    unheard = dict(zip(("people", "program"), _apart(held_out), strict=True))
    for name, hears in (("fitted", features), ("histograms", histograms)):
        listener = Listener.fit(*labelled(train, length_notes, hears))
        hear = partial(_heard, listener, hears)
        alone = Listener.fit(*labelled(by_people, length_notes, hears)) if by_people else None
        result[name] = {
            **recognition(asked, hear(scores), rng),
            "baselines": of_baselines(hear),
            "trained_on": {
                "human_excerpts": _excerpts(by_people, length_notes),
                "own_excerpts": _excerpts(by_program, length_notes),
            },
            "held_out_accuracy": {who: _right(listener, hears, length_notes, of) for who, of in unheard.items()},
            "accuracy_fitted_to_people": alone and _agreement(asked, _heard(alone, hears, scores)),
        }
        tick()
    return result


def _apart(pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Those by people, and those by the program."""
    return [p for p in pieces if p.source != SOURCE], [p for p in pieces if p.source == SOURCE]


def _right(listener: Listener, hears: Hears, length_notes: int, pieces: Sequence[Piece]) -> float | None:
    """How often a listener hears the mood of an excerpt; None where there is none."""
    rows, moods = labelled(pieces, length_notes, hears)
    return _agreement(moods, listener.hear(rows)) if moods else None


def _agreement(asked: Sequence[Mood], heard: Sequence[Mood]) -> float:
    return float(np.mean([one is other for one, other in zip(asked, heard, strict=True)]))


def _excerpts(pieces: Sequence[Piece], length_notes: int) -> int:
    """How many excerpts a listener is given of some pieces."""
    return len(labelled(pieces, length_notes, lambda _: np.empty(0))[1])


def look_for_copies(
    index: Index, human: Sequence[Piece], served: Sequence[Served], systems: dict[str, list[Score]], say: Say
) -> Json:
    """What stands in the training music already: of people's pieces, of what is served, and of what others wrote."""
    tick = say("Looking for copies", 1)
    of_human = leave_one_author_out(index, human)
    length_notes = served[0].request.length_notes
    of_excerpts = [
        index.check_runs(all_runs(excerpt), without_author=source_of(piece).author)
        for piece in human
        for excerpt in excerpts(piece.score, length_notes)
    ]
    tick()
    final = [index.check(piece.score) for piece in served]
    closest = sorted(range(len(final)), key=lambda n: final[n].copied_share, reverse=True)[:5]
    takes = takes_of(length_notes)
    return {
        "human_p95_of_training_pieces": index.human_p95,
        "run_limit_notes": COPIED_RUN_LIMIT_NOTES,
        "held_out_human": _shares(of_human),
        "held_out_human_excerpts": _shares(of_excerpts),
        "served": _shares(final),
        "baselines": {
            name: _shares([index.check(score) for score in scores]) for name, scores in list(systems.items())[1:]
        },
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


def see_endings(human: Sequence[Piece], served: Sequence[Served], systems: dict[str, list[Score]]) -> Json:
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


def _heard(listener: Listener, hears: Hears, scores: Sequence[Score]) -> Sequence[Mood]:
    return listener.hear(np.array([hears(score) for score in scores]))
