"""Blind listening tests in Discord: unnamed pieces, votes that can be changed, a result, and restarts in between."""

import io
from pathlib import Path

import discord
import pytest
import soundfile

from bot.history import State
from engine.errors import RenderFailed
from engine.render.tags import read_tags
from engine.types import Engine
from tests.bot.discord.conftest import SmallEngine
from tests.bot.discord.test_owner import ModelHouse

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]


class BlindHouse(ModelHouse):
    """Whose engines can be held back and made to fail by the name of their checkpoint."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.held: set[str] = set()
        self.fails: dict[str, Exception] = {}

    async def load(self, folder: Path) -> Engine:
        engine = await super().load(folder)
        assert isinstance(engine, SmallEngine)
        if self.env is not None:
            engine.env = self.env
        if folder.name in self.held:
            engine.gate.clear()
        if folder.name in self.fails:
            engine.fails.append(self.fails[folder.name])
        return engine


@pytest.fixture
def house(tmp_path: Path) -> BlindHouse:
    return BlindHouse(tmp_path)


async def restarted(simcord_env, house: BlindHouse, closing) -> None:
    await simcord_env.bot.close()
    await simcord_env.restart_bot(new := house.client())
    closing(new)


async def test_two_unnamed_pieces_come_in_one_message(house, channel, ada) -> None:
    await ada.slash(channel, "blind", request="mood:epic length:20", model="mine")

    (message,) = channel.history()
    assert [file.filename for file in message.attachments] == ["A.ogg", "B.ogg"]
    for file in message.attachments:
        data = await file.read()
        assert read_tags(data).recipe == ()
        assert soundfile.info(io.BytesIO(data)).duration == pytest.approx(1.0, abs=0.01)
    shown = str(message.embeds[0].to_dict()) + str(message.components)
    assert "`mood:epic length:20 temp:0.9`" in shown
    assert not any(word in shown for word in ("v1", "mine", "seed"))
    records = await house.records()
    assert {record.result.checkpoint_id for record in records} == {"v1", "mine"}
    assert all(record.state is State.DELIVERED and record.private for record in records)


async def test_everybody_has_one_vote_that_can_be_changed(channel, ada, ben) -> None:
    await ada.slash(channel, "blind", request="length:16")
    (message,) = channel.history()

    told = await ben.click(message, label="A is better")
    assert told.followups[0].ephemeral
    assert "Your vote is for A" in told.followups[0].content
    await ben.click(message, label="B is better")
    await ada.click(message, label="B is better")

    (message,) = channel.history()
    assert message.embeds[0].footer.text == "2 votes"
    assert len(message.attachments) == 2


async def test_the_result_is_for_the_asker_to_show_and_feeds_the_statistics(channel, ada, ben) -> None:
    await ada.slash(channel, "blind", request="length:16", model="mine")
    (message,) = channel.history()
    await ben.click(message, label="A is better")
    assert not (await ada.slash(channel, "stats")).response.embeds[0].fields

    refused = await ben.click(message, label="Show the result")
    assert refused.response.ephemeral
    assert "Whoever asked for this test" in refused.response.content
    await ada.click(message, label="Show the result")

    message = next(each for each in channel.history() if each.id == message.id)
    assert not message.components
    fields = {field.name: field.value for field in message.embeds[0].fields}
    assert "1 votes" in fields["A"]
    assert {name for name in ("v1", "mine") if name in fields["A"] + fields["B"]} == {"v1", "mine"}
    (field,) = (await ben.slash(channel, "stats")).response.embeds[0].fields
    assert field.name == "Blind tests"
    assert "`mine`" in field.value


async def test_a_moderator_may_show_the_result(simcord_env, guild, channel, ada) -> None:
    role = guild.create_role("Moderators", permissions=discord.Permissions(manage_messages=True))
    moderator = guild.add_member(simcord_env.create_user("mo"), roles=[role])
    await ada.slash(channel, "blind", request="length:16")

    await moderator.click(channel.last_message, label="Show the result")

    assert channel.last_message.embeds[0].fields


async def test_the_pieces_are_hidden_until_the_result_is_shown(channel, ada, ben) -> None:
    await ada.slash(channel, "blind", request="length:16")
    assert "/compose" in (await ben.slash(channel, "history", server=True)).response.embeds[0].description

    await ada.click(channel.last_message, label="Show the result")

    listed = (await ben.slash(channel, "history", server=True)).response.embeds[0].description
    assert len(listed.splitlines()) == 2


async def test_votes_go_on_after_a_restart(simcord_env, house, closing, channel, ada, ben) -> None:
    await ada.slash(channel, "blind", request="length:16")
    (message,) = channel.history()
    await ben.click(message, label="A is better")

    await restarted(simcord_env, house, closing)
    await ada.click(message, label="B is better")

    (message,) = channel.history()
    assert message.embeds[0].footer.text == "2 votes"


async def test_a_test_in_the_making_survives_a_kill_in_the_same_message(
    simcord_env, house, closing, channel, ada
) -> None:
    house.held.add("mine")
    await ada.slash(channel, "blind", request="length:20", model="mine")
    await simcord_env.advance_time(4)
    (notice,) = channel.history()
    assert "Writing note 10 of 20" in notice.content
    killed = simcord_env.bot
    house.held.clear()
    new = house.client_after_kill()

    await simcord_env.restart_bot(new)
    closing(new)

    (message,) = channel.history()
    assert message.id == notice.id
    assert [file.filename for file in message.attachments] == ["A.ogg", "B.ogg"]
    records = await house.records()
    assert sorted(record.result.checkpoint_id for record in records) == ["mine", "v1"]
    assert {record.state for record in records} == {State.DELIVERED}
    await killed.close()


async def test_a_piece_that_fails_ends_the_test_with_a_sentence(house, channel, ada) -> None:
    house.fails["mine"] = RenderFailed("The sound of this piece came out silent.")

    result = await ada.slash(channel, "blind", request="length:16", model="mine")

    assert "silent" in result.followups[-1].content
    assert result.followups[-1].ephemeral
    assert not channel.history()
    assert [record.state for record in await house.records()] == [State.FAILED]


async def test_models_to_compare_with_are_offered_and_the_current_one_is_refused(channel, ada) -> None:
    assert [each["value"] for each in await ada.autocomplete(channel, "blind", "model", "")] == ["mine-mmmmmmmm"]
    refused = await ada.slash(channel, "blind", model="v1")
    assert "is the one in use" in refused.followups[-1].content


async def test_a_mistake_in_the_request_is_told_before_any_work(channel, ada) -> None:
    refused = await ada.slash(channel, "blind", request="mood:drak")
    assert refused.response.ephemeral
    assert "did you mean dark?" in refused.response.content
