"""Garbage collection where somebody waits."""

from __future__ import annotations

import gc


def keep_loaded() -> None:
    """Look no more for garbage among what is loaded by now; for a process that serves, once it is ready to.

    With a Discord client that is a hundred thousand objects, and PyTorch has more. A full collection, which Python
    begins whenever a quarter as many new ones are left, takes them all into its hands: up to 100 ms in which nothing
    else runs (https://docs.python.org/3/library/gc.html#gc.freeze).
    """
    gc.collect()
    gc.freeze()
