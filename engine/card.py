"""What a checkpoint's files say about it, read without loading the model."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import CheckpointProblem

_METRICS = {
    "validation": ("valid_nats_per_note", "baselines"),
    "test": ("test_nats_per_note", "baselines_test"),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """The loss on one held-out part of the corpus.

    Attributes:
        part: `validation` or `test`.
        nats_per_note: of the model; lower is better.
        baselines: name -> nats per note of a simpler model on the same notes.
    """

    part: str
    nats_per_note: float
    baselines: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Source:
    """Where some of the training music is from."""

    name: str
    licence: str
    pieces: int


@dataclass(frozen=True, slots=True)
class Card:
    """A checkpoint as its sidecar describes it. What the sidecar does not say is empty or None.

    Attributes:
        id: `NAME-XXXXXXXX`, as pieces carry it.
        date: when it was made, ISO.
        layers: of the LSTM.
        hidden: cells a layer.
        corpus_hash: losses can be compared only between checkpoints with the same one.
        measures: on held-out music.
        sources: of the training music.
    """

    id: str
    date: str
    layers: int | None
    hidden: int | None
    corpus_hash: str
    measures: tuple[Measure, ...]
    sources: tuple[Source, ...]


def read_card(folder: Path) -> Card:
    """Read the sidecar of a checkpoint.

    Raises:
        CheckpointProblem: there is none, or it does not name a model.
    """
    try:
        says = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        config, corpus, metrics = (_mapping(says.get(name)) for name in ("config", "corpus", "metrics"))
        return Card(
            id=f"{says['name']}-{says['weights_sha256'][:8]}",
            date=str(says.get("date", "")),
            layers=config.get("layers"),
            hidden=config.get("hidden"),
            corpus_hash=str(corpus.get("hash", "")),
            measures=tuple(_measures(metrics)),
            sources=tuple(
                Source(str(each["source"]), str(each["licence"]), int(each["pieces"]))
                for each in corpus.get("sources", [])
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointProblem(f"{folder} is no checkpoint: {error!r}.") from error


def _measures(metrics: Mapping[str, Any]) -> list[Measure]:
    measures = []
    for part, (name, baselines) in _METRICS.items():
        nats = _number(metrics.get(name))
        if nats is not None:
            beside = {each: _number(value) for each, value in _mapping(metrics.get(baselines)).items()}
            known = {each: value for each, value in beside.items() if value is not None}
            measures.append(Measure(part, nats, known))
    return measures


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def count_parameters(folder: Path) -> int | None:
    """How many numbers the weights of a checkpoint are; None where they cannot be read.

    The header of a safetensors file says the shape of each tensor
    (https://github.com/huggingface/safetensors#format). A tied tensor stands there under both of its names.
    """
    try:
        tied = json.loads((folder / "model.json").read_text(encoding="utf-8"))["config"].get("tied", False)
        with (folder / "model.safetensors").open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 1 << 20)))
        return sum(
            int(math.prod(each["shape"]))
            for name, each in header.items()
            if name != "__metadata__" and not (tied and re.fullmatch(r"outputs\.\d+\.weight", name))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return None
