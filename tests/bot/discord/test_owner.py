"""What the owner of the bot decides: which model composes, and training a new one."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import discord
import pytest

from bot.discord.admin import NOTHING
from bot.discord.permissions import owners
from bot.history import History
from bot.models import Models
from bot.studio import Studio
from bot.swap import SwappableEngine
from bot.training import Training
from data.midi import write_midi
from data.score import Note, Part, Score
from engine.types import Engine
from tests.bot.discord.conftest import House, SmallEngine
from tests.bot.test_training import TRAINER

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]


class ModelHouse(House):
    """With two checkpoints, and a trainer that is quick."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.checkpoints = self.folder / "checkpoints"
        for name, nats in (("v1", 4.5), ("mine", 4.2)):
            (self.checkpoints / name).mkdir(parents=True)
            says = {"name": name, "weights_sha256": name[0] * 64, "date": "2026-01-02", "corpus": {"hash": "abc"}}
            says["metrics"] = {"valid_nats_per_note": nats, "baselines": {"5-gram": 5.0}}
            (self.checkpoints / name / "model.json").write_text(json.dumps(says))
        (self.folder / "corpus").mkdir()
        (self.folder / "trainer.py").write_text(TRAINER)

    async def load(self, folder: Path) -> Engine:
        engine = SmallEngine(self.folder / "engine")
        engine.checkpoint_id = folder.name
        return engine

    @asynccontextmanager
    async def open_studio(self) -> AsyncIterator[Studio]:
        async with History(self.database) as history:
            default = self.checkpoints / "v1"
            engine = SwappableEngine(await self.load(default))
            folders = [self.checkpoints]
            models = Models(history, engine, self.load, folders=folders, default=default, current=default)
            training = Training(
                history,
                folder=self.folder / "training",
                checkpoints_dir=self.checkpoints,
                corpus=self.folder / "corpus",
                pieces_dir=self.folder / "pieces",
                python=(sys.executable, str(self.folder / "trainer.py")),
            )
            studio = Studio(
                engine,
                history,
                pieces_dir=self.folder / "pieces",
                limits=self.limits,
                models=models,
                training=training,
            )
            try:
                yield studio
            finally:
                await studio.aclose()


@pytest.fixture
def house(tmp_path: Path) -> ModelHouse:
    return ModelHouse(tmp_path)


@pytest.fixture
def grace(simcord_env, guild):
    """Administrates the server and owns the bot."""
    role = guild.create_role("Administrators", permissions=discord.Permissions(administrator=True))
    user = simcord_env.create_user("grace")
    simcord_env.bot.application.owner = SimpleNamespace(id=user.id)
    return guild.add_member(user, roles=[role])


async def test_the_owner_lists_promotes_and_rolls_back_models(channel, grace) -> None:
    listed = (await grace.slash(channel, "admin model list")).response.embeds[0].description
    assert "▶️ `v1-vvvvvvvv`" in listed
    assert "4.200 nats a note" in listed
    assert "other music" not in listed

    assert [each["value"] for each in await grace.autocomplete(channel, "admin model promote", "id", "mi")] == [
        "mine-mmmmmmmm"
    ]
    await grace.slash(channel, "admin model promote", id="mine")
    await grace.slash(channel, "compose", length=16)
    assert "mine" in {field.value.strip("`") for field in channel.last_message.embeds[0].fields}

    await grace.slash(channel, "admin model rollback")
    await grace.slash(channel, "compose", length=16)
    assert "v1" in {field.value.strip("`") for field in channel.last_message.embeds[0].fields}


async def test_health_says_what_writes_the_notes(channel, grace, monkeypatch) -> None:
    async def written_by() -> str:
        embed = (await grace.slash(channel, "admin health")).response.embeds[0]
        return next(field.value for field in embed.fields if field.name == "notes written by")

    assert await written_by() == NOTHING  # this engine does not say
    monkeypatch.setattr(SmallEngine, "written_by", "NVIDIA H200 (float16)", raising=False)
    assert await written_by() == "NVIDIA H200 (float16)"


async def test_a_loss_on_another_corpus_is_said_to_be_one(house, channel, grace) -> None:
    sidecar = house.checkpoints / "mine" / "model.json"
    sidecar.write_text(sidecar.read_text().replace('"abc"', '"def"'))

    listed = (await grace.slash(channel, "admin model list")).response.embeds[0].description.splitlines()

    assert [("on other music" in line) for line in listed] == [("mine" in line) for line in listed]
    assert len(listed) == 2


async def test_the_owner_trains_and_sees_how_it_goes(simcord_env, house, channel, grace) -> None:
    (house.folder / "wait").touch()
    started = await grace.slash(channel, "admin retrain", preset="v1", epochs=2)
    assert "running" in started.response.embeds[0].title

    (house.folder / "wait").unlink()
    training = simcord_env.bot.studio.training
    for _ in range(400):
        run = await training.latest()
        if run.state == "finished":
            break

        await asyncio.sleep(0.05)
    await grace.click(started.response, label="Refresh")

    embed = started.response.embeds[0]
    assert "finished" in embed.title
    shown = {field.name: field.value for field in embed.fields}["Beside the current model"].splitlines()
    assert shown[0] == "loss on unseen music: **3.500** · `v1-vvvvvvvv` 4.500"
    assert shown[1] == "measures inside the human band: **1/2** · `v1-vvvvvvvv` 2/2"
    assert shown[2] == "notes copied, 95th percentile: **5.0%** · human music 12.0%"
    assert shown[3] == "✅ held out"
    assert embed.footer.text.startswith("/admin model promote")


async def finished(simcord_env) -> None:
    training = simcord_env.bot.studio.training
    async with asyncio.timeout(20):
        while (await training.latest()).state == "running":  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)


async def test_the_message_of_a_training_follows_it_by_itself(simcord_env, house, channel, grace) -> None:
    (house.folder / "wait").touch()
    await grace.slash(channel, "admin retrain", preset="v1", epochs=2)
    (message,) = channel.history()
    assert "running" in message.embeds[0].title
    before = len(simcord_env.http_requests)
    for _ in range(10):
        await asyncio.sleep(0.05)
        await simcord_env.advance_time(3)
    assert len(simcord_env.http_requests) - before <= 2  # only what has changed is shown

    (house.folder / "wait").unlink()
    await finished(simcord_env)
    await simcord_env.advance_time(3)

    (message,) = channel.history()
    assert "finished" in message.embeds[0].title
    assert not message.components
    before = len(simcord_env.http_requests)
    await simcord_env.advance_time(60)
    assert len(simcord_env.http_requests) == before


async def test_it_follows_on_through_the_channel_after_a_restart_and_after_15_minutes(
    simcord_env, house, closing, channel, grace
) -> None:
    (house.folder / "wait").touch()
    await grace.slash(channel, "admin retrain", preset="v1", epochs=2)
    await simcord_env.advance_time(16 * 60)
    (house.folder / "wait").unlink()
    await finished(simcord_env)
    await simcord_env.bot.close()
    await simcord_env.restart_bot(new := house.client())
    closing(new)
    await simcord_env.advance_time(3)

    (message,) = channel.history()
    assert "finished" in message.embeds[0].title
    assert simcord_env.http_requests[-1].path == f"/channels/{channel.id}/messages/{message.id}"


async def test_after_a_restart_it_is_followed_in_the_language_of_the_server(simcord_env, house, closing, grace) -> None:
    guild = simcord_env.create_guild("Raumstation", preferred_locale="de")
    channel = guild.create_text_channel("musik")
    role = guild.create_role("Leitung", permissions=discord.Permissions(administrator=True))
    owner = guild.add_member(grace.user, roles=[role])
    (house.folder / "wait").touch()
    await owner.slash(channel, "admin retrain", preset="v1", epochs=2)
    await simcord_env.bot.close()
    await simcord_env.restart_bot(new := house.client())
    closing(new)
    (house.folder / "wait").unlink()
    await finished(simcord_env)
    await simcord_env.advance_time(3)

    assert "fertig" in channel.last_message.embeds[0].title


async def test_uploaded_music_is_learnt_from_under_its_licence(simcord_env, house, channel, grace) -> None:
    content = write_midi(Score(tuple(Note(6 * i, Part.PAD, 60, 6, 80) for i in range(40)), 60.0), title="Mine")

    await grace.slash(
        channel,
        "admin retrain",
        epochs=2,
        midi=("mine.mid", content),
        licence="CC0-1.0",
        credit="--Grace",
    )
    await finished(simcord_env)

    add, train, _ = (house.folder / "calls").read_text().splitlines()
    (run,) = (house.folder / "training").iterdir()
    assert f"data add {run / 'uploads'} --licence CC0-1.0 --credit=--Grace" in add
    assert f"--corpus {run / 'corpus'}" in train
    assert (house.folder / "given.mid").read_bytes() == content
    assert not (run / "uploads").exists()


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        (b"MThd", {"licence": "CC0-1.0", "credit": "Grace"}, "truncated"),
        (b"no music", {"licence": "CC0-1.0", "credit": "Grace"}, "not a MIDI file"),
        (b"MThd", {"credit": "Grace"}, "No licence, no import"),
        (b"MThd", {"licence": "CC0-1.0"}, "No credit, no import"),
    ],
)
async def test_music_that_cannot_be_learnt_from_is_refused_before_anything_is_started(
    house, channel, grace, content: bytes, options: dict[str, str], told: str
) -> None:
    result = await grace.slash(channel, "admin retrain", midi=("x.mid", content), **options)

    assert result.followups[-1].ephemeral
    assert told in result.followups[-1].content
    assert not channel.history()
    assert not (house.folder / "training").exists()


async def test_a_training_can_be_stopped_with_its_button(house, channel, grace) -> None:
    (house.folder / "wait").touch()
    started = await grace.slash(channel, "admin retrain", epochs=2)

    await grace.click(started.response, label="Cancel")

    assert "cancelled" in started.response.embeds[0].title


async def test_an_administrator_who_does_not_own_the_bot_is_refused(simcord_env, house, channel, grace) -> None:
    simcord_env.bot.application.owner = SimpleNamespace(id=1)

    for command, options in (
        ("admin model list", {}),
        ("admin model promote", {"id": "mine"}),
        ("admin model rollback", {}),
        ("admin retrain", {}),
        ("admin training", {}),
    ):
        result = await grace.slash(channel, command, **options)
        assert result.ephemeral, command
        assert "owner of this bot" in result.response.content, command
    assert not (house.folder / "training").exists()


async def test_the_buttons_of_a_training_are_for_the_owner_alone(house, channel, grace, ben) -> None:
    (house.folder / "wait").touch()
    started = await grace.slash(channel, "admin retrain", epochs=2)

    for label in ("Refresh", "Cancel"):
        result = await ben.click(started.response, label=label)
        assert result.ephemeral
        assert "owner of this bot" in result.response.content

    assert "running" in started.response.embeds[0].title
    (house.folder / "wait").unlink()


async def test_models_are_suggested_to_the_owner_alone(simcord_env, channel, grace) -> None:
    simcord_env.bot.application.owner = SimpleNamespace(id=1)
    assert await grace.autocomplete(channel, "admin model promote", "id", "") == []


def test_a_team_owns_together() -> None:
    members = [SimpleNamespace(id=5), SimpleNamespace(id=6)]
    owner = SimpleNamespace(id=9)
    assert owners(SimpleNamespace(application=SimpleNamespace(team=SimpleNamespace(members=members), owner=owner))) == {
        5,
        6,
    }
    assert owners(SimpleNamespace(application=SimpleNamespace(team=None, owner=owner))) == {9}
    assert owners(SimpleNamespace(application=None)) == set()


async def test_what_was_done_to_the_whole_bot_is_in_the_audit_for_its_owner_alone(
    simcord_env, guild, channel, grace
) -> None:
    await grace.slash(channel, "admin model promote", id="mine")
    role = guild.create_role("Deputies", permissions=discord.Permissions(administrator=True))
    deputy = guild.add_member(simcord_env.create_user("dora"), roles=[role])

    assert "mine-mmmmmmmm" in (await grace.slash(channel, "admin audit")).response.embeds[0].description
    assert "mine" not in (await deputy.slash(channel, "admin audit")).response.embeds[0].description


async def test_a_promotion_that_will_not_outlive_the_settings_says_so(simcord_env, channel, grace) -> None:
    simcord_env.bot.studio.models.pinned = True

    told = await grace.slash(channel, "admin model promote", id="mine")

    assert told.response.content.endswith("After a restart it is the one of `MUSICLSTM_CHECKPOINT` again.")
