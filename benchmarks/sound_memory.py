"""How much memory rendering takes, the worker and all its synthesisers together."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Self


class PeakMemory(threading.Thread):
    """Watches the resident memory of this process's descendants (Linux; elsewhere it stays 0).

    `ru_maxrss` of children would count what a child shares with its parent between fork and exec.

    Attributes:
        mb: the most so far, in megabytes.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mb = 0.0
        self._stop_wanted = threading.Event()

    def run(self) -> None:
        """Look fifty times a second."""
        while not self._stop_wanted.wait(0.02):
            self.mb = max(self.mb, sum(map(resident_mb, _descendants(os.getpid()))))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_wanted.set()
        self.join()


def _descendants(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
        return children + [below for child in children for below in _descendants(child)]
    return []


def resident_mb(pid: int) -> float:
    """The proportional set size of a process, in megabytes; 0 where Linux does not tell it."""
    with contextlib.suppress(OSError, IndexError):
        # The exclusive share of what several processes map, such as a soundfont, counts once.
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6  # its kB are 1,024 bytes
    return 0.0
