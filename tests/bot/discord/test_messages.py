"""Asking without a slash: a mention in a channel, plain words in a direct message."""

import discord
import pytest

from bot.history import State
from engine.errors import RenderFailed

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]


async def test_a_mention_composes_and_answers_the_message(simcord_env, house, channel, ada) -> None:
    me = simcord_env.bot.user.mention
    asked = await ada.send(channel, f"{me} compose mood:epic length=30 seed:5")

    answer = channel.last_message
    assert answer.reference is not None
    assert answer.reference.message_id == asked.id
    assert len(answer.attachments) == 3
    assert len([message for message in channel.history() if message.author.bot]) == 1
    record = await house.only_record()
    assert (record.request.mood, record.request.length_notes, record.request.seed) == ("epic", 30, 5)
    assert record.state is State.DELIVERED


async def test_plain_words_compose_in_a_direct_message(ada) -> None:
    await ada.send_dm("compose hopeful length:20")

    assert len(ada.user.dm_channel.last_message.attachments) == 3


async def test_a_request_may_have_lines(simcord_env, house, channel, ada) -> None:
    await ada.send(channel, f"{simcord_env.bot.user.mention}\ncompose\nmood:epic\nlength:20")

    record = await house.only_record()
    assert (record.request.mood, record.request.length_notes) == ("epic", 20)


async def test_a_mistake_is_answered_with_what_is_allowed(simcord_env, house, channel, ada) -> None:
    await ada.send(channel, f"{simcord_env.bot.user.mention} compose mood:drak")

    assert "did you mean dark?" in channel.last_message.content
    assert house.engine.made == 0


async def test_a_failure_is_told_in_the_answer(simcord_env, house, channel, ada) -> None:
    house.engine.fails.append(RenderFailed("The sound of this piece came out silent."))

    await ada.send(channel, f"{simcord_env.bot.user.mention} compose")

    assert "silent" in channel.last_message.content
    assert not channel.last_message.attachments


@pytest.mark.parametrize("text", ["compose mood:dark", "hello there", "{name} compose", "look at what {me} did"])
async def test_messages_that_are_not_written_to_the_bot_are_left_alone(
    simcord_env, house, channel, ada, text: str
) -> None:
    await ada.send(channel, text.format(name="MusicLSTM", me=simcord_env.bot.user.mention))

    assert channel.last_message.author.id == ada.id
    assert house.engine.made == 0


async def test_a_bot_is_never_answered(simcord_env, guild, channel) -> None:
    other = guild.add_member(simcord_env.create_user("other", bot=True))

    await other.send(channel, f"{simcord_env.bot.user.mention} compose")

    assert channel.last_message.author.id == other.id


async def test_a_mention_alone_is_answered_with_help(simcord_env, channel, ada) -> None:
    await ada.send(channel, simcord_env.bot.user.mention)

    assert "/compose" in channel.last_message.embeds[0].description


async def test_without_the_permission_to_attach_the_answer_says_so(simcord_env, house, guild, ada) -> None:
    deny = discord.PermissionOverwrite(attach_files=False)
    silent = guild.create_text_channel("silent", overwrites={simcord_env.bot.user: deny})

    await ada.send(silent, f"{simcord_env.bot.user.mention} compose")

    assert "Attach Files" in silent.last_message.content
    assert house.engine.made == 0
