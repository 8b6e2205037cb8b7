"""`python -m data.start`: a command is run, and Ctrl-C ends it in one line also while it is being loaded."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = """
import sys, time
print("loading", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    raise ImportError("as modules in C make of it")
"""
QUICK = """
import signal
def main(arguments):
    print(arguments, signal.getsignal(signal.SIGINT) is signal.{handler}, flush=True)
    return 7
"""


def start(folder: Path, program: str, *words: str, ignored: bool = False) -> subprocess.Popen[str]:
    (folder / "command").mkdir()
    (folder / "command" / "__main__.py").write_text(program)
    # A new process ignores what its parent ignores, and this one may have been started so.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "data.start", "command", *words],
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_command_that_is_interrupted_while_it_is_loaded_ends_in_one_line(tmp_path: Path) -> None:
    process = start(tmp_path, SLOW)
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "Interrupted.\n")
    assert process.returncode == 130


@pytest.mark.parametrize(("ignored", "handler"), [(False, "default_int_handler"), (True, "SIG_IGN")])
def test_a_command_gets_its_words_and_the_interrupts_that_it_would_have_had(
    tmp_path: Path, handler: str, *, ignored: bool
) -> None:
    process = start(tmp_path, QUICK.format(handler=handler), "report", "--json", ignored=ignored)
    assert process.communicate(timeout=30) == ("['report', '--json'] True\n", "")
    assert process.returncode == 7
