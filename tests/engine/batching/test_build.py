from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.native.build import NoCompiler, library

ROOT = Path(__file__).resolve().parents[3]


def test_processes_that_start_together_all_get_a_whole_library(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from engine.native.build import library; "
        "print(library(int8=True, cache=Path(sys.argv[1])).weight_bytes())"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outputs
    assert len({out for out, _ in outputs}) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"]  # one library, and nothing half-made


def test_a_compiler_that_fails_is_told_with_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'no space left on the moon' >&2; exit 1\n", encoding="utf-8")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    cache = tmp_path / "cache"
    with pytest.raises(NoCompiler, match="on the moon"):
        library(int8=True, cache=cache)
    assert not list(cache.iterdir())


def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    taken = tmp_path / "taken"
    taken.write_text("a file where the folder should be", encoding="utf-8")
    library(int8=False, cache=taken / "native")
    assert [path.suffix for path in tmp_path.glob("musiclstm-native-*/*")] == [".so"]
