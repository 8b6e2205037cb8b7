"""Beside a large sound comes an OGG that every player takes, within what one request may carry."""

import dataclasses
import io
from types import SimpleNamespace

import pytest
import soundfile

from bot.discord import limits
from bot.discord.attachments import sound_bytes_max
from engine.types import ComposeRequest, Composition, ProgressCallback
from tests.bot.discord.test_compose_command import arriving_as, attached
from tests.bot.test_light_copies import ogg_of

pytestmark = [pytest.mark.simcord(settle_timeout=60.0), pytest.mark.usefixtures("closing")]

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def encoding(house, monkeypatch: pytest.MonkeyPatch) -> None:
    make = house.engine.compose

    async def with_ogg(request: ComposeRequest, progress: ProgressCallback | None = None) -> Composition:
        composition = await make(request, progress)
        return dataclasses.replace(composition, ogg=ogg_of(composition.wav))

    monkeypatch.setattr(house.engine, "compose", with_ogg)


@pytest.mark.parametrize(
    ("limit", "kinds"),
    [
        (25 * MIB, {".wav", ".ogg"}),
        (5 * MIB, {".wav", ".ogg"}),  # at 32 kHz
        (2_200_000, {".flac", ".ogg"}),
        (300_000, {".ogg"}),  # the copy is what is posted, once
        (5_000, set()),
    ],
)
async def test_a_large_sound_brings_its_light_copy(house, monkeypatch, channel, ada, limit, kinds) -> None:
    house.engine.seconds = 30.0  # 5.3 MB as WAV
    arriving_as(monkeypatch, lambda payload: payload.update(attachment_size_limit=limit))

    await ada.slash(channel, "compose", length=16)

    files = await attached(channel.last_message)
    assert files.keys() - {".mid", ".png"} == kinds
    assert len(channel.last_message.attachments) == 2 + len(kinds)
    assert all(len(content) <= limit for suffix, content in files.items() if suffix in kinds)
    assert sum(map(len, files.values())) < limits.REQUEST_BYTES_MAX
    for suffix in kinds:
        assert soundfile.info(io.BytesIO(files[suffix])).duration == pytest.approx(30.0, abs=0.1)


async def test_a_small_wav_comes_alone(house, channel, ada) -> None:
    house.engine.seconds = 10.0
    await ada.slash(channel, "compose", length=16)
    assert (await attached(channel.last_message)).keys() == {".mid", ".wav", ".png"}


async def test_together_they_fit_into_one_request(house, monkeypatch, channel, ada) -> None:
    """A WAV of 24.9 MiB is under the limit for a file, but not beside its OGG under that for a request."""
    house.engine.seconds = 148.0
    arriving_as(monkeypatch, lambda payload: payload.update(attachment_size_limit=25 * MIB))
    await ada.slash(channel, "compose", length=16)
    files = await attached(channel.last_message)
    assert files.keys() == {".mid", ".wav", ".ogg", ".png"}
    assert soundfile.info(io.BytesIO(files[".wav"])).samplerate == 32_000
    assert sum(map(len, files.values())) < limits.REQUEST_BYTES_MAX


@pytest.mark.parametrize(
    ("sizes", "limit", "allowed"),
    [
        ({"ogg": 1_000_000, "wav": 90_000_000}, 10 * MIB, 10 * MIB),
        (
            {"ogg": 16_800_000, "wav": 360_000_000},
            10 * MIB,
            10 * MIB,
        ),  # 34 minutes: an OGG, and no copy of it
        ({"ogg": 2_000_000, "wav": 40_000_000}, 25 * MIB, 25 * MIB - 2_000_000),
        ({"ogg": 20_000_000, "wav": 400_000_000}, 25 * MIB, 25 * MIB),
    ],
)
def test_a_sound_has_all_the_room_that_no_copy_takes(tmp_path, sizes, limit, allowed) -> None:
    paths = {kind: tmp_path / f"piece.{kind}" for kind in ("midi", "wav", "png", "ogg")}
    for kind, path in paths.items():
        with path.open("wb") as file:
            file.truncate(sizes.get(kind, 1000))
    assert sound_bytes_max(SimpleNamespace(**paths), limit) == pytest.approx(allowed, abs=70_000)
