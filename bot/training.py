"""Retraining while people keep composing: a process of its own, watched through the folder that it writes into.

The job outlives the bot: a bot that is started again finds it by the lock that it holds, or, where the machine went
down with it, starts it again where it was. What it makes is a candidate; `bot.models` promotes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from loky import cpu_count

from bot.errors import NotFound
from bot.history import History, MessageRef, Requester
from bot.options import either
from bot.pieces import PieceFolder
from bot.privacy import Privacy
from bot.servers import Servers
from bot.settings import ROOT
from bot.surely import surely
from bot.training_run import TrainingRun, clear, is_locked, read_run
from data.catalogue import write_atomically
from data.errors import CorpusProblem
from data.licensing import parse_licence
from data.midi import read_midi
from engine.errors import Busy, InvalidRequest, SetupProblem, StorageProblem

_log = logging.getLogger(__name__)

PRESETS = ("v1", "v2")  # of the trainer
EPOCHS_MAX = 200
_EVALUATED_PIECES = 64  # enough to see a candidate that is worse; the full study is `./run evaluate`


@dataclass(frozen=True, slots=True)
class Upload:
    """MIDI files of an administrator, to learn from.

    Attributes:
        files: what is in each.
        licence: SPDX identifier or an everyday name.
        credit: whom to thank.

    Raises:
        InvalidMidi: one of them is no MIDI file that can be read.
        InvalidRequest: without a licence that allows it, or without a credit, nothing is imported.
    """

    files: tuple[bytes, ...]
    licence: str
    credit: str

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "licence", parse_licence(self.licence))
        except CorpusProblem:
            raise InvalidRequest("licence", "No licence, no import: choose the one that the music is under.") from None
        if not self.credit.strip():
            raise InvalidRequest("credit", "No credit, no import: say whom to thank for the music.")
        for content in self.files:
            read_midi(content)

    def write(self, folder: Path) -> None:
        """Put the files into a folder, under names of our own."""
        folder.mkdir()
        for number, content in enumerate(self.files, 1):
            (folder / f"upload-{number}.mid").write_bytes(content)


class Training:
    """Starts, watches and cancels retrainings, one at a time. Whether somebody may is for the front end to check.

    Args:
        history: open; the audit is in it.
        folder: one subfolder for each run.
        checkpoints_dir: where candidates go.
        corpus: made by `./run data`.
        pieces_dir: where the MIDI files of favourites are.
        python: the interpreter that runs the trainer; tests have one that is quicker.
    """

    def __init__(
        self,
        history: History,
        *,
        folder: Path,
        checkpoints_dir: Path,
        corpus: Path,
        pieces_dir: Path,
        python: Sequence[str] = (sys.executable,),
    ) -> None:
        self._history = history
        self._servers = Servers(history)
        self._folder = folder.absolute()
        self._checkpoints_dir = checkpoints_dir.absolute()
        self._corpus = corpus.absolute()
        self._pieces = PieceFolder(pieces_dir)
        self._python = list(python)
        self._starting = asyncio.Lock()

    async def start(
        self,
        by: Requester,
        *,
        preset: str = "v1",
        epochs: int | None = None,
        current: Path,
        favourites: bool = False,
        upload: Upload | None = None,
    ) -> TrainingRun:
        """Begin a retraining.

        Args:
            by: the administrator.
            preset: the trainer's: model and schedule.
            epochs: instead of the preset's number, 1 to 200.
            current: the checkpoint in use, which the candidate is compared with.
            favourites: learn also from favourites of people who consented (`bot.privacy`).
            upload: learn also from these files.

        Raises:
            InvalidRequest: there is no such preset, or too many epochs.
            Busy: one is running already.
            SetupProblem: there is no corpus, or the folder cannot be written.
        """
        if preset not in PRESETS:
            raise InvalidRequest("preset", "preset is {presets}.", presets=either(PRESETS))
        if epochs is not None and not 1 <= epochs <= EPOCHS_MAX:
            sentence = "{name} is a whole number from {low} to {high}."
            raise InvalidRequest("epochs", sentence, name="epochs", low=1, high=EPOCHS_MAX)
        if not self._corpus.is_dir():
            raise SetupProblem(f"There is no corpus in {self._corpus}: make one with ./run data first.")
        async with self._starting:
            running = await self.latest()
            if running is not None and running.state == "running":
                raise Busy("A retraining is running already; wait for it or cancel it.", running.remaining_s or 600.0)
            run_id = f"{self._history.clock().astimezone(UTC):%Y%m%d-%H%M%S}"
            run, out = self._folder / run_id, self._checkpoints_dir / f"{preset}-{run_id}"
            corpus, steps = self._corpus, []
            try:
                await asyncio.to_thread(run.mkdir, parents=True)
            except OSError as error:
                raise StorageProblem(f"{run} cannot be written: {error.strerror}.") from error
            try:
                if favourites or upload is not None:
                    corpus = run / "corpus"
                    await asyncio.to_thread(shutil.copytree, self._corpus, corpus)
                if favourites:
                    steps.append(await self._import_favourites(run, corpus))
                if upload is not None:
                    await asyncio.to_thread(upload.write, run / "uploads")
                    steps.append(self._import(run / "uploads", corpus, upload.licence, upload.credit, needed=True))
                steps += self._steps(preset, epochs, corpus, out, run, current)
                job = {"steps": steps, "checkpoint": str(out), "epochs": epochs or 0}
                await asyncio.to_thread(_spawn, run, job)
            except BaseException as error:  # nothing of a run that never began is kept
                await surely(asyncio.to_thread(shutil.rmtree, run, ignore_errors=True))
                if isinstance(error, OSError):
                    raise StorageProblem(f"{run} cannot be written: {error.strerror}.") from error
                raise
            details = f"{preset}, {epochs or 'all'} epochs{', favourites' if favourites else ''}"
            if upload is not None:
                details += f", {len(upload.files)} files under {upload.licence} by {upload.credit}"
            await self._servers.note(None, by, "retrain", details)
            return await asyncio.to_thread(read_run, run)

    async def latest(self) -> TrainingRun | None:
        """The run that was started last, or None."""
        runs = await self.all(limit=1)
        return runs[0] if runs else None

    async def all(self, *, limit: int = 10) -> list[TrainingRun]:
        """Runs, the latest first."""
        return await asyncio.to_thread(self._read, limit)

    def _read(self, limit: int) -> list[TrainingRun]:
        runs: list[TrainingRun] = []
        for job in sorted(self._folder.glob("*/job.json"), reverse=True):
            if len(runs) == limit:
                break
            try:
                runs.append(read_run(job.parent))
            except (OSError, ValueError, KeyError, TypeError) as error:
                _log.warning("%s cannot be read: %s", job, error)
        return runs

    async def get(self, run_id: str) -> TrainingRun:
        """The run of that id, as it is now."""
        return await asyncio.to_thread(read_run, self._folder / run_id)

    async def set_message(self, run_id: str, message: MessageRef | None) -> None:
        """Remember the message that shows how a run goes, or (None) that it shows all there is."""
        path = self._folder / run_id / "message.json"
        if message is None:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        else:
            await asyncio.to_thread(path.write_text, json.dumps(asdict(message)), encoding="utf-8")

    async def message(self, run_id: str) -> MessageRef | None:
        """The message that shows how a run goes and does not show its end yet, or None."""
        try:
            text = await asyncio.to_thread((self._folder / run_id / "message.json").read_text, "utf-8")
            return MessageRef(**json.loads(text))
        except (OSError, ValueError, TypeError):
            return None

    async def cancel(self, by: Requester) -> TrainingRun:
        """Stop the run that is running; what it has learnt until now is left in its folder.

        Raises:
            NotFound: none is running.
        """
        run = await self.latest()
        if run is None or run.state != "running":
            raise NotFound("No retraining is running.")
        await asyncio.to_thread(_interrupt, self._folder / run.id)
        await self._servers.note(None, by, "cancel retraining", run.id)
        for _ in range(400):  # the trainer finishes its step and saves
            now = await asyncio.to_thread(read_run, self._folder / run.id)
            if now.state != "running":
                return now
            await asyncio.sleep(0.1)
        return now

    async def recover(self) -> TrainingRun | None:
        """At start-up: go on with a run whose process went down with the machine, clear up after those before it."""
        runs = await self.all(limit=1000)
        run = runs[0] if runs else None
        for other in runs:
            if other.state != "running" and not (other is run and run.state == "interrupted"):
                await asyncio.to_thread(clear, self._folder / other.id)
        if run is None or run.state != "interrupted":
            return run
        folder = self._folder / run.id
        job = json.loads(await asyncio.to_thread((folder / "job.json").read_text, "utf-8"))
        for step in job["steps"]:
            if step["name"] == "train" and "--resume" not in step["argv"]:
                step["argv"].append("--resume")
        await asyncio.to_thread(_spawn, folder, job)
        return await asyncio.to_thread(read_run, folder)

    def _steps(
        self, preset: str, epochs: int | None, corpus: Path, out: Path, run: Path, current: Path
    ) -> list[dict[str, Any]]:
        # One core stays free for people who compose.
        threads = str(max(1, cpu_count() - 1))
        train = [*self._python, "-m", "trainer", "--preset", preset, "--corpus", str(corpus), "--out", str(out)]
        train += ["--progress", "jsonl", "--threads", threads]
        if epochs is not None:
            train += ["--epochs", str(epochs)]
        evaluate = [*self._python, "-m", "trainer.evaluation", str(out), "--beside", str(current)]
        evaluate += ["--corpus", str(corpus), "--pieces", str(_EVALUATED_PIECES), "--sounds", "0"]
        evaluate += ["--threads", threads, "--out", str(run / "evaluation")]
        return [
            {"name": "train", "argv": train, "needed": True, "makes": str(out / "model.json")},
            {"name": "evaluate", "argv": evaluate, "needed": False},
        ]

    async def _import_favourites(self, run: Path, corpus: Path) -> dict[str, Any]:
        records = await Privacy(self._history).training_pieces()
        sources = [self._pieces.files(record.id).midi for record in records]
        await asyncio.to_thread(_copy, [path for path in sources if path.exists()], run / "favourites")
        credit = "Favourites of listeners who consented"
        return self._import(run / "favourites", corpus, "CC0-1.0", credit, "--composer=listeners", needed=False)

    def _import(
        self, folder: Path, corpus: Path, licence: str, credit: str, *more: str, needed: bool
    ) -> dict[str, Any]:
        argv = [*self._python, "-m", "data", "add", str(folder), "--licence", licence, f"--credit={credit}", *more]
        return {"name": "import", "argv": [*argv, "--json", "--corpus", str(corpus)], "needed": needed}


def _copy(paths: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    for path in paths:
        shutil.copy(path, folder)


def _spawn(run: Path, job: dict[str, Any]) -> None:
    write_atomically(run / "job.json", json.dumps(job, indent=2).encode())
    lock = os.open(run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A session of its own: a Ctrl-C that stops the bot, or its terminal closing, does not reach the job.
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.training_job", str(run), str(lock)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock],  # the lock lives with the job, not with the bot
            start_new_session=True,
        )
        try:
            (run / "pid").write_text(str(process.pid), encoding="ascii")
        except OSError:  # or nobody could stop it
            process.kill()
            raise
        # Somebody has to take note of its end, or the system would keep it as a zombie.
        threading.Thread(target=process.wait, name="retraining", daemon=True).start()
    except OSError as error:
        raise StorageProblem(f"The retraining cannot be started: {error}.") from error
    finally:
        os.close(lock)


def _interrupt(run: Path) -> None:
    # The lock says that the job lives, or a step that it has left behind in its group. Either way its number cannot
    # have gone to another: the system gives none away that is still a group's.
    (run / "cancel").touch()
    if is_locked(run):
        pid = int((run / "pid").read_text(encoding="ascii"))
        try:
            os.kill(pid, signal.SIGINT)
        except ProcessLookupError:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(pid, signal.SIGINT)
