"""The model card: what a checkpoint's sidecar says, for people and for the Hugging Face Hub.

The metadata on top follows the Hub's model card specification (https://huggingface.co/docs/hub/model-cards and
`modelcard.md` in huggingface/hub-docs). Every figure is the sidecar's. Training writes the card by itself;
`python -m trainer.card CHECKPOINT` writes it again.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from data.composer.corpus import SOURCE as OWN
from data.errors import MusicLSTMError
from data.score import Part
from data.sources import Source, source, source_names
from engine.checkpoint import WEIGHTS, Checkpoint, load_checkpoint, write_atomically
from engine.errors import CheckpointProblem, StorageProblem
from engine.originality import IDIOM_AUTHORS, NGRAM_INTERVALS, Index

CARD = "README.md"
_ROOT = Path(__file__).resolve().parent.parent
# What a licence of the training music asks of those who pass it on, the most first; the Hub's names.
_STRICTEST = ("CC-BY-SA-4.0", "CC-BY-SA-3.0", "CC-BY-4.0", "CC-BY-3.0", "CC-BY-2.5", "CC-BY-2.0")
_TAGS = ("music", "music-generation", "symbolic-music", "midi", "lstm", "ambient")


def write_card(folder: Path) -> None:
    """Write the card of a checkpoint into its folder.

    Raises:
        CheckpointProblem: there is no sound checkpoint in the folder, or its sidecar says too little.
        StorageProblem: the disk is full or read-only; an older card is intact.
    """
    try:
        write_atomically({folder / CARD: card(load_checkpoint(folder), Index.load(folder)).encode()})
    except KeyError as error:
        raise CheckpointProblem(
            f"{folder} does not say what a card tells ({error} is missing): train it anew."
        ) from error
    except OSError as error:
        raise StorageProblem(f"The model card could not be written to {folder}: {error.strerror}.") from error


def card(checkpoint: Checkpoint, index: Index | None) -> str:
    """The card of a checkpoint, in Markdown with YAML on top.

    Args:
        checkpoint: whose sidecar is told.
        index: its originality index, or None where it has none.
    """
    sections = (
        _opening(checkpoint),
        _architecture(checkpoint),
        _music(checkpoint.sidecar),
        _training(checkpoint.sidecar),
        _figures(checkpoint.sidecar),
        _use(checkpoint.sidecar, index),
        _terms(checkpoint.sidecar),
    )
    return "\n\n".join([f"---\n{yaml(metadata(checkpoint))}---", *sections]) + "\n"


def metadata(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the Hub reads: JSON values in the layout of its specification."""
    about, metrics = checkpoint.sidecar, checkpoint.sidecar["metrics"]

    def result(split: str, value: float) -> dict[str, Any]:
        return {
            "task": {"type": "music-generation", "name": "Symbolic music generation"},
            "dataset": {
                "type": "musiclstm-corpus",
                "name": " + ".join(_names(about["corpus"]["sources"])),
                "split": split,
                "revision": about["corpus"]["hash"],
            },
            "metrics": [{"type": "nats_per_note", "name": f"Nats per note, {split}", "value": value}],
        }

    return {
        "license": _licence(about),
        "library_name": "musiclstm",
        "tags": list(_TAGS),
        "datasets": _names(about["corpus"]["sources"]),
        "metrics": ["nats_per_note"],
        "model-index": [
            {
                "name": f"MusicLSTM-{about['name']}",
                "results": [
                    result("validation", metrics["valid_nats_per_note"]),
                    result("test", metrics["test_nats_per_note"]),
                ],
            }
        ],
    }


def yaml(value: dict[str, Any] | list[Any], indent: str = "") -> str:
    """JSON objects and arrays, none empty, as YAML blocks; what is neither stands as in JSON, which YAML includes.

    Returns:
        lines, each with its end.
    """
    lines = []
    for name, item in value.items() if isinstance(value, dict) else (("-", item) for item in value):
        head = f"{indent}{name}" if isinstance(value, list) else f"{indent}{name}:"
        if not isinstance(item, dict | list):
            lines.append(f"{head} {json.dumps(item, ensure_ascii=False)}\n")
        elif isinstance(value, list):  # "- " takes the place of the first line's indentation
            lines.append(f"{head} {yaml(item, indent + '  ').removeprefix(indent + '  ')}")
        else:
            lines.append(f"{head}\n{yaml(item, indent + '  ')}")
    return "".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _opening(checkpoint: Checkpoint) -> str:
    about = checkpoint.sidecar
    return f"""# MusicLSTM-{about["name"]}

An LSTM that writes ambient, dark sci-fi music note by note, for the MusicLSTM bot. Checkpoint `{checkpoint.id}`, of
{about["date"]}, by the program's revision `{about["revision"] or "unknown"}`. This card is written by the program from
`model.json`; do not edit it.

```sh
MUSICLSTM_CHECKPOINT=FOLDER ./run compose mood:dark length:200 temp:0.9   # FOLDER: where this card is
```"""


def _architecture(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    controls = " and coarse controls of the whole piece" if config.controlled else ""
    return f"""## Architecture

One step is one note: part, onset delta, pitch, duration and velocity, predicted one after the other, each seeing those
already chosen. Mood, mode, tempo, notes remaining, position in the bar and polyphony{controls} are inputs at each step.

{
        _table(
            ("", ""),
            [
                ("embedding", config.embedding),
                ("hidden units", config.hidden),
                ("LSTM layers", config.layers),
                ("dropout", f"{config.dropout}{', one mask a sequence' if config.variational else ''}"),
                *([("note cache", f"{config.cache_share:g} of each prediction")] if config.cache_share else []),
                *([("guidance", f"{config.guidance:g}")] if config.guidance != 1 else []),
                ("parameters", f"{config.parameters:,}"),
                ("vocabulary", f"`{checkpoint.sidecar['vocabulary_fingerprint']}`"),
                ("weights", f"`{WEIGHTS}`, sha256 `{checkpoint.sidecar['weights_sha256']}`"),
            ],
        )
    }"""


def _music(about: dict[str, Any]) -> str:
    corpus = about["corpus"]
    rows = [(one["source"], one["licence"], one["pieces"], _credit(one)) for one in corpus["sources"]]
    before = [
        (one["source"], one["licence"], one["pieces"], f"{_credit(one)} (learnt before)")
        for one in corpus.get("before", [])
    ]
    sides = [(name, side["pieces"], f"{side['notes']:,}") for name, side in corpus["split"].items()]
    moods = ", ".join(f"{mood} {count}" for mood, count in corpus["moods"].items())
    return f"""## Training data

{corpus["pieces"]} pieces, corpus `{corpus["hash"][:16]}`; none of them is in this folder.

{_table(("source", "licence", "pieces", "credit"), [*rows, *before])}

{_division(about)}

{_table(("side", "pieces", "notes"), sides)}

Moods, written or estimated from the music: {moods}."""


def _training(about: dict[str, Any]) -> str:
    training = about["training"]
    start = f"the weights of `{training['from']}`" if training.get("from") else "random weights"
    # The shape stands above.
    rows = [
        (name.replace("_", " "), value)
        for name, value in training.items()
        if name not in {"name", "model", "from"} and value not in {None, 0.0}
    ]
    return f"""## Training

Cross-entropy of every note, truncated back-propagation through time, from {start}.
The best epoch on the validation side is kept.

{_table(("", ""), rows)}"""


def _figures(about: dict[str, Any]) -> str:
    metrics = about["metrics"]
    names = {name: [metrics["baselines"][name], metrics["baselines_test"][name]] for name in metrics["baselines"]}
    names[f"**MusicLSTM-{about['name']}**"] = [metrics["valid_nats_per_note"], metrics["test_nats_per_note"]]
    rows = [(name, f"{valid:.3f}", f"{test:.3f}") for name, (valid, test) in names.items()]
    parts = ", ".join(f"{name} {nats:.3f}" for name, nats in metrics["valid_nats_by_attribute"].items())
    by_source = metrics.get("test_nats_per_note_by_source", {})
    each = ", ".join(f"{name} {nats:.3f}" for name, nats in by_source.items())
    alone = metrics.get("valid_nats_per_note_without_cache")
    return f"""## Results

Nats per note of held-out pieces, lower is better. The baselines count the same notes of the same training pieces.

{_table(("", "validation", "test"), rows)}

By attribute, validation: {parts}. On the training side, with dropout: {metrics["train_nats_per_note"]:.3f}.{
        f" Test, source by source: {each}." if each else ""
    }{f" The LSTM without its note cache, validation: {alone:.3f}; the baselines have none." if alone else ""}"""


def _use(about: dict[str, Any], index: Index | None) -> str:
    promise = (
        f"""Pieces that are served are compared with the {len(index.sources):,} that this model learnt from, by runs of
{NGRAM_INTERVALS} intervals and their rhythm, in any key, tempo and sound. A piece that shares more than
{100 * index.human_p95:.1f} % of its runs, the 95th percentile of what human pieces share with other people's, is drawn
again. What {IDIOM_AUTHORS} authors or more have written counts as idiom when the longest copied run is sought.
This makes a copy unlikely; it cannot rule one out."""
        if index
        else "This folder holds no originality index: what it writes is not compared with the training music."
    )
    return f"""## Intended use

Background music for games, films, scenes and listening; sketches to work on; study. Everything is a MIDI file that
can be edited.

Not meant for: imitating a living composer, passing pieces off as a person's work, or judging anybody's music.

## Limits

The model knows moods, not words: a prompt in sentences does not reach it. It writes for {len(Part)} parts on a grid of
note values, without lyrics, bends or free time. Form beyond a few bars is weak, as with most models of its kind. Moods
are partly estimated from the music; the ideas of key, metre and mood are those of European and American music. No
pitch is repeated more than {about["limits"]["longest_pitch_run"]} times in a row.

## Originality

{promise}"""


def _terms(about: dict[str, Any]) -> str:
    sources = [*about["corpus"]["sources"], *about["corpus"].get("before", [])]
    lines = list(dict.fromkeys(f"- {_credit(one)} ({one['licence']})" for one in sources))
    notices = []
    for name in dict.fromkeys(one["source"] for one in sources):
        registered = _registered(name)
        if registered and registered.licence_file:
            text = (_ROOT / registered.licence_file).read_text(encoding="utf-8").strip()
            notices.append(f"### {registered.title}\n\n```text\n{text}\n```")
    terms = {
        "unknown": f"The licences of what `{about['training'].get('from')}` had learnt count as well: see its card.",
    }.get(_licence(about), f"The weights are offered under `{_licence(about)}`: no licence of the music asks for more.")
    return "\n\n".join(
        [
            "## Licence and credits",
            f"{terms} Whoever passes the weights on\npasses on these credits and notices too. The code is MIT.",
            "\n".join(lines),
            *notices,
        ]
    )


def _licence(about: dict[str, Any]) -> str:
    """The Hub's name of the licence that the weights are offered under: as much as any of the music asks for."""
    if about["training"].get("from") and "before" not in about["corpus"]:
        return "unknown"
    learnt = {one["licence"] for one in [*about["corpus"]["sources"], *about["corpus"].get("before", [])]}
    asks_for_credit = [licence for licence in _STRICTEST if licence in learnt]
    return asks_for_credit[0].lower() if asks_for_credit else "mit"


def _names(sources: list[dict[str, Any]]) -> list[str]:
    return [one["source"] for one in sources]


def _division(about: dict[str, Any]) -> str:
    corpus, start = about["corpus"], about["training"].get("from")
    who = "this training" if start else "the model"
    before = f" {_learnt_before(corpus, start)}" if start else ""
    if corpus["split_by"] == "title":
        heard = f"music that {who} never heard, but may know the composers of"
        return f"Split by title: what is measured is {heard}.{before}"
    by_title = "by the program and by nobody known" if OWN in _names(corpus["sources"]) else "by nobody known"
    return (
        f"Split by composer, so that what is measured is music by people {who} never heard. Pieces {by_title} are "
        f"divided by title.{before}"
    )


def _learnt_before(corpus: dict[str, Any], start: str) -> str:
    """What the checkpoint that was fine-tuned knew of the pieces that are measured."""
    found = corpus.get("held_out_learnt_before")
    if found is None:
        return f"What `{start}` had learnt before may be among what is measured."
    valid, test = (f"{found[side]} of {corpus['split'][side]['pieces']}" for side in ("valid", "test"))
    return f"Of these pieces `{start}` had learnt before: {valid} (validation), {test} (test)."


def _credit(one: dict[str, Any]) -> str:
    """The credit line of a source: the sidecar's, or of older sidecars the registry's."""
    if "credits" in one:
        return "; ".join(one["credits"])
    registered = _registered(one["source"])
    return registered.credit if registered else "Written by the program itself" if one["source"] == OWN else ""


def _registered(name: str) -> Source | None:
    return source(name) if name in source_names() else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trainer.card", description="Write the model card of a checkpoint.")
    parser.add_argument("checkpoint", type=Path, help="its folder")
    folder: Path = parser.parse_args(argv).checkpoint
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        write_card(folder)
    except MusicLSTMError as error:
        logging.getLogger("trainer.card").error("%s", error)  # noqa: TRY400  # one sentence says what to do
        return 1
    sys.stdout.write(f"{folder / CARD}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
