import asyncio
import os
import time
from pathlib import Path

import pytest

from bot import health
from bot.cli import main


async def test_a_connected_bot_beats_and_a_lost_one_goes_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "BEAT_S", 0.001)
    beat, connected = tmp_path / "heartbeat", False
    task = asyncio.create_task(health.keep_beating(beat, lambda: connected))
    await asyncio.sleep(0.02)
    assert health.check(beat) == (False, "The bot has not run here.")
    connected = True
    while not health.check(beat)[0]:  # noqa: ASYNC110  # a file tells nobody that it was touched
        await asyncio.sleep(0.001)
    task.cancel()
    long_ago = time.time() - health.STALE_S - 5
    os.utime(beat, (long_ago, long_ago))
    alive, sentence = health.check(beat)
    assert not alive
    assert "seconds ago" in sentence


def test_the_command_answers_with_its_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSICLSTM_DATABASE", str(tmp_path / "history.db"))
    assert main(["health"]) == 1
    (tmp_path / "heartbeat").touch()
    assert main(["health"]) == 0
    assert "connected" in capsys.readouterr().out


async def test_a_heartbeat_that_cannot_be_written_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "BEAT_S", 0.001)
    beat = tmp_path / "later" / "heartbeat"
    task = asyncio.create_task(health.keep_beating(beat, lambda: True))
    await asyncio.sleep(0.02)
    beat.parent.mkdir()
    async with asyncio.timeout(5):
        while not beat.exists():  # noqa: ASYNC110  # a file tells nobody that it was touched
            await asyncio.sleep(0.001)
    task.cancel()
