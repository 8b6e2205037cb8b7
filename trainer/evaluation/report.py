"""The evaluation as Markdown, written from its numbers by the program and never by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from data.moods import MOODS
from data.repetition import REPETITION

Json = dict[str, Any]


def markdown(facts: Json) -> str:
    """The report of `study.run`'s facts; pictures are expected beside it."""
    parts = [_head(facts), _nats(facts), _measures(facts), _moods(facts), _originality(facts), _endings(facts)]
    if facts.get("sounds"):
        parts.append(_sounds(facts["sounds"]))
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _head(facts: Json) -> str:
    corpus = facts["corpus"]
    same = (
        "the corpus that it was trained on"
        if corpus["trained_on_this"]
        else "**another corpus** than it was trained on"
    )
    whose = "that" if corpus["held_out_by_title"] else "by people whose music"
    learnt, held_out = corpus["held_out_learnt"], corpus["held_out_pieces"]
    but = f" **It had learnt {learnt} of the {held_out} held-out pieces all the same.**" if learnt else ""
    return (
        f"# Evaluation of {facts['checkpoint']}\n\n"
        f"{facts['date']}. {facts['pieces']} pieces of {facts['length_notes']} notes at temperature "
        f"{facts['temperature']}, the eight moods taking turns, seeds from {facts['first_seed']}, as the engine serves "
        f"them. Beside them stand {corpus['human_excerpts']} excerpts of as many notes out of "
        f"{corpus['held_out_human_pieces']} human pieces {whose} training never saw, from {same} "
        f"({corpus['hash'][:12]}, {corpus['train_pieces']} training pieces).{but}\n\n"
        f"The others wrote {facts['baseline_pieces']} pieces each, with the same lengths, temperature, tempi and keys; "
        "a checkpoint serves the best of its takes, an n-gram has one. "
        "*Shuffle* has the notes of the human excerpts in random order: a measure that does not tell it from music "
        "proves nothing.\n\n" + _verdicts(facts)
    )


def verdicts(facts: Json) -> dict[str, bool]:
    """What the checkpoint has to show, each with whether it does."""
    own = facts["checkpoint"]
    telling = [row for row in facts["measures"] if "human" in row and not row["systems"]["shuffle"]["inside"]]
    served = facts["originality"]["served"]
    return {
        "held-out nats per note below every baseline": all(
            side[own] < value
            for side in facts["nats_per_note"].values()
            for name, value in side.items()
            if not name.startswith(own)
        ),
        "inside the human band wherever the shuffle is outside": all(row["systems"][own]["inside"] for row in telling),
        "moods recognised by the fitted listener in at least 80 %": facts["moods"]["fitted"]["accuracy"] >= 0.8,
        "moods recognised by the literature's above shuffled labels": facts["moods"]["literature"]["accuracy"]
        > facts["moods"]["literature"]["shuffled_p99"],
        "dark and tense lower in valence than hopeful and ethereal": facts["moods"]["valence"][
            "probability_high_above_low"
        ]
        > 0.5,
        "originality: 95th percentile at most the human one": served["copied_share_p95"]
        <= facts["originality"]["held_out_human"]["copied_share_p95"],
        "no copied run beyond the limit": served["longest_run_max_notes"] <= facts["originality"]["run_limit_notes"],
        "at least 90 % of pieces end": facts["endings"]["served"]["ends"] >= 0.9,
        "every piece has exactly the notes asked for": facts["exact_length"] == 1.0,
    }


def _verdicts(facts: Json) -> str:
    return _table(("asked", "shown"), ((name, "yes" if ok else "**no**") for name, ok in verdicts(facts).items()))


def _nats(facts: Json) -> str:
    sides = facts["nats_per_note"]
    whose = "that" if facts["corpus"]["held_out_by_title"] else "by composers that"
    names = list(next(iter(sides.values())))

    def cell(side: str, name: str) -> str:
        sure = facts["nats_per_note_95"][side][name]
        low, high = sure["above"] or sure["interval"]
        between = f"{low:+.2f} to {high:+.2f}" if sure["above"] else f"{low:.2f} to {high:.2f}"
        return f"{sides[side][name]:.3f} ({between})"

    rows = [(name, *(cell(side, name) for side in sides)) for name in names]
    return (
        "## Coherence: held-out nats per note\n\n"
        f"Mean negative log-likelihood of a note (part, time, pitch, duration, velocity) in pieces {whose} training "
        f"has not seen; lower is better. In brackets 95 % intervals, people drawn with replacement: of {names[0]} "
        "itself, and of how far the others are above it.\n\n" + _table(("system", *sides), rows)
    )


def _measures(facts: Json) -> str:
    rows = [row for row in facts["measures"] if "human" in row]
    names = list(rows[0]["systems"])
    table = []
    for row in rows:
        human = row["human"]
        cells = [
            f"{'**' if not row['systems'][name]['inside'] else ''}{row['systems'][name]['median']:.3f}"
            f"{'**' if not row['systems'][name]['inside'] else ''} ({row['systems'][name]['share_inside']:.0%})"
            for name in names
        ]
        band = f"{human['p5']:.3f} · {human['median']:.3f} · {human['p95']:.3f}"
        table.append((row["name"], row["group"], band, *cells))
    error = next(row for row in facts["measures"] if row["name"] == "similarity error")
    table.append((error["name"], error["group"], "0", *(f"{error['systems'][name]['error']:.3f}" for name in names)))
    says = "\n".join(f"- *{row['name']}*: {row['says']}." for row in facts["measures"])
    telling = [row["name"] for row in rows if not row["systems"]["shuffle"]["inside"]]
    return (
        "## Coherence and repetition\n\n"
        "Median over pieces, in brackets the share of pieces inside the human band (by its definition 90 % of human "
        "excerpts). Bold: the median lies outside. Controls are printed, but cannot tell music from its shuffle.\n\n"
        + _table(("measure", "group", "human 5 · 50 · 95 %", *names), table)
        + f"\n\nThe median of the shuffle lies outside the band in {len(telling)} of {len(rows)}"
        + (f": {', '.join(telling)}. " if telling else ". ")
        + f"The choice among takes looks at {', '.join(REPETITION)} too, so these flatter where there are takes."
        + f"\n\n{says}\n\n![Measures](measures.png)\n\n![Bars that come back](lags.png)"
    )


def _moods(facts: Json) -> str:
    moods = facts["moods"]
    others = list(moods["literature"]["baselines"])
    rows = [
        (
            name,
            f"{moods[key]['accuracy']:.1%} ({moods[key]['interval'][0]:.0%} to {moods[key]['interval'][1]:.0%})",
            f"{moods[key]['shuffled_mean']:.1%} (99 % below {moods[key]['shuffled_p99']:.1%})",
            *(f"{moods[key]['baselines'][other]:.1%}" for other in others),
        )
        for key, name in (
            ("literature", "attribute model of the literature, fitted to nothing of ours; it helps to choose the take"),
            ("fitted", f"softmax regression on attributes ({moods['fitted']['trained_on']['human_excerpts']} human and "
             f"{moods['fitted']['trained_on']['own_excerpts']} own excerpts); one like it helps to choose"),
            ("histograms", "softmax regression on histograms of notes, fitted to the same; it chose nothing"),
        )
    ]  # fmt: skip
    affect = [
        (mood.value, *(f"{moods[axis]['means'].get(mood.value, float('nan')):+.2f}" for axis in ("valence", "arousal")))
        for mood in MOODS
    ]
    orders = "\n".join(
        f"- {axis}: rank correlation with the moods' profiles {moods[axis]['rank_correlation']:.2f}; a piece of "
        f"{' or '.join(moods[axis]['high_moods'])} is estimated above one of {' or '.join(moods[axis]['low_moods'])} "
        f"with probability {moods[axis]['probability_high_above_low']:.2f} (chance 0.50)."
        for axis in ("valence", "arousal")
    )
    return (
        "## Mood\n\nHow often the mood that was asked for is the one that is heard, and the same of the others; of "
        "it the n-grams know only the key and the tempo that a request gets.\n\n"
        + _table(("listener", "right", "with shuffled labels", *others), rows)
        + f"\n\n{_regressions(moods)}\n\n"
        + _table(("mood", "valence", "arousal"), affect)
        + f"\n\n{orders}\n\n![Asked and heard, regression](confusion-fitted.png)\n\n"
        "![Asked and heard, literature](confusion-literature.png)\n\n"
        "![Asked and heard, histograms](confusion-histograms.png)\n\n![Valence and arousal](affect.png)"
    )


def _regressions(moods: Json) -> str:
    """How far the two regressions can be trusted."""

    def both(of: Callable[[Json], float | None]) -> str:
        return " and ".join(
            "-" if (share := of(moods[key])) is None else f"{share:.1%}" for key in ("fitted", "histograms")
        )

    return (
        f"The regressions are right in {both(lambda one: one['held_out_accuracy']['program'])} of held-out excerpts by "
        f"the program, and in {both(lambda one: one['held_out_accuracy']['people'])} of those by people, whose labels "
        "are estimates themselves. Fitted to excerpts by people alone they hear the mood that was asked for in "
        f"{both(lambda one: one['accuracy_fitted_to_people'])} of the pieces."
    )


def _originality(facts: Json) -> str:
    found = facts["originality"]
    rows = [
        (
            name,
            f"{of['copied_share_median']:.3f}",
            f"{of['copied_share_p95']:.3f}",
            f"{of['copied_share_max']:.3f}",
            f"{of['longest_run_median_notes']:.0f}",
            f"{of['longest_run_p95_notes']:.0f}",
            of["longest_run_max_notes"],
        )
        for name, of in (
            ("held-out human pieces", found["held_out_human"]),
            ("held-out human excerpts, as long as the pieces", found["held_out_human_excerpts"]),
            ("served pieces", found["served"]),
            *found["baselines"].items(),
        )
    ]
    closest = [
        (one["mood"], one["seed"], f"{one['copied_share']:.3f}", one["longest_copied_run_notes"], one["closest_title"])
        for one in found["closest"]
    ]
    return (
        "## Originality\n\n"
        "Share of a piece's distinct 8-interval runs that stand in the training music, and the longest stretch out of "
        "one training piece (after Yin et al. 2022; `engine/originality.py`).\n\n"
        + _table(("", "share, median", "95 %", "most", "run, median", "95 %", "longest"), rows)
        + f"\n\nThe engine writes {found['takes']} takes of each piece and passes over those above "
        f"{found['human_p95_of_training_pieces']:.3f} (95 % of human training pieces beside other authors' stay below) "
        f"or beyond {found['run_limit_notes']} notes in a row: the best one was such a copy in "
        f"{found['copies_passed_over']:.1%}, and all were in {found['more_takes_drawn']:.1%}, where more were written; "
        f"{found['not_acceptable_after_all']:.1%} stayed above after all.\n\n"
        "The five that share most:\n\n" + _table(("mood", "seed", "share", "run", "closest to"), closest)
    )


def _endings(facts: Json) -> str:
    names = ("ends", "long", "fading", "tonic")
    rows = [(who, *(f"{of[name]:.1%}" for name in names)) for who, of in facts["endings"].items()]
    return (
        "## Endings\n\n"
        "*Long*: the last sonority rings on for two beats or more and twice as long as onsets usually are apart, and "
        "the last three notes are twice as long as the piece's. *Fading*: the last eight notes are softer or slower "
        "than the piece, and a beat rings on. *Ends*: either. *Tonic*: the lowest final note is the first or fifth "
        "degree of the key. Human pieces cut at two thirds show what stopping looks like.\n\n"
        + _table(("", *names), rows)
        + f"\n\nPieces with exactly the notes asked for: {facts['exact_length']:.1%}."
    )


def _sounds(sounds: Sequence[Json]) -> str:
    rows = [
        (
            one["mood"],
            one["closest_title"],
            f"{one['bleu']:.3f}",
            f"{one['bleu_to_another']:.3f}",
            f"{one['distance_db']:.1f}",
            f"{one['distance_to_another_db']:.1f}",
        )
        for one in sounds
    ]
    pictures = "\n\n".join(f"![{one['mood']}]({one['picture']})" for one in sounds)
    return (
        "## Pieces beside their nearest\n\n"
        "The training piece that shares most runs with a served one: BLEU-4 (sacrebleu) of the notes, and the distance "
        "of the log-mel spectra of their sound; beside each the same to a training piece drawn at random.\n\n"
        + _table(("mood", "nearest", "BLEU", "to another", "distance, dB", "to another"), rows)
        + "\n\n"
        + pictures
    )
