"""Hearing another process without waiting for it."""

from __future__ import annotations

import logging
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

log = logging.getLogger(__name__)


def listen(connection: Connection, heard: SimpleQueue[Any]) -> None:
    """Put what comes through a pipe into a queue, and None when the pipe ends: the work of a thread of its own.

    A process that is stopped in the middle of a word holds up whoever listens, for ever; whoever asks the queue can
    lose patience and kill it, which ends the pipe.

    Args:
        connection: to a process that says no None.
        heard: what it says.
    """
    try:
        while True:
            heard.put(connection.recv())
    except (EOFError, OSError):
        pass
    except Exception:
        log.exception("Another process said what cannot be understood.")
    finally:
        heard.put(None)
