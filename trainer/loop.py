"""The training loop: AdamW on cross-entropy, the best epoch kept, every minute saved so that a run can go on."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from data.errors import MusicLSTMError
from data.tokens import ATTRIBUTES
from engine.checkpoint import Checkpoint
from engine.errors import CheckpointProblem
from engine.model import NoteLSTM, State
from trainer.config import TrainConfig
from trainer.dataset import Augmentation, Batch, Example, batches
from trainer.distributed import ALONE, Group
from trainer.state import random_state, read_state, set_random_state, under, write_state

SAVE_EVERY_S = 45.0  # a kill loses less than a minute


class TrainingDiverged(MusicLSTMError):
    """The loss is no longer a number."""


@dataclass(frozen=True, slots=True)
class Report:
    """How far training is; sent several times an epoch and once, with `valid_nats`, at the end of each.

    Attributes:
        epoch: 1 to `epochs`.
        notes: of this epoch, done so far; `total_notes` in all.
        train_nats: mean cross-entropy of the epoch so far, nats per note.
        valid_nats: at the end of an epoch, else None.
        best_nats: best validation so far, or None before the first.
        notes_per_s: of this run.
        learning_rate: of the last step.
    """

    epoch: int
    epochs: int
    notes: int
    total_notes: int
    train_nats: float
    valid_nats: float | None
    best_nats: float | None
    notes_per_s: float
    learning_rate: float

    @property
    def notes_in_all(self) -> int:
        """Notes done since the run began."""
        return self.total_notes * (self.epoch - 1) + self.notes


@dataclass(slots=True)
class _Progress:
    """What a resumed run has to know besides tensors; kept as JSON-like metadata."""

    epoch: int = 1
    step: int = 0  # batches of this epoch already done
    nats: float = 0.0
    notes: int = 0
    best_nats: float = float("inf")
    best_epoch: int = 0
    train_nats_at_best: float = 0.0
    seconds: float = 0.0  # of training, over all processes that took part


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of a run. `model` has the weights of the best epoch."""

    model: NoteLSTM
    best_epoch: int
    valid_nats: float
    train_nats: float
    seconds: float  # of training, interruptions not counted


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there: on CPUs with AVX-512 BF16 (1.9x; `benchmarks.train`).

    On a GPU it is not: an H200 waits for its next launch most of the time, and has more of them in bfloat16 (0.96x).
    """
    # torch has no public name for it
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def evaluate(model: NoteLSTM, examples: Sequence[Example], config: TrainConfig, device: torch.device) -> list[float]:
    """Mean nats of each attribute over whole pieces, state carried from note to note; their sum is nats per note."""
    model.eval()
    total = torch.zeros(len(ATTRIBUTES), dtype=torch.float64)
    notes = 0
    state = model.initial_state(config.batch, device)
    with torch.inference_mode():
        # Whole pieces: no cuts, so that a note is predicted from everything before it.
        for batch in batches(
            examples, batch=config.batch, sequence_notes=config.sequence_notes, segment_notes=10**9, rng=None
        ):
            losses, state = _losses(model, batch, state, device, bf16=False)
            total += losses.sum(0).double().cpu()
            notes += len(losses)
    return [float(value) for value in total / notes]


class _Likelihood(nn.Module):
    """A model and its losses in one module, as DistributedDataParallel wants it."""

    def __init__(self, model: NoteLSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, state: State, device: torch.device, *, bf16: bool) -> tuple[Tensor, State]:
        return _losses(self.model, batch, state, device, bf16=bf16)


def _losses(model: NoteLSTM, batch: Batch, state: State, device: torch.device, *, bf16: bool) -> tuple[Tensor, State]:
    """Losses [N, 5] of the N real notes of a batch, and the next state."""
    keep = (~batch.starts).to(device, torch.float32).view(1, -1, 1)  # [1, B, 1]
    state = state[0] * keep, state[1] * keep
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        hidden, state = model(batch.previous.to(device), batch.conditions.to(device), state)
    mask = batch.mask.to(device)
    # The heads and the loss stay in float32: they cost little, and their error would be the gradient's.
    return model.nats(hidden[mask].float(), batch.target.to(device)[mask]), (state[0].float(), state[1].float())


def _made_of(config: TrainConfig, start: str, train: Sequence[Example], valid: Sequence[Example]) -> str:
    """Names what decides a run: SHA-256 in hexadecimal of configuration, checkpoint to begin with, and examples."""
    digest = hashlib.sha256((json.dumps(config.as_dict(), sort_keys=True) + start).encode())
    for example in (*train, *valid):
        digest.update(example.tokens.tobytes())
        digest.update(example.conditions.tobytes())
    return digest.hexdigest()


class Run:
    """One training run in a working folder, which holds what is needed to go on after a kill.

    Args:
        config: the preset.
        folder: where the unfinished run is kept.
        device: where the model is trained.
        bf16: run the LSTM in bfloat16 (weights and optimiser stay float32); see `has_fast_bf16`.
        start: weights to begin with, of the same shape; None: random ones.
        group: the processes that train together.

    Raises:
        CheckpointProblem: `start` has another shape.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        device: torch.device,
        *,
        bf16: bool = False,
        start: Checkpoint | None = None,
        group: Group = ALONE,
    ) -> None:
        self.config = config
        self.device = device
        self.bf16 = bf16
        self.group = group
        self._file = folder / "training.safetensors"
        torch.manual_seed(config.seed)
        self.model = NoteLSTM(config.model).to(device)
        if start is not None:
            self._begin_with(start)
        # With no weight decay AdamW is Adam.
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._averaged = copy.deepcopy(self.model) if config.averaging else self.model
        self._averaged.lstm.flatten_parameters()  # a GPU wants them in one piece, which a copy is not
        self._likelihood = group.averaging(_Likelihood(self.model))
        self._at = _Progress()
        h, c = self.model.initial_state(config.batch, device)
        self._state = group.own(h), group.own(c)
        self._best: dict[str, Tensor] = {}
        self._start = start.id if start else ""
        self._made_of = ""  # see the function of that name; known once there is music
        if not group.leads:
            torch.manual_seed(config.seed + (group.rank << 32))  # dropout of its own

    def _begin_with(self, start: Checkpoint) -> None:
        try:
            self.model.take(start)
        except RuntimeError as error:
            raise CheckpointProblem(
                f"{start.id} has another shape than the preset {self.config.name}: train without --from."
            ) from error

    @property
    def resumable(self) -> bool:
        """Whether the folder holds an unfinished run."""
        return self._file.exists()

    def train(self, train: Sequence[Example], valid: Sequence[Example], report: Callable[[Report], None]) -> Trained:
        """Train to the last epoch.

        Raises:
            TrainingDiverged: the loss became NaN; the state saved last is intact.
            StorageProblem: the working folder cannot be written.
            CheckpointProblem: the run that was resumed had begun with other music or another configuration.
        """
        config, at = self.config, self._at
        made_of = _made_of(config, self._start, train, valid)
        if self._made_of not in {"", made_of}:
            raise CheckpointProblem(
                f"The interrupted run in {self._file} had another corpus, preset, seed, number of epochs or checkpoint "
                "to begin with: name those that it had, or delete that file."
            )
        self._made_of = made_of
        total_notes = sum(len(example.tokens) for example in train)
        started, saved, done_here = time.monotonic(), time.monotonic(), 0
        seconds_before = at.seconds
        while at.epoch <= config.epochs:
            self.model.train()
            # The order depends on the seed and the epoch alone, so that a resumed run sees the same batches.
            rng = np.random.default_rng([config.seed, at.epoch])
            epoch_batches = batches(
                train,
                batch=config.batch,
                sequence_notes=config.sequence_notes,
                segment_notes=config.segment_notes,
                rng=rng,
                augmentation=Augmentation(config.rewritten, config.semitones, config.hidden, config.untold),
            )
            for index, batch in enumerate(epoch_batches):
                if index < at.step:
                    continue
                notes = int(batch.mask.sum())
                self._set_rate((at.epoch - 1 + at.notes / total_notes) / config.epochs)
                at.nats += self.step(batch)
                at.step = index + 1
                at.notes += notes
                done_here += notes
                if index % 10 == 0:
                    report(self._report(total_notes, done_here / (time.monotonic() - started), None))
                at.seconds = seconds_before + time.monotonic() - started
                if self.group.told(time.monotonic() - saved > SAVE_EVERY_S):
                    self.save()
                    saved = time.monotonic()
            self.save()  # measuring may take its time
            valid_nats = sum(self._evaluate(valid))
            if valid_nats < at.best_nats:
                at.best_nats, at.best_epoch, at.train_nats_at_best = valid_nats, at.epoch, at.nats / at.notes
                self._best = {name: tensor.detach().clone() for name, tensor in self._averaged.state_dict().items()}
            report(self._report(total_notes, done_here / (time.monotonic() - started), valid_nats))
            at.epoch, at.step, at.nats, at.notes = at.epoch + 1, 0, 0.0, 0
            self.save()
            saved = time.monotonic()
        self._averaged.load_state_dict(self._best)
        return Trained(self._averaged.eval(), at.best_epoch, at.best_nats, at.train_nats_at_best, at.seconds)

    def step(self, batch: Batch) -> float:
        """Move the weights once; the loss of the whole batch before, in nats, of which this process computes its lanes.

        Raises:
            TrainingDiverged: the loss is no number; the weights are as they were.
        """
        notes, own = int(batch.mask.sum()), self.group.lanes(batch)
        losses, state = self._likelihood(own, self._state, self.device, bf16=self.bf16)
        nats = float(self.group.total(losses.detach().sum()))
        self.optimiser.zero_grad(set_to_none=True)
        # The mean over the notes of all lanes, once the gradients are averaged over the processes.
        (losses.sum() * (self.group.size / notes)).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        if not math.isfinite(nats + float(norm)):  # before the step, so that no ruined weights are ever saved
            raise TrainingDiverged(
                f"The loss or its gradient stopped being a number in epoch {self._at.epoch}. What was saved before is "
                "intact: resume with --precision float32, or train with a lower learning rate or another seed."
            )
        self.optimiser.step()
        self._average()
        self._state = state[0].detach(), state[1].detach()
        return nats

    def _evaluate(self, valid: Sequence[Example]) -> list[float]:
        """`evaluate` the averaged weights, once for all processes."""
        return self.group.told(evaluate(self._averaged, valid, self.config, self.device) if self.group.leads else [])

    def _set_rate(self, done: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.rate(done)

    def _average(self) -> None:
        """Move the averaged weights towards the present ones (Polyak & Juditsky 1992, with exponential forgetting).

        The first steps forget sooner, or a short run would end near the weights that it began with.
        """
        if self._averaged is self.model:
            return
        steps = int(next(iter(self.optimiser.state.values()))["step"])
        decay = min(self.config.averaging, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for mean, now in zip(self._averaged.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(now, 1.0 - decay)

    def _report(self, total_notes: int, notes_per_s: float, valid_nats: float | None) -> Report:
        at = self._at
        best = None if at.best_epoch == 0 else at.best_nats
        return Report(
            at.epoch,
            self.config.epochs,
            at.notes,
            total_notes,
            at.nats / max(at.notes, 1),
            valid_nats,
            best,
            notes_per_s,
            self.optimiser.param_groups[0]["lr"],
        )

    def save(self) -> None:
        """Write everything that a resumed run needs, atomically.

        Raises:
            StorageProblem: the disk is full or read-only; the file saved before is intact.
        """
        h, c = (self.group.whole(part, self.config.batch) for part in self._state)
        tensors = {"random": self.group.rows(random_state(self.device)), "h": h, "c": c}
        if not self.group.leads:
            return
        tensors |= {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self._averaged is not self.model:
            tensors |= {f"averaged/{name}": tensor for name, tensor in self._averaged.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self._best.items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{name}": tensor for name, tensor in moments.items()}
        at = self._at
        metadata = {name: repr(getattr(at, name)) for name in at.__slots__} | {"made_of": self._made_of}
        write_state(self._file, tensors, metadata)

    def resume(self) -> None:
        """Go on from what `save` wrote; on a CPU the rest of the run is what it would have been.

        On a GPU the dropout between layers is drawn anew, since cuDNN keeps its state to itself; all dropout is on
        another kind of device than before.

        Raises:
            CheckpointProblem: the file is damaged, or of another preset or program version.
        """
        try:
            self._restore()
        except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise CheckpointProblem(
                f"The interrupted run in {self._file} cannot be continued: give it the preset and the --from that it "
                "had, or delete that file."
            ) from error

    def _restore(self) -> None:
        tensors, metadata = read_state(self._file)
        for name in self._at.__slots__:
            kind: type[Any] = type(getattr(self._at, name))
            setattr(self._at, name, kind(metadata[name]))
        self._made_of = metadata.get("made_of", "")
        rows = tensors["random"]
        if self.group.rank < len(rows):  # more processes than before keep the states that they began with
            set_random_state(rows[self.group.rank], self.device)
        self._state = self.group.own(tensors["h"].to(self.device)), self.group.own(tensors["c"].to(self.device))
        self.model.load_state_dict(under("model/", tensors))
        if self._averaged is not self.model:
            self._averaged.load_state_dict(under("averaged/", tensors))
        self._best = under("best/", tensors)
        adam = self.optimiser.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in under("adam/", tensors).items():
            index, name = key.split("/")
            moments.setdefault(int(index), {})[name] = tensor
        self.optimiser.load_state_dict(adam | {"state": moments})

    def finish(self) -> None:
        """Remove the working file: the run is complete and its checkpoint written."""
        self._file.unlink(missing_ok=True)
