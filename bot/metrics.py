"""How the bot is doing, in numbers: Prometheus metrics and a health page on the loopback interface.

`/metrics` is in Prometheus' text format (prometheus.io, "Exposition formats"); `/health` is 200 and `ok` while the
event loop answers. Neither is reachable from another machine, and neither says anything about a person.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bot.history import Record, State
from engine.errors import SetupProblem

_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600)
_RATIOS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Metrics:
    """What is counted. One per process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._ended = Counter(
            "musiclstm_requests", "Requests that reached a final state.", ["state"], registry=self.registry
        )
        self._refused = Counter("musiclstm_refused", "Requests refused by a limit.", registry=self.registry)
        self._waiting = Gauge("musiclstm_waiting", "Pieces that wait for their turn.", registry=self.registry)
        self._making = Gauge("musiclstm_making", "Pieces that have their turn.", registry=self.registry)
        self._wait = self._histogram("wait_seconds", "From a request to its turn.", _SECONDS)
        self._sampling = self._histogram("sampling_seconds", "Writing the notes of a piece.", _SECONDS)
        self._rendering = self._histogram("rendering_seconds", "Making the sound of a piece.", _SECONDS)
        self._delivery = self._histogram("delivery_seconds", "From a complete piece to its accepted reply.", _SECONDS)
        self._factor = self._histogram("real_time_factor", "Seconds of sound made in a second.", _RATIOS)
        for state in (State.DELIVERED, State.FAILED, State.CANCELLED):
            self._ended.labels(state)  # at 0 from the start, so that rates are right for the first one

    def watch(self, waiting: Callable[[], int], making: Callable[[], int]) -> None:
        """Read the queue whenever somebody asks."""
        self._waiting.set_function(waiting)
        self._making.set_function(making)

    def refused(self) -> None:
        """A limit said no."""
        self._refused.inc()

    def made(self, record: Record) -> None:
        """The files of a piece are complete."""
        result = record.result
        if result is None or record.started_at is None:
            return
        self._wait.observe((record.started_at - record.created_at).total_seconds())
        self._sampling.observe(result.sampling_s)
        self._rendering.observe(result.rendering_s)
        work_s = result.sampling_s + result.rendering_s
        if work_s > 0:
            self._factor.observe(result.duration_s / work_s)

    def ended(self, record: Record) -> None:
        """A request reached a final state."""
        self._ended.labels(record.state).inc()
        if record.state is State.DELIVERED and record.made_at is not None and record.finished_at is not None:
            self._delivery.observe((record.finished_at - record.made_at).total_seconds())

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, says: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"musiclstm_{name}", says, buckets=buckets, registry=self.registry)


@contextlib.asynccontextmanager
async def serve(metrics: Metrics, port: int) -> AsyncIterator[str]:
    """Answer `/metrics` and `/health` on 127.0.0.1 while the block runs.

    Args:
        metrics: what is told.
        port: 0 takes a free one.

    Yields:
        the address, such as `http://127.0.0.1:9100`.

    Raises:
        SetupProblem: the port is taken.
    """
    from aiohttp import web  # noqa: PLC0415 - only the bot on Discord serves

    async def numbers(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def well(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    app.add_routes([web.get("/metrics", numbers), web.get("/health", well)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise SetupProblem(
                f"Port {port} cannot be used ({error.strerror}): choose another MUSICLSTM_METRICS_PORT."
            ) from error
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
