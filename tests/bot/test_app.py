"""Putting the parts together: what follows from the settings and the machine."""

from pathlib import Path
from typing import Any

import pytest

from bot.app import open_studio
from bot.settings import load_settings
from engine.errors import SetupProblem
from tests.bot.small_engine import SmallEngine


@pytest.mark.parametrize(
    ("cores", "said", "renderers", "pieces"),
    [
        (1, {}, 1, 3),
        (2, {}, 1, 3),
        (7, {}, 3, 5),
        (64, {}, 8, 10),
        (64, {"RENDER_WORKERS": "2"}, 2, 4),
        (2, {"RENDER_WORKERS": "0", "SLOTS": "1"}, 0, 1),
        (8, {"SLOTS": "20"}, 4, 20),
    ],
)
async def test_there_are_as_many_renderers_as_the_machine_has_room_for(
    cores: int,
    said: dict[str, str],
    renderers: int,
    pieces: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: dict[str, Any] = {}

    def open_engine(**options: Any) -> None:
        told.update(options)
        raise SetupProblem("That is enough.")

    monkeypatch.setattr("engine.local.open_engine", open_engine)
    monkeypatch.setattr("loky.cpu_count", lambda: cores)
    for name, value in {"DATABASE": tmp_path / "history.db", "PIECES_DIR": tmp_path / "pieces", **said}.items():
        monkeypatch.setenv(f"MUSICLSTM_{name}", str(value))
    with pytest.raises(SetupProblem, match="enough"):
        async with open_studio(load_settings(env_file=None)):
            pass
    assert told["render_workers"] == renderers
    assert told["queue_limit"] == pieces


async def test_a_checkpoint_that_the_settings_name_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.local.open_engine", lambda **_: SmallEngine(tmp_path / "engine"))
    for name in ("DATABASE", "PIECES_DIR"):
        monkeypatch.setenv(f"MUSICLSTM_{name}", str(tmp_path / name.lower()))
    for checkpoint in ("", "engine/checkpoints/v1"):
        monkeypatch.setenv("MUSICLSTM_CHECKPOINT", checkpoint)
        async with open_studio(load_settings(env_file=None)) as studio:
            assert studio.models is not None
            assert studio.models.pinned == bool(checkpoint)
