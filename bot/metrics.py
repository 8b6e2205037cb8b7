"""How the bot is doing, in numbers: Prometheus metrics and a health page on the loopback interface.

`/metrics` is in Prometheus' text format (prometheus.io, "Exposition formats"); `/health` is 200 and `ok` while the
event loop answers. Neither is reachable from another machine, and neither says anything about a person.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bot.history import Record, State
from engine.errors import SetupProblem

_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600)
_RATIOS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_REQUEST_MAX_BYTES = 8192
_PATIENCE_S = 5.0


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

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_PATIENCE_S):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(request.split(b"\r\n", 1)[0].split(b" "), metrics))
                await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, "127.0.0.1", port, limit=_REQUEST_MAX_BYTES)
    except OSError as error:
        raise SetupProblem(
            f"Port {port} cannot be used ({error.strerror}): choose another MUSICLSTM_METRICS_PORT."
        ) from error
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _response(request_line: list[bytes], metrics: Metrics) -> bytes:
    status, kind, body = b"404 Not Found", b"text/plain", b"There are /metrics and /health.\n"
    if len(request_line) != 3 or request_line[0] != b"GET":
        status, body = b"405 Method Not Allowed", b"Only GET is answered.\n"
    elif request_line[1] == b"/metrics":
        status, kind, body = b"200 OK", b"text/plain; version=0.0.4; charset=utf-8", metrics.text()
    elif request_line[1] == b"/health":
        status, body = b"200 OK", b"ok\n"
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, kind, len(body)) + body
