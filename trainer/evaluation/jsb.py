"""A published benchmark for the model class: frame-level negative log-likelihood of piano-rolls, in nats.

The data of Boulanger-Lewandowski, Bengio & Vincent 2012 and their split. A frame is the set of pitches that sound in a
quarter note; its probability is the product, by the chain rule, over its notes from low to high and over the decision
that it has no more. Each note is written as the model's own token, with the distance to the note before as its delta
(zero within a frame), so that what is measured is the very NoteLSTM that composes. Its other attributes are
constants, and what the model pays for predicting them counts.

Nothing that is told to the model looks ahead: mood, mode, tempo and notes remaining are fixed to one value each.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.errors import CorpusProblem
from data.score import STEPS_PER_BEAT, Part
from data.tokens import (
    ATTRIBUTES,
    DELTA,
    DELTA_STEPS,
    DURATION_STEPS,
    MODE,
    MOOD,
    PART,
    PITCH_HIGH,
    PITCH_LOW,
    REMAINING,
    conditions,
    mode_index,
    mood_index,
)
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.note_cache import cached_nats
from trainer.cache import tuned
from trainer.config import TrainConfig
from trainer.dataset import NO_NOTE, Example
from trainer.loop import Report, Run, has_fast_bf16

Frames = list[list[int]]  # the sounding MIDI pitches of each frame, ascending

SIDES = ("train", "valid", "test")
PUBLISHED: dict[str, float] = {
    # Test nats per frame of the JSB chorales as published.
    "LSTM, independent outputs (Bai et al. 2018)": 8.45,
    "TCN, independent outputs (Bai et al. 2018)": 8.10,
    "RRU, independent outputs (Zakovskis et al. 2021)": 7.72,
    "RNN-RBM, joint outputs (Boulanger-Lewandowski et al. 2012)": 6.27,
    "RNN-NADE, joint outputs (Boulanger-Lewandowski et al. 2012)": 5.56,
    "LV-RNN, latent variables (Gu et al. 2015)": 3.99,
}
CONFIG = TrainConfig(
    name="jsb",
    model=ModelConfig(embedding=128, hidden=320, layers=2, dropout=0.3, variational=True),
    epochs=40,  # each shows every chorale in all twelve keys
    batch=32,
    sequence_notes=64,
    learning_rate=4e-3,
    weight_decay=0.01,
    warm_up=0.02,
    final_rate=0.02,
    averaging=0.998,
    clip_norm=1.0,
)
_KEYS = range(-6, 6)
_FRAME_DELTA = {steps // STEPS_PER_BEAT: i for i, steps in enumerate(DELTA_STEPS) if steps % STEPS_PER_BEAT == 0}
_DURATION = DURATION_STEPS.index(STEPS_PER_BEAT)
_VELOCITY = 8
_TEMPO_BPM = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of the benchmark; figures in nats per frame."""

    valid: float
    test: float
    best_epoch: int
    parameters: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON values, with what others have published."""
        return {
            "benchmark": "jsb",
            "valid_nats_per_frame": self.valid,
            "test_nats_per_frame": self.test,
            "best_epoch": self.best_epoch,
            "parameters": self.parameters,
            "seconds": round(self.seconds),
            "published_test_nats_per_frame": PUBLISHED,
        }


def read_rolls(path: Path) -> dict[str, list[Frames]]:
    """Read piano-rolls: `{"train" | "valid" | "test": [[[pitch, …], …], …]}`, a list of frames for each piece.

    Raises:
        CorpusProblem: the file is missing or is not such a file.
    """
    try:
        rolls = json.loads(path.read_text(encoding="utf-8"))
        sides = {side: [[sorted(set(map(int, frame))) for frame in piece] for piece in rolls[side]] for side in SIDES}
    except OSError as error:
        raise CorpusProblem(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusProblem(
            f"{path} holds no piano-rolls: train, valid and test are wanted, each a list of pieces of frames."
        ) from error
    pitches = [pitch for side in sides.values() for piece in side for frame in piece for pitch in frame]
    if not pitches or min(pitches) < PITCH_LOW or max(pitches) > PITCH_HIGH:
        raise CorpusProblem(f"The pitches in {path} are not all within {PITCH_LOW} to {PITCH_HIGH}.")
    return sides


def to_example(frames: Frames, semitones: int = 0) -> Example:
    """A piece as tokens, [notes + 1, 5]; the last row stands for the frame after the end and closes the last frame.

    Raises:
        CorpusProblem: a silence is longer than the model's vocabulary has deltas for.
    """
    rows: list[tuple[int, ...]] = []
    since = 0  # frames since the last one that had notes, or since the start
    for frame in [*frames, [PITCH_LOW - semitones]]:
        for number, pitch in enumerate(frame):
            delta = _FRAME_DELTA.get(since if number == 0 else 0)
            if delta is None:
                raise CorpusProblem(f"A silence of {since} frames cannot be written: shorten it.")
            rows.append((Part.KEYS, delta, pitch + semitones - PITCH_LOW, _DURATION, _VELOCITY))
            since = 0
        since += 1
    tokens = np.array(rows, dtype=np.int64)
    told = conditions(tokens, mood=None, mode=None, tempo_bpm=_TEMPO_BPM)
    told[:, REMAINING] = 0  # how many notes are to come would tell the end
    told[:, MOOD], told[:, MODE] = mood_index(None), mode_index(None)
    return Example(tokens, told)


def transpositions(pieces: Sequence[Frames]) -> list[Example]:
    """Every piece in all keys that the range allows."""
    result = []
    for frames in pieces:
        pitches = [pitch for frame in frames for pitch in frame]
        low, high = PITCH_LOW - min(pitches), PITCH_HIGH - max(pitches)
        result += [to_example(frames, shift) for shift in _KEYS if low <= shift <= high]
    return result


def frame_nats(model: NoteLSTM, pieces: Sequence[Frames]) -> float:
    """Mean negative log-likelihood of a frame in nats: all pieces' frames together, the first of each included."""
    total = 0.0
    model.eval()
    with torch.inference_mode():
        for frames in pieces:
            example = to_example(frames)
            previous = torch.from_numpy(np.vstack([NO_NOTE, example.tokens[:-1]]))[None]  # [1, T, 5]
            target = torch.from_numpy(example.tokens)
            hidden, _ = model(previous, torch.from_numpy(example.conditions)[None])
            nats = cached_nats(model, hidden[0], target).double()  # [T, 5]
            # After the last note it is only asked whether anything else begins before the end.
            shares = []
            for delta in range(int(target[-1, DELTA]), ATTRIBUTES[DELTA].size):
                target[-1, DELTA] = delta
                shares.append(cached_nats(model, hidden[0], target)[-1, DELTA].double().neg())
            total += float(nats[:-1].sum() + nats[-1, PART] - torch.logsumexp(torch.stack(shares), dim=0))
    return total / sum(map(len, pieces))


def run(
    rolls: dict[str, list[Frames]],
    folder: Path,
    report: Callable[[Report], None],
    *,
    config: TrainConfig = CONFIG,
) -> Result:
    """Train on the training pieces in all keys, choose the epoch on the validation pieces, score the test once.

    Args:
        rolls: the piano-rolls, as from `read_rolls`.
        folder: keeps an interrupted run, which is gone on with.
        report: told how far training is.
        config: model and schedule.

    Raises:
        MusicLSTMError: the disk is full, the loss diverged.
    """
    started = time.monotonic()
    device = torch.device("cpu")
    unfinished = Run(config, folder, device, bf16=has_fast_bf16(device))
    if unfinished.resumable:
        unfinished.resume()
    valid = [to_example(frames) for frames in rolls["valid"]]
    trained = unfinished.train(transpositions(rolls["train"]), valid, report)
    trained.model.config = tuned(trained.model.eval(), valid)
    result = Result(
        valid=frame_nats(trained.model, rolls["valid"]),
        test=frame_nats(trained.model, rolls["test"]),
        best_epoch=trained.best_epoch,
        parameters=sum(parameter.numel() for parameter in trained.model.parameters()),
        seconds=time.monotonic() - started,
    )
    unfinished.finish()
    return result
