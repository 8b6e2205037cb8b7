"""A checkpoint: a folder with `model.safetensors` (weights) and `model.json` (everything that is not a tensor).

Nothing is unpickled. All files are complete on disk before the first takes its name, the weights come first and the
sidecar, which holds their digest, last, so that a crash leaves the old checkpoint, the new one, or a pair that loading
refuses: never one that plays wrongly.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from data.controls import CONTROLLED_FINGERPRINT
from data.moods import Mood
from data.tokens import FINGERPRINT
from engine.errors import CheckpointProblem, StorageProblem
from engine.model_config import ModelConfig
from engine.plan import Style, Styles

if TYPE_CHECKING:  # PyTorch takes seconds to load, and notes are written without it where there is no GPU
    from engine.model import NoteLSTM

Weights: TypeAlias = Mapping[str, npt.NDArray[np.float16] | npt.NDArray[np.float32]]

WEIGHTS, SIDECAR = "model.safetensors", "model.json"
BUILT_IN = Path(__file__).resolve().parent / "checkpoints"
DEFAULT = BUILT_IN / "v2"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model at rest; `engine.model.NoteLSTM.of` is the network.

    Attributes:
        id: `NAME-XXXXXXXX`: the sidecar's name and the start of the weights' sha256. It names the music it makes.
        config: the model's shape.
        weights: by their names in `NoteLSTM.state_dict`; float16 where that holds them.
        sidecar: `model.json` as written: preset, config, vocabulary_fingerprint, corpus, metrics, limits, …
    """

    id: str
    config: ModelConfig
    weights: Weights
    sidecar: dict[str, Any]

    @classmethod
    def of(cls, name: str, model: NoteLSTM, sidecar: dict[str, Any]) -> Checkpoint:
        """A network that was never saved, under a name."""
        return cls(name, model.config, _weights(model), sidecar)

    @property
    def longest_pitch_run(self) -> int:
        """The most notes of one pitch in a row that the training music is used to (see `trainer.dataset`)."""
        return _longest_pitch_run(self.sidecar)

    @property
    def styles(self) -> Styles:
        """What training pieces of each mood were like; empty where the model is told no controls."""
        return _styles(self.sidecar)


def _longest_pitch_run(sidecar: dict[str, Any]) -> int:
    run = int(sidecar["limits"]["longest_pitch_run"])
    if not 1 <= run < 1 << 31:
        raise ValueError(f"no music has {run} notes of one pitch in a row")
    return run


def _styles(sidecar: dict[str, Any]) -> Styles:
    return {Mood(mood): [Style.parse(line) for line in lines] for mood, lines in sidecar.get("styles", {}).items()}


def save_checkpoint(
    folder: Path, model: NoteLSTM, sidecar: dict[str, Any], beside: Mapping[str, bytes] | None = None
) -> None:
    """Write a checkpoint atomically.

    Args:
        folder: made when missing.
        model: its parameters are written as float16 where that changes none of them, else as float32.
        sidecar: JSON values; `config`, `vocabulary_fingerprint` and `weights_sha256` are filled in here.
        beside: other files of the checkpoint, which belong to these weights.

    Raises:
        StorageProblem: the disk is full or read-only; an older checkpoint in `folder` is intact.
    """
    weights = save(dict(_weights(model)))
    sidecar = sidecar | {
        "config": model.config.as_dict(),
        "vocabulary_fingerprint": _fingerprint(model.config),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = (json.dumps(sidecar, indent=2, ensure_ascii=False) + "\n").encode()
        files = {WEIGHTS: weights, **(beside or {}), SIDECAR: text}
        write_atomically({folder / name: content for name, content in files.items()})
    except OSError as error:
        raise StorageProblem(f"The checkpoint could not be written to {folder}: {error.strerror}.") from error


def _weights(model: NoteLSTM) -> Weights:
    return {name: _smallest(tensor.detach().cpu().numpy().copy()) for name, tensor in model.state_dict().items()}


def _smallest(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float16] | npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what is too large for it becomes infinite, and so differs
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array


def _fingerprint(config: ModelConfig) -> str:
    return CONTROLLED_FINGERPRINT if config.controlled else FINGERPRINT


def write_atomically(contents: dict[Path, bytes]) -> None:
    """Replace files, in their order, by their complete new contents, or leave them as they were.

    Raises:
        OSError: something could not be written; nothing is left beside the old files.
    """
    temporaries = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}
    try:
        for path, temporary in temporaries.items():
            with temporary.open("wb") as file:
                file.write(contents[path])
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in temporaries.items():
            temporary.replace(path)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        CheckpointProblem: missing, damaged, weights that do not belong to the sidecar, or another vocabulary.
    """
    try:
        sidecar = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
        weights = (folder / WEIGHTS).read_bytes()
    except FileNotFoundError as error:
        raise CheckpointProblem(
            f"There is no checkpoint in {folder}: name a folder with {WEIGHTS} and {SIDECAR}, "
            "or train one with ./run train."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointProblem(f"The checkpoint in {folder} cannot be read; restore it or train it again.") from error
    try:
        fingerprint, digest = sidecar["vocabulary_fingerprint"], sidecar["weights_sha256"]
        config = ModelConfig(**sidecar["config"])
        name = str(sidecar["name"])
        _longest_pitch_run(sidecar)
        _styles(sidecar)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CheckpointProblem(f"{folder / SIDECAR} lacks what a checkpoint says about itself ({error!r}).") from error
    if fingerprint != _fingerprint(config):
        raise CheckpointProblem(
            f"The checkpoint in {folder} was made for another note vocabulary "
            f"({fingerprint}, this is {_fingerprint(config)}): "
            "train it again with ./run train."
        )
    if hashlib.sha256(weights).hexdigest() != digest:
        raise CheckpointProblem(
            f"{folder / WEIGHTS} is damaged or belongs to another {SIDECAR}: restore both together."
        )
    try:
        arrays = _arrays(weights, config)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: of a type that numpy does not have
        raise CheckpointProblem(f"{folder / WEIGHTS} does not hold the model that {SIDECAR} describes.") from error
    return Checkpoint(f"{name}-{digest[:8]}", config, arrays, sidecar)


def _arrays(weights: bytes, config: ModelConfig) -> Weights:
    arrays: dict[str, npt.NDArray[np.float32]] = load(weights)
    if {name: array.shape for name, array in arrays.items()} != config.shapes:
        raise ValueError("there are other arrays than the model has")
    if {array.dtype for array in arrays.values()} - {np.dtype(np.float16), np.dtype(np.float32)}:
        raise ValueError("there are other numbers than float16 and float32")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("there are numbers that are not finite")
    return arrays
