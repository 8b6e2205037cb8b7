"""`python -m benchmarks NAME [--json] …`: one measurement."""

from __future__ import annotations

import importlib
import sys

NAMES = {
    "engine": "notes per second: the usual way, ours, and other projects' models",
    "compose": "from a request to its files, alone and in a crowd",
    "takes": "how much better the best of several takes is, and what it costs",
    "sound": "from a score to its sound",
    "precision": "what 8-bit weights cost in quality",
    "train": "notes per second of training, as a share of the machine's matrix products",
}


def main(arguments: list[str]) -> int:
    """Run the measurement that the first argument names."""
    if arguments and arguments[0] in NAMES:
        module = importlib.import_module(f"benchmarks.{arguments[0]}")
        return int(module.main(arguments[1:]))
    lines = ["usage: ./run bench NAME [--json]", *(f"  {name:10s} {what}" for name, what in NAMES.items())]
    asked_for_help = bool(arguments) and arguments[0] in {"help", "-h", "--help"}
    (sys.stdout if asked_for_help else sys.stderr).write("\n".join(lines) + "\n")
    return 0 if asked_for_help else 64  # EX_USAGE


if __name__ == "__main__":
    # Not above: a new worker of the sound benchmark imports this module, and nobody's bot has it there.
    from benchmarks.command import told

    sys.exit(told(lambda: main(sys.argv[1:])))
