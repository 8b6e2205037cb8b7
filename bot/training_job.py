"""The process that retrains: runs the steps of a job one after the other, and writes down what happens.

It is started by `bot.training`, outlives the bot, and shares nothing with it but a folder:

    job.json        what to do, as written by the bot
    lock            locked for as long as the job lives
    cancel          there once somebody has cancelled the job
    progress.jsonl  one JSON object a line: {"event": "step" | "progress" | "finished" | "ended", …}
    log.txt         what the steps wrote on standard error
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from bot.training_run import clear

_STOP_WITHIN_S = 30.0  # the trainer saves its state at an interrupt; then it is killed
_LOOK_EVERY_S = 0.1  # for a wish to stop
_NICENESS = 10  # people who compose go first


class _Stopped(Exception):
    """Somebody cancelled the job."""


def main(folder: Path, lock: int) -> int:
    """Run the job of a folder.

    Args:
        folder: see above.
        lock: the descriptor of its locked lock.

    Returns:
        the exit status.
    """
    stopping: list[int] = []  # filled by a signal; looked at between waits, so that no step is ever lost half-started

    def stop(number: int, _frame: FrameType | None) -> None:
        stopping.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if (folder / "cancel").exists():  # before anybody listened
        stop(signal.SIGINT, None)
    os.nice(_NICENESS)
    steps: list[dict[str, Any]] = json.loads((folder / "job.json").read_text(encoding="utf-8"))["steps"]
    with (
        (folder / "progress.jsonl").open("a", encoding="utf-8") as progress,
        (folder / "log.txt").open("a", encoding="utf-8") as log,
    ):

        def say(**event: object) -> None:
            progress.write(json.dumps(event) + "\n")
            progress.flush()

        def end(status: int, how: str, sentence: str) -> int:
            say(event="ended", status=how, sentence=sentence)
            clear(folder)
            return status

        try:
            for step in steps:
                if step.get("makes") and Path(step["makes"]).exists():
                    continue  # done before the machine went down
                say(event="step", step=step["name"])
                status = _run(step["argv"], progress.fileno(), log.fileno(), lock, stopping)
                if status and step["needed"]:
                    return end(1, "failed", _last_line(folder / "log.txt", step["name"]))
            return end(0, "finished", "")
        except _Stopped:
            return end(130, "cancelled", "It was cancelled.")


def _run(argv: list[str], out: int, err: int, lock: int, stopping: list[int]) -> int:
    # A step that is orphaned by a kill -9 of this process holds the lock on, so that no second one is started.
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, pass_fds=[lock])
    while not stopping:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_LOOK_EVERY_S)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_WITHIN_S)
    process.kill()
    process.wait()
    raise _Stopped


def _last_line(log: Path, step: str) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"The step '{step}' failed without saying why."


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
