"""Rendering in other processes: the same bytes, and nothing that happens to a worker loses a piece."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from data.moods import Mood
from data.score import STEPS_PER_BAR, Score
from data.spaces import Space
from engine.errors import Cancelled, RenderFailed, SetupProblem
from engine.render import RenderPool
from tests.engine.render.conftest import KEY, render

RECIPE = ("mood:dark length:13 temp:0.9 seed:7", "checkpoint:v1-00000000")


@pytest.fixture(scope="module")
def pool():
    pool = RenderPool(workers=2)
    pool.check()
    yield pool
    pool.close()


def _render(pool, score, folder, name="piece", **others):
    return pool.render(
        score,
        title="Void Harbour",
        recipe=RECIPE,
        folder=folder,
        name=name,
        mood=Mood.DARK,
        space=Space.DRY,
        key=KEY,
        **others,
    )


def test_workers_give_the_same_bytes_alone_and_in_parallel(pool, score, rendered, tmp_path):
    with ThreadPoolExecutor(3) as threads:
        pieces = list(threads.map(lambda name: _render(pool, score, tmp_path, name), ("one", "two", "three")))
    expected = rendered.wav.read_bytes()
    for piece in pieces:
        assert piece.wav.read_bytes() == expected
        assert piece.midi == rendered.midi


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
                (pid,) = pool.pids
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


def test_closing_leaves_no_process_and_no_file(score, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    pool = RenderPool(workers=1)
    pool.check()
    _render(pool, score, tmp_path)
    (pid,) = pool.pids
    assert len(list(folder.iterdir())) == 1
    pool.close()
    assert not any(folder.iterdir())
    assert not _lives(pid)
    assert pool.pids == []


def test_a_pool_whose_owner_is_killed_leaves_no_process_and_no_file(tmp_path):
    program = (
        "import os, signal, time\n"
        "from engine.render import RenderPool\n"
        "if __name__ == '__main__':\n"
        "    pool = RenderPool(workers=1)\n"
        "    pool.check()\n"
        "    while 'musiclstm-render-' not in ''.join(os.listdir(os.environ['TMPDIR'])): time.sleep(0.01)\n"
        "    print(*pool.pids, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    script = tmp_path / "owner.py"
    script.write_text(program)
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)}
    found = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    _wait_until(lambda: not any(folder.iterdir()) and not _lives(int(found.stdout)))


class Meddler:
    """A progress callback that does something to the worker, once, or so many times, each time a piece is under way."""

    def __init__(self, pool, deed, times=1):
        self._pool, self._deed, self.left = pool, deed, times
        self._met = set()

    def __call__(self, percent):
        (pid,) = self._pool.pids
        if self.left and percent >= 1 and pid not in self._met:
            self._met.add(pid)
            self.left -= 1
            self._deed(pid)


@pytest.fixture(scope="module")
def longer(score):
    """A minute and more of it: time enough for something to happen."""
    length = 4 * STEPS_PER_BAR
    notes = [replace(note, start_step=note.start_step + turn * length) for turn in range(6) for note in score.notes]
    return Score(tuple(sorted(notes)), score.tempo_bpm)


@pytest.fixture(scope="module")
def made(longer, tmp_path_factory):
    """The bytes of its sound."""
    return render(tmp_path_factory.mktemp("made"), score=longer).wav.read_bytes()


@pytest.fixture
def lone():
    """A pool of one worker, which may come to harm."""
    pool = RenderPool(workers=1)
    pool.check()
    yield pool
    pool.close()


def test_a_piece_outlives_three_workers_that_somebody_kills(lone, longer, made, tmp_path):
    meddler = Meddler(lone, lambda pid: os.kill(pid, signal.SIGKILL), times=3)
    piece = _render(lone, longer, tmp_path, progress=meddler)
    assert meddler.left == 0
    assert piece.wav.read_bytes() == made


def test_a_piece_whose_workers_somebody_kills_without_end_is_not_called_the_cause(lone, longer, tmp_path):
    meddler = Meddler(lone, lambda pid: os.kill(pid, signal.SIGKILL), times=9)
    with pytest.raises(RenderFailed, match="ended from outside"):
        _render(lone, longer, tmp_path, progress=meddler)
    assert list(tmp_path.iterdir()) == []


def test_a_piece_of_which_workers_die_by_themselves_is_told_after_two(lone, longer, tmp_path):
    meddler = Meddler(lone, lambda pid: os.kill(pid, signal.SIGSEGV), times=9)
    with pytest.raises(RenderFailed, match="twice"):
        _render(lone, longer, tmp_path, progress=meddler)
    assert meddler.left == 7
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_hangs_is_noticed_by_its_standing_still(lone, longer, made, tmp_path, monkeypatch):
    _render(lone, longer, tmp_path)
    monkeypatch.setattr("engine.render.pool._SILENCE_S", 1.0)
    meddler = Meddler(lone, lambda pid: os.kill(pid, signal.SIGSTOP))
    before = lone.pids
    piece = _render(lone, longer, tmp_path, progress=meddler)
    assert lone.pids != before
    assert not _lives(*before)
    assert piece.wav.read_bytes() == made


def test_a_synthesiser_that_hangs_goes_with_its_worker(lone, longer, made, tmp_path, monkeypatch):
    _render(lone, longer, tmp_path)
    monkeypatch.setattr("engine.render.pool._SILENCE_S", 1.0)
    stopped = []

    def stop_synthesisers(pid):
        stopped.extend(_children(pid))
        for child in stopped:
            os.kill(child, signal.SIGSTOP)

    piece = _render(lone, longer, tmp_path, progress=Meddler(lone, stop_synthesisers))
    assert piece.wav.read_bytes() == made
    assert stopped
    _wait_until(lambda: not any(map(_lives, stopped)))


def test_a_worker_out_of_memory_is_replaced(lone, longer, made, tmp_path):
    resource = pytest.importorskip("resource")

    def starve(pid):
        resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))

    meddler = Meddler(lone, starve)
    before = lone.pids
    piece = _render(lone, longer, tmp_path, progress=meddler)
    assert lone.pids != before
    assert piece.wav.read_bytes() == made


def test_the_death_of_a_worker_is_no_concern_of_the_others(longer, made, tmp_path):
    pool = RenderPool(workers=2)
    pool.check()
    try:
        # Both are under way when the first is killed; it is killed so often that the other would be given up, too.
        under_way = threading.Barrier(2, timeout=60)
        victims, seen = set(), set()

        def kill(percent):
            if percent and not seen:
                seen.add(percent)
                under_way.wait()
            for pid in set(pool.pids) - safe:
                if percent and len(victims) < 3 and pid not in victims:
                    victims.add(pid)
                    os.kill(pid, signal.SIGKILL)

        with ThreadPoolExecutor(2) as threads:
            waited = []

            def go_on(percent):
                if percent and not waited:
                    waited.append(percent)
                    under_way.wait()

            innocent = threads.submit(_render, pool, longer, tmp_path, "innocent", progress=go_on)
            _wait_until(lambda: 0 not in pool._free_slots or 1 not in pool._free_slots)
            slot = 1 - pool._free_slots[0]
            safe = {pool.pids[slot]}
            victim = threads.submit(_render, pool, longer, tmp_path, "victim", progress=kill)
            for piece in (innocent, victim):
                assert piece.result(120).wav.read_bytes() == made
        assert len(victims) == 3
        assert safe < set(pool.pids)
    finally:
        pool.close()


def test_an_idle_worker_that_died_is_replaced_and_costs_nothing(lone, longer, made, tmp_path):
    (pid,) = lone.pids
    os.kill(pid, signal.SIGSEGV)
    _wait_until(lambda: not _lives(pid))
    meddler = Meddler(lone, lambda pid: os.kill(pid, signal.SIGSEGV))
    assert _render(lone, longer, tmp_path, progress=meddler).wav.read_bytes() == made


def test_a_worker_that_hangs_is_not_waited_for_when_the_piece_is_cancelled(lone, longer, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.render.pool._STOP_S", 0.3)
    hung = threading.Event()

    def stop(pid):
        os.kill(pid, signal.SIGSTOP)
        hung.set()

    started = time.monotonic()
    with pytest.raises(Cancelled):
        _render(lone, longer, tmp_path, progress=Meddler(lone, stop), cancelled=hung.is_set)
    assert time.monotonic() - started < 20
    assert list(tmp_path.iterdir()) == []
    assert lone.pids == []


def test_what_a_worker_says_of_a_piece_is_never_taken_for_another(lone, longer, made, tmp_path):
    def fail(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _render(lone, longer, tmp_path, "lost", progress=fail)
    assert _render(lone, longer, tmp_path, "next").wav == tmp_path / "next.wav"
    assert (tmp_path / "next.wav").read_bytes() == made


def test_where_no_memory_can_be_shared_that_is_told_in_a_sentence(monkeypatch):
    def read_only(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("multiprocessing.heap.BufferWrapper.__init__", read_only)
    with pytest.raises(SetupProblem, match="has to be writable"):
        RenderPool(workers=1)


def test_ctrl_c_is_for_the_owner_alone(rendered, tmp_path):
    """A terminal sends it to all; the piece in the making is the owner's to finish or to queue again."""
    program = """if True:
        import os, signal, sys
        from pathlib import Path
        from engine.render import RenderPool
        from tests.engine.render.conftest import ambient_score
        from tests.engine.render.test_pool import _render

        if __name__ == "__main__":
            signal.signal(signal.SIGINT, lambda *_: None)  # ignoring it would be inherited
            pool = RenderPool(workers=1)
            pool.check()
            left = [1, 20, 40, 60, 80]

            def interrupt(percent):
                if left and percent >= left[0]:
                    left.pop(0)
                    os.killpg(0, signal.SIGINT)

            before = pool.pids
            _render(pool, ambient_score(), Path(sys.argv[1]), progress=interrupt)
            assert len(left) < 5
            assert pool.pids == before
            pool.close()
    """
    script = tmp_path / "owner.py"
    script.write_text(textwrap.dedent(program))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((*sys.path, "."))}
    arguments = [sys.executable, script, tmp_path]
    done = subprocess.run(arguments, env=environment, stderr=subprocess.PIPE, check=False, start_new_session=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "piece.wav").read_bytes() == rendered.wav.read_bytes()


def _children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _wait_until(true, seconds=30):
    deadline_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # a zombie is dead; only nobody has asked yet


def test_a_folder_for_temporary_files_that_was_cleared_away_is_made_again(score, tmp_path):
    pool = RenderPool(workers=1)
    try:
        _render(pool, score, tmp_path, "one")
        shutil.rmtree(pool._workers[0].scratch)
        assert _render(pool, score, tmp_path, "two").wav.exists()
    finally:
        pool.close()


def test_a_synthesiser_that_is_killed_costs_no_piece(pool, score, tmp_path):
    long = replace(score, notes=tuple(replace(note, start_step=note.start_step * 60) for note in score.notes))
    killed: list[int] = []

    def kill(_: int) -> None:
        if killed:
            return
        for worker in pool.pids:
            found = subprocess.run(
                ["pgrep", "-P", str(worker), "fluidsynth"], capture_output=True, text=True, check=False
            )
            for pid in found.stdout.split():
                os.kill(int(pid), signal.SIGKILL)
                killed.append(int(pid))

    rendered = _render(pool, long, tmp_path, "killed", progress=kill)
    assert killed
    assert rendered.wav.read_bytes() == _render(pool, long, tmp_path, "whole").wav.read_bytes()
