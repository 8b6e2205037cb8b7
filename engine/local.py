"""LocalEngine: the engine of one machine. Notes in one thread, sound in others, nothing slow on the event loop.

Some pieces are in the making at once, the others wait and are taken in fair order (`engine.batching.scheduler`). Notes
take milliseconds and are written for all of them side by side; sound takes seconds and is what people wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from data.midi_bytes import MAX_TEXT_CHARS
from engine.batching.best_of import BestOf
from engine.batching.process import WriterProcess
from engine.batching.scheduler import FairQueue, Priority
from engine.batching.slots import open_slots, ways
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.errors import Busy, Cancelled, EngineClosed
from engine.jobs import Job, in_steps, settled
from engine.originality import Index
from engine.plan import Plan, plan
from engine.render import Rendered, Renderer, RenderPool
from engine.takes import Chosen, Judge
from engine.titles import title
from engine.types import ComposeRequest, Composition, ProgressCallback, Stage

log = logging.getLogger(__name__)

SLOTS = 64  # pieces whose notes are written side by side; beyond it a core of compiled code gains nothing more
AT_ONCE_MIN = 2  # pieces in the making: notes take milliseconds, so one in advance keeps a renderer busy


def open_engine(
    *,
    checkpoint: Path | None = None,
    folder: Path,
    soundfont: Path | None = None,
    queue_limit: int = 64,
    device: str | None = None,
    render_workers: int = 0,
    at_once: int | None = None,
) -> LocalEngine:
    """Load the model and check the synthesiser, so that what is missing is told before any note is written.

    Args:
        checkpoint: a checkpoint folder; None: the one that ships with the project.
        folder: where WAV files go.
        soundfont: None: found where the system keeps soundfonts.
        queue_limit: pieces that may wait; one more is told to come back.
        device: "cpu" or "cuda"; None: CUDA where there is one.
        render_workers: processes that render, each one piece at a time on two cores; notes are then written in a
            process of their own too, so that no crash ends this one. 0 does everything in this process, which starts
            sooner and suits a program that makes one piece.
        at_once: pieces in the making at the same time; None: as many as keep the renderers busy, since the fewer are
            begun, the fairer is the order in which they end.

    Raises:
        SetupProblem: FluidSynth, the soundfont or the checkpoint is missing or damaged.
    """
    renderer = (
        RenderPool(workers=render_workers, soundfont=soundfont) if render_workers else Renderer(soundfont=soundfont)
    )
    try:
        renderer.check()
        source = checkpoint or DEFAULT
        return LocalEngine(
            load_checkpoint(source),
            renderer,
            folder,
            originality=Index.load(source),
            queue_limit=queue_limit,
            device=device,
            own_process=render_workers > 0,
            at_once=at_once or max(AT_ONCE_MIN, render_workers + 1),
        )
    except BaseException:
        if isinstance(renderer, RenderPool):
            renderer.close()  # its processes run by now, and nobody would be left to end them
        raise


class LocalEngine:
    """The Engine of one machine.

    Args:
        checkpoint: the model.
        renderer: turns scores into sound.
        folder: where WAV files go.
        originality: index of the checkpoint's training music, or None to compose without checking for copies.
        queue_limit: pieces that may wait before `Busy`.
        device: "cpu" or "cuda"; None: CUDA where there is one.
        own_process: write notes in a process of its own, which is started again should it die.
        at_once: pieces in the making at the same time.
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
        own_process: bool = False,
        at_once: int = AT_ONCE_MIN,
    ) -> None:
        self.checkpoint_id = checkpoint.id
        self._styles = checkpoint.styles
        judge = Judge.of(checkpoint, originality)
        self._writer = (
            WriterProcess(checkpoint, judge, SLOTS, device)
            if own_process
            else BestOf(partial(open_slots, ways(checkpoint, SLOTS, device)), judge)
        )
        self._renderer = renderer
        self._folder = folder
        self._queue_limit = queue_limit
        self._rendering = ThreadPoolExecutor(at_once, "renderer")  # FluidSynth works in processes, one for a core
        self._queue: FairQueue[Job] = FairQueue()
        self._at_once = at_once
        self._places = at_once  # free ones
        self._jobs: set[Job] = set()
        self._idle = asyncio.Event()  # set while there are no jobs
        self._idle.set()
        self._closed = False
        self._telling = False  # `_tell_places` is about to be called
        self._seconds_per_piece = 5.0  # exponential moving average, starts at a guess

    @property
    def written_by(self) -> str | None:
        """What writes the notes now, for an administrator; None before that is known."""
        return self._writer.written_by

    async def compose(
        self,
        request: ComposeRequest,
        progress: ProgressCallback | None = None,
        *,
        server: str = "",
        person: str = "",
        priority: Priority = Priority.PERSON,
    ) -> Composition:
        """Make one piece; see `engine.types.Engine`.

        Args:
            request: see there.
            progress: see there.
            server: whoever shares one share of the engine with others of the same name.
            person: within that server.
            priority: a piece waits for all of a higher priority.
        """
        if self._closed:
            raise EngineClosed("The engine is shutting down; try again in a minute.")
        if not self._places and len(self._queue) >= self._queue_limit:
            wait_s = self._seconds_per_piece * max(1, len(self._queue)) / self._at_once
            raise Busy("{n} pieces are waiting already; try again a little later.", wait_s, n=len(self._queue))
        loop = asyncio.get_running_loop()
        job = Job(request, progress, loop, loop.create_future())
        self._queue.put(job, server=server, person=person, notes=request.length_notes, priority=priority)
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

    async def _make(self, job: Job) -> Composition:
        self._admit()
        try:
            await job.turn
            return await self._write_and_render(job)
        finally:
            if job.turn.done() and not job.turn.cancelled():
                self._places += 1
            else:
                self._queue.discard(job)
            self._admit()

    def _admit(self) -> None:
        """Give free places to those whose turn it is, and tell the others how many are ahead of them."""
        while self._places and len(self._queue) and not self._closed:
            job = self._queue.take()
            if not job.turn.done():  # else its caller was cancelled a moment ago
                self._places -= 1
                job.turn.set_result(None)
        if not self._telling:  # once for all that come in the same moment: the order of a long queue takes milliseconds
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell_places)

    def _tell_places(self) -> None:
        self._telling = False
        if any(job.progress is not None for job in self._jobs if not job.turn.done()):
            for ahead, job in enumerate(self._queue):
                job.tell(Stage.QUEUED, ahead, ahead)

    async def _write_and_render(self, job: Job) -> Composition:
        if job.stop.is_set():
            raise Cancelled
        started = time.monotonic()
        decided = plan(job.request, self._styles)
        job.tell(Stage.SAMPLING, 0, job.request.length_notes)
        drawn = await self._draw(job, decided)
        sampled = time.monotonic()
        name = title(job.request)
        job.tell(Stage.RENDERING, 0, 100)
        rendered = await self._rendered(
            job,
            lambda: self._renderer.render(
                drawn.score,
                title=name,
                recipe=self._recipe(job.request, decided),
                folder=self._folder,
                name=f"{job.request.mood}-{job.request.id}",
                mood=job.request.mood,
                space=job.request.room,
                key=decided.key,
                progress=in_steps(job, Stage.RENDERING, 100),
                cancelled=job.stop.is_set,
            ),
        )
        finished = time.monotonic()
        self._seconds_per_piece += 0.2 * (finished - started - self._seconds_per_piece)
        return Composition(
            request=job.request,
            title=name,
            score=drawn.score,
            key=decided.key,
            checkpoint_id=self.checkpoint_id,
            midi=rendered.midi,
            wav=rendered.wav,
            ogg=rendered.ogg,
            roll_png=rendered.roll_png,
            duration_s=rendered.duration_s,
            sampling_s=sampled - started,
            rendering_s=finished - sampled,
            originality=drawn.originality,
        )

    async def _draw(self, job: Job, decided: Plan) -> Chosen:
        """The best of several takes; stopped when the awaiting task is cancelled."""
        heard = partial(job.tell_from_thread, Stage.SAMPLING, total=job.request.length_notes) if job.progress else None
        wish = self._writer.submit(job.request, decided, on_written=heard)
        return await settled(asyncio.wrap_future(wish.future), partial(self._writer.cancel, wish))

    def _recipe(self, request: ComposeRequest, decided: Plan) -> list[str]:
        """What makes the piece again, without the id, so that equal music has equal bytes.

        Returns:
            JSON: one line, or with a long opening several that are to be joined, since a text event of a MIDI file is
            read only so far.
        """
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
        if request.opening is not None:
            recipe["opening"] = request.opening.text
        whole = json.dumps(recipe)
        return [whole[start : start + MAX_TEXT_CHARS] for start in range(0, len(whole), MAX_TEXT_CHARS)]

    async def _rendered(self, job: Job, work: Callable[[], Rendered]) -> Rendered:
        """What comes of rendering in a thread; nothing of it is left where the awaiting task is cancelled."""
        rendering = job.loop.run_in_executor(self._rendering, work)
        try:
            return await settled(rendering, job.stop.set)
        except asyncio.CancelledError:
            if rendering.exception() is None:  # it was finished in the same moment, and nobody takes its file
                await settled(job.loop.run_in_executor(self._rendering, _drop, rendering.result().wav), job.stop.set)
            raise

    async def aclose(self) -> None:
        """Stop what is running and free every thread; see `engine.types.Engine`."""
        self._closed = True
        for job in self._jobs:
            job.stop.set()
            if not job.turn.done():
                job.turn.set_exception(Cancelled())
        await asyncio.to_thread(self._writer.close)
        await self._idle.wait()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._rendering.shutdown()
        if isinstance(self._renderer, RenderPool):
            self._renderer.close()


def _drop(wav: Path) -> None:
    with contextlib.suppress(OSError):
        wav.unlink(missing_ok=True)
