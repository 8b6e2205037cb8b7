"""A process of one's own, with a pipe to it that is heard without waiting."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any

log = logging.getLogger(__name__)


class Child:
    """A process that runs, and this process's end of the pipe to it.

    Whoever reads a pipe is held up, for ever, by a process that is stopped in the middle of a word. So a thread reads
    it; whoever asks its queue can lose patience and kill the process, which ends the pipe.

    Args:
        target: runs there; it is given its end of the pipe, and the arguments.
        arguments: by value.
        name: of the process.

    Attributes:
        process: the process.
        connection: to be written to; reading is done.
        heard: what the process says, which is never None, and None when the pipe has ended.

    Raises:
        OSError: there is no room for another process, or for the thread that hears it.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any, name: str) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks in any state
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=target, args=(theirs, *arguments), name=name, daemon=True)
        try:
            self.process.start()
        finally:
            theirs.close()  # so that the pipe ends when the process does
        self.heard: SimpleQueue[Any] = SimpleQueue()
        self._ear = self._thread("ear", self._listen)

    def end(self) -> int | None:
        """Kill it, if it lives, and close the pipe, to which nobody may be writing; its exit status. Safe to repeat."""
        self.process.kill()
        self.process.join()
        self._ear.join()  # the pipe has ended
        self.connection.close()
        return self.process.exitcode

    def _thread(self, name: str, target: Callable[..., None], *arguments: Any) -> threading.Thread:
        """A thread that runs; where there is no room for one, the process is killed, since nobody would end it."""
        thread = threading.Thread(target=target, args=arguments, name=f"{self.process.name}-{name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # what Python makes of EAGAIN
            self.process.kill()
            self.process.join()
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
        return thread

    def _listen(self) -> None:
        try:
            while True:
                self.heard.put(self.connection.recv())
        except (EOFError, OSError):
            pass
        except Exception:
            log.exception("Another process said what cannot be understood.")
        finally:
            self.heard.put(None)
