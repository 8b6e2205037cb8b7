"""Rendering in other processes: the same bytes, and nothing that happens to a worker loses a piece."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data.moods import Mood
from data.spaces import SPACES, Space
from engine.errors import Cancelled, SetupProblem
from engine.render.fluidsynth import SAMPLE_RATE_HZ
from engine.render.space import room
from engine.render.worker import RenderPool, ready

RECIPE = ("mood:dark length:13 temp:0.9 seed:7", "checkpoint:v1-00000000")


@pytest.fixture(scope="module")
def pool():
    pool = RenderPool(workers=2)
    pool.check()
    yield pool
    pool.close()


def _render(pool, score, folder, name="piece", **others):
    return pool.render(
        score, title="Void Harbour", recipe=RECIPE, folder=folder, name=name, mood=Mood.DARK, space=Space.DRY, **others
    )


def test_workers_give_the_same_bytes_alone_and_in_parallel(pool, score, rendered, tmp_path):
    with ThreadPoolExecutor(3) as threads:
        pieces = list(threads.map(lambda name: _render(pool, score, tmp_path, name), ("one", "two", "three")))
    expected = rendered.wav.read_bytes()
    for piece in pieces:
        assert piece.wav.read_bytes() == expected
        assert piece.midi == rendered.midi


def test_a_worker_that_is_ready_has_made_the_rooms():
    room.cache_clear()
    assert ready() == os.getpid()
    assert all("wet" in vars(room(space, SAMPLE_RATE_HZ)) for space in SPACES)


def test_a_worker_starts_without_scipy():
    """Whose import takes a tenth of a second, as long as a minute of music takes to master."""
    code = "import sys, engine.render.worker; sys.exit(any(name.startswith('scipy') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_a_worker_does_not_ask_for_the_same_memory_again_and_again():
    code = """if True:
        import resource
        import numpy as np
        from engine.render.loudness import hop_energies
        from engine.render.worker import keep_memory
        keep_memory()
        sound = np.ones((2, 22_050 * 60), np.float32)
        for _ in range(2):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for hop in range(0, 600, 16):
                hop_energies(sound, 22_050, hop, hop + 16)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    faults = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert faults < 1000  # without it ten thousand


def test_progress_comes_through(pool, score, tmp_path):
    seen: list[int] = []
    _render(pool, score, tmp_path, progress=seen.append)
    assert seen == sorted(set(seen))
    assert len(seen) >= 2


def test_cancelling_stops_a_worker_and_leaves_nothing(pool, score, tmp_path):
    with pytest.raises(Cancelled):
        _render(pool, score, tmp_path, cancelled=lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_errors_come_through(score, tmp_path):
    pool = RenderPool(soundfont=tmp_path / "missing.sf2")
    try:
        with pytest.raises(SetupProblem, match="does not exist"):
            _render(pool, score, tmp_path)
    finally:
        pool.close()


def test_a_killed_worker_loses_no_piece(score, rendered, tmp_path):
    pool = RenderPool(workers=1)
    try:
        pool.check()
        killed = threading.Event()

        def kill_once(percent: int) -> None:
            if not killed.is_set() and percent >= 1:
                killed.set()
                for pid in list(pool._pool._processes):
                    os.kill(pid, signal.SIGKILL)

        piece = _render(pool, score, tmp_path, progress=kill_once)
        assert killed.is_set()
        assert piece.wav.read_bytes() == rendered.wav.read_bytes()
        assert [path.name for path in tmp_path.iterdir()] == ["piece.wav"]
    finally:
        pool.close()
        pool.close()


def test_closing_stops_what_is_running(score, tmp_path):
    pool = RenderPool(workers=1)
    pool.check()
    with pytest.raises(Cancelled):
        _render(pool, score, tmp_path, progress=lambda _: pool.close())
    assert list(tmp_path.iterdir()) == []


def test_closing_leaves_no_process_and_no_file(score, tmp_path):
    pool = RenderPool(workers=1)
    pool.check()
    _render(pool, score, tmp_path)
    (pid,) = pool._pool._processes
    scratch = pool._scratch
    pool.close()
    assert not Path(scratch).exists()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.02)
    else:
        pytest.fail("the worker is still there")


def test_a_pool_whose_owner_is_killed_leaves_no_process_and_no_file(tmp_path):
    program = (
        "import os, signal, time\n"
        "from engine.render.worker import RenderPool, ready\n"
        "if __name__ == '__main__':\n"
        "    pool = RenderPool(workers=1)\n"
        "    pid = pool._running_pool().submit(ready).result()\n"
        "    print(pid, pool._scratch, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    script = tmp_path / "owner.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    pid, scratch = found.stdout.split()
    for _ in range(250):
        if not Path(scratch).exists() and not _lives(int(pid)):
            break
        time.sleep(0.02)
    assert not Path(scratch).exists()
    assert not _lives(int(pid))


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # a zombie is dead; only nobody has asked yet
