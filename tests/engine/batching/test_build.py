from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.batching.slots import open_slots, ways
from engine.batching.torch_slots import TorchSlots
from engine.native.build import NoCompiler, library
from tests.engine.batching.making import odd_checkpoint

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


def test_a_compiler_may_be_named_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = tmp_path / "a wrapper"
    wrapper.write_text('#!/bin/sh\nexec "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    monkeypatch.setenv("CC", f"'{wrapper}' cc -DWITH_AN_OPTION=1")
    library(int8=True, cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".so"]


@pytest.mark.parametrize("named", ["no-such-compiler", "'cc"])
def test_a_compiler_that_is_named_and_cannot_be_started_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, named: str
) -> None:
    monkeypatch.setenv("CC", named)
    slots = open_slots(ways(odd_checkpoint(), 4, "cpu"))
    assert isinstance(slots, TorchSlots)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert named in caplog.text


def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    taken = tmp_path / "taken"
    taken.write_text("a file where the folder should be", encoding="utf-8")
    library(int8=False, cache=taken / "native")
    assert [path.suffix for path in tmp_path.glob("musiclstm-native-*/*")] == [".so"]
