"""LocalEngine: pieces made in this process. Notes in one thread, sound in another, nothing slow on the event loop.

Requests are taken first come, first served. One piece is sampled at a time while the one before it is rendered.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from data.score import Score
from data.tokens import IntArray
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.errors import Busy, Cancelled, EngineClosed
from engine.originality import Index
from engine.plan import Plan, plan
from engine.render import Rendered, Renderer, RenderPool
from engine.sampler import Sampler, to_score
from engine.titles import title
from engine.types import ComposeRequest, Composition, Originality, Progress, ProgressCallback, Stage

log = logging.getLogger(__name__)

_T = TypeVar("_T")

DRAWINGS_MAX = 3  # of one request, while what is drawn copies more than a human composer does


def open_engine(
    *,
    checkpoint: Path | None = None,
    folder: Path,
    soundfont: Path | None = None,
    queue_limit: int = 64,
    device: str | None = None,
    render_workers: int = 0,
) -> LocalEngine:
    """Load the model and check the synthesiser, so that what is missing is told before any note is written.

    Args:
        checkpoint: a checkpoint folder; None: the one that ships with the project.
        folder: where WAV files go.
        soundfont: None: found where the system keeps soundfonts.
        queue_limit: pieces that may wait; one more is told to come back.
        device: "cpu" or "cuda"; None: CUDA where there is one.
        render_workers: processes that render, each one piece at a time on two cores; 0 renders in this process, which
            starts sooner and suits a program that makes one piece.

    Raises:
        SetupProblem: FluidSynth, the soundfont or the checkpoint is missing or damaged.
    """
    renderer = (
        RenderPool(workers=render_workers, soundfont=soundfont) if render_workers else Renderer(soundfont=soundfont)
    )
    renderer.check()
    source = checkpoint or DEFAULT
    return LocalEngine(
        load_checkpoint(source),
        renderer,
        folder,
        originality=Index.load(source),
        queue_limit=queue_limit,
        device=device,
    )


@dataclass(slots=True, eq=False)
class _Job:
    """One piece on its way."""

    request: ComposeRequest
    progress: ProgressCallback | None
    loop: asyncio.AbstractEventLoop
    stop: threading.Event = field(default_factory=threading.Event)
    told: Progress | None = None

    def tell(self, stage: Stage, done: int, total: int) -> None:
        """Report on the event loop's thread; called there."""
        now = Progress(stage, done, total)
        if self.progress is not None and now != self.told:
            self.told = now
            self.progress(now)

    def tell_from_thread(self, stage: Stage, done: int, total: int) -> None:
        """Report from a worker thread; costs nothing when nobody listens."""
        if self.progress is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.tell, stage, done, total)


class LocalEngine:
    """The Engine of one machine.

    Args:
        checkpoint: the model.
        renderer: turns scores into sound.
        folder: where WAV files go.
        originality: index of the checkpoint's training music, or None to compose without checking for copies.
        queue_limit: pieces that may wait before `Busy`.
        device: "cpu" or "cuda"; None: CUDA where there is one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        renderer: Renderer | RenderPool,
        folder: Path,
        *,
        originality: Index | None = None,
        queue_limit: int = 64,
        device: str | None = None,
    ) -> None:
        self.checkpoint_id = checkpoint.id
        self._sampler = Sampler(checkpoint, device)
        self._originality = originality
        self._renderer = renderer
        self._folder = folder
        self._queue_limit = queue_limit
        # A step of the LSTM is too small to share between cores: a second thread only adds waiting.
        self._sampling = ThreadPoolExecutor(1, "sampler", initializer=lambda: torch.set_num_threads(1))
        self._rendering = ThreadPoolExecutor(2, "renderer")  # FluidSynth works in processes, one for a core
        self._turn = asyncio.Lock()  # fair: first come, first served
        self._waiting: list[_Job] = []
        self._jobs: set[_Job] = set()
        self._idle = asyncio.Event()  # set while there are no jobs
        self._idle.set()
        self._closed = False
        self._seconds_per_piece = 5.0  # exponential moving average, starts at a guess

    async def compose(self, request: ComposeRequest, progress: ProgressCallback | None = None) -> Composition:
        """Make one piece; see `engine.types.Engine`."""
        if self._closed:
            raise EngineClosed("The engine is shutting down; try again in a minute.")
        if len(self._waiting) >= self._queue_limit:
            wait_s = self._seconds_per_piece * len(self._waiting)
            raise Busy(f"{len(self._waiting)} pieces are waiting already; try again in {wait_s:.0f} seconds.", wait_s)
        job = _Job(request, progress, asyncio.get_running_loop())
        self._jobs.add(job)
        self._idle.clear()
        try:
            return await self._make(job)
        except Cancelled as stopped:
            # The engine was closed under the caller, whose own task was not cancelled.
            raise EngineClosed("The engine was shut down before the piece was finished.") from stopped
        finally:
            self._jobs.discard(job)
            if not self._jobs:
                self._idle.set()

    async def _make(self, job: _Job) -> Composition:
        self._waiting.append(job)
        self._tell_places()
        try:
            await self._turn.acquire()
        finally:
            self._waiting.remove(job)
        self._tell_places()
        started = time.monotonic()
        try:
            if job.stop.is_set():
                raise Cancelled
            decided = plan(job.request)
            job.tell(Stage.SAMPLING, 0, job.request.length_notes)
            score, originality = await self._draw(job, decided)
        finally:
            self._turn.release()
        sampled = time.monotonic()
        name = title(job.request)
        job.tell(Stage.RENDERING, 0, 100)
        rendered: Rendered = await self._in_thread(
            self._rendering,
            job,
            lambda: self._renderer.render(
                score,
                title=name,
                recipe=self._recipe(job.request, decided),
                folder=self._folder,
                name=f"{job.request.mood}-{job.request.id}",
                mood=job.request.mood,
                space=job.request.room,
                progress=_in_steps(job, Stage.RENDERING, 100),
                cancelled=job.stop.is_set,
            ),
        )
        finished = time.monotonic()
        self._seconds_per_piece += 0.2 * (finished - started - self._seconds_per_piece)
        return Composition(
            request=job.request,
            title=name,
            score=score,
            key=decided.key,
            checkpoint_id=self.checkpoint_id,
            midi=rendered.midi,
            wav=rendered.wav,
            roll_png=rendered.roll_png,
            duration_s=rendered.duration_s,
            sampling_s=sampled - started,
            rendering_s=finished - sampled,
            originality=originality,
        )

    async def _draw(self, job: _Job, decided: Plan) -> tuple[Score, Originality | None]:
        """The notes, drawn again while they copy too much: the first acceptable drawing, or the most original one."""
        drawn: list[tuple[Score, Originality]] = []
        for attempt in range(DRAWINGS_MAX):
            tokens = await self._in_thread(self._sampling, job, partial(self._sample, job, decided, attempt))
            score = to_score(tokens, decided)
            if self._originality is None:
                return score, None
            originality = await self._in_thread(self._rendering, job, partial(self._originality.check, score))
            drawn.append((score, originality))
            if originality.acceptable:
                break
            log.info("%s, drawing %d copies too much: %s", job.request.id, attempt + 1, originality)
        return min(drawn, key=lambda pair: pair[1].rank)

    def _sample(self, job: _Job, decided: Plan, attempt: int) -> IntArray:
        # Progress never goes back: further drawings, which are rare, are silent.
        progress = None if attempt else _in_steps(job, Stage.SAMPLING, job.request.length_notes)
        return self._sampler.sample(job.request, decided, attempt=attempt, progress=progress, cancelled=job.stop.is_set)

    def _tell_places(self) -> None:
        for ahead, job in enumerate(self._waiting):
            job.tell(Stage.QUEUED, ahead, ahead)

    def _recipe(self, request: ComposeRequest, decided: Plan) -> list[str]:
        """What makes the piece again, as one line of JSON; without the id, so that equal music has equal bytes."""
        recipe = {
            "program": "MusicLSTM",
            "checkpoint": self.checkpoint_id,
            "mood": request.mood,
            "length": request.length_notes,
            "temp": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "tempo": decided.tempo_bpm,
            "key": str(decided.key),
            "space": request.room,
        }
        return [json.dumps(recipe)]

    async def _in_thread(self, pool: ThreadPoolExecutor, job: _Job, work: Callable[[], _T]) -> _T:
        """Run `work` in a pool; when the awaiting task is cancelled, stop it and wait until it has cleaned up."""
        future = job.loop.run_in_executor(pool, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            job.stop.set()
            await asyncio.wait({future})
            if not future.cancelled():
                future.exception()  # seen: what a stopped job says is of no interest
            raise

    async def aclose(self) -> None:
        """Stop what is running and free every thread; see `engine.types.Engine`."""
        self._closed = True
        for job in self._jobs:
            job.stop.set()
        await self._idle.wait()
        self._sampling.shutdown()
        self._rendering.shutdown()
        if isinstance(self._renderer, RenderPool):
            self._renderer.close()


def _in_steps(job: _Job, stage: Stage, total: int) -> Callable[[int], None]:
    """A progress callback for a worker thread that reports at most a hundred times, and always the end."""
    step = max(1, total // 100)

    def tell(done: int) -> None:
        if done % step == 0 or done == total:
            job.tell_from_thread(stage, done, total)

    return tell
