"""The OGG of a piece goes wherever its WAV goes."""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import soundfile

from engine.render.tags import Tags
from engine.render.vorbis import encode_ogg
from engine.types import ComposeRequest, Composition
from tests.bot import small_engine
from tests.bot.conftest import ADA, House
from tests.bot.small_engine import small_piece


@pytest.fixture(autouse=True)
def encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small engine gives an OGG too, as the real one does."""

    def with_ogg(request: ComposeRequest, checkpoint_id: str, folder: Path) -> Composition:
        composition = small_piece(request, checkpoint_id, folder)
        return dataclasses.replace(composition, ogg=ogg_of(composition.wav))

    monkeypatch.setattr(small_engine, "small_piece", with_ogg)


def ogg_of(wav: Path) -> bytes:
    sound, rate_hz = soundfile.read(wav, dtype="float32")
    with ThreadPoolExecutor(2) as pool:
        return encode_ogg(lambda start, stop: sound[start:stop], len(sound), rate_hz, Tags("", ()), 0.5, pool)


async def test_it_is_kept_beside_the_wav_and_deleted_with_it(house: House) -> None:
    piece = await house.studio.compose(ComposeRequest(), ADA)
    assert piece.ogg.read_bytes() == ogg_of(piece.wav)
    assert house.files() == {f"{piece.record.id}.{suffix}" for suffix in ("mid", "wav", "ogg", "png")}
    await house.studio.delete(piece.record.id, ADA)
    assert house.files() == set()


async def test_a_piece_that_is_made_again_has_it_again(house: House) -> None:
    piece = await house.studio.compose(ComposeRequest(), ADA)
    before = piece.ogg.read_bytes()
    for path in (piece.wav, piece.ogg):
        path.unlink()
    again = await house.studio.piece(piece.record.id)
    assert again.ogg.read_bytes() == before


async def test_it_is_handed_over_with_the_others(house: House, tmp_path: Path) -> None:
    piece = await house.studio.compose(ComposeRequest(), ADA)
    ours = await house.studio.hand_over(piece, tmp_path / "out", "dark")
    assert ours.ogg == tmp_path / "out" / "dark.ogg"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"dark.mid", "dark.wav", "dark.ogg", "dark.png"}


async def test_it_counts_as_sound_and_goes_when_the_sounds_take_too_much(house: House) -> None:
    piece = await house.studio.compose(ComposeRequest(), ADA)
    await house.studio.mark_delivered(piece.record.id)
    for path in (piece.wav, piece.ogg):
        os.utime(path, (1, 1))
    both = piece.wav.stat().st_size + piece.ogg.stat().st_size
    assert (await house.studio.tidy(keep_for=None, budget_bytes=both)).files == 0
    assert (await house.studio.tidy(keep_for=None, budget_bytes=0)).files == 2
    assert house.files() == {f"{piece.record.id}.mid", f"{piece.record.id}.png"}
