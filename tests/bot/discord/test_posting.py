"""Where a piece is posted besides its reply (shared, liked, made again), and that all of it goes when it is deleted."""

import discord
import pytest

from bot.discord import persist
from bot.quota import Limits

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]


def piece_id(message: discord.Message) -> str:
    return (message.embeds[0].footer.text or "").split(" ")[0]


@pytest.fixture
async def piece(channel, ada) -> discord.Message:
    await ada.slash(channel, "compose", length=20, seed=11)
    return channel.last_message


@pytest.fixture
def stage(guild):
    return guild.create_text_channel("stage")


@pytest.fixture
def admin(simcord_env, guild):
    role = guild.create_role("Administrators", permissions=discord.Permissions(administrator=True))
    return guild.add_member(simcord_env.create_user("grace"), roles=[role])


async def delete(member, message) -> None:
    question = await member.click(message, label="Delete")
    await member.click(question.response, label="Delete for good")


async def test_what_is_shared_is_for_the_channel_and_not_for_the_one_who_shares(ada, piece, channel, stage) -> None:
    await ada.slash(channel, "share", id=piece_id(piece), channel=stage)

    assert not stage.last_message.content
    assert f"Shared by <@{ada.id}>" in stage.last_message.embeds[0].description


async def test_what_cannot_be_shared_after_all_is_not_said_to_be(simcord_env, ada, piece, channel, stage) -> None:
    simcord_env.inject_error("POST", f"/channels/{stage.id}/messages", status=403, code=50001, times=None)

    result = await ada.slash(channel, "share", id=piece_id(piece), channel=stage)

    assert "Shared" not in result.response.content
    assert "closed to me" in result.response.content
    assert ada.user.dm_channel is None or not ada.user.dm_channel.history()


async def test_a_private_piece_that_its_author_shares_is_everybodys(channel, ada, ben, stage) -> None:
    private = await ada.slash(channel, "compose", length=20, private=True)

    told = await ada.slash(channel, "share", id=piece_id(private.response), channel=stage)

    assert "not private any more" in told.response.content
    await ben.click(stage.last_message, label="Again")
    assert piece_id(private.response) in stage.last_message.embeds[0].description
    listed = await ben.slash(channel, "history", server=True)
    assert f"/{stage.id}/" in listed.response.embeds[0].description


async def test_a_best_of_channel_that_is_gone_troubles_nobody_who_likes_a_piece(
    simcord_env, guild, channel, admin, ada, ben, piece
) -> None:
    best = guild.create_text_channel("best-of")
    await admin.slash(channel, "admin best-of", channel=best, favourites=1)
    simcord_env.inject_error("POST", f"/channels/{best.id}/messages", status=404, code=10003, times=1)

    told = await ben.click(piece, label="Favourite")

    assert told.response.content.startswith("Among your favourites")
    assert not told.followups
    assert ben.user.dm_channel is None or not ben.user.dm_channel.history()
    await ada.click(piece, label="Favourite")  # the next one who likes it brings it up again
    assert len(best.history()) == 1
    assert not best.last_message.content


async def test_every_message_of_a_piece_goes_with_it(channel, admin, ada, ben, piece, stage, guild) -> None:
    best = guild.create_text_channel("best-of")
    await admin.slash(channel, "admin best-of", channel=best, favourites=1)
    await ben.click(piece, label="Favourite")
    await ada.slash(channel, "share", id=piece_id(piece), channel=stage)
    await ben.slash(channel, "show", id=piece_id(piece))
    assert [len(place.history()) for place in (channel, stage, best)] == [2, 1, 1]

    await delete(ada, stage.last_message)

    assert [place.history() for place in (channel, stage, best)] == [[], [], []]


async def test_a_piece_in_a_direct_message_is_deleted_there(channel, ada) -> None:
    await ada.slash(channel, "compose", length=20, dm=True)

    await delete(ada.user, ada.user.dm_channel.last_message)

    assert not ada.user.dm_channel.history()


async def test_deleting_everything_about_oneself_takes_the_messages_away(
    house, monkeypatch, channel, ada, ben, piece, stage
) -> None:
    monkeypatch.setattr("bot.discord.client.DOUBLE_CLICK_S", 1000.0)
    await ada.slash(channel, "share", id=piece_id(piece), channel=stage)
    await ada.slash(channel, "compose", length=20, dm=True)
    await ben.slash(channel, "compose", length=20)
    question = await ada.slash(channel, "privacy delete")

    await ada.click(question.response, label="Delete everything", custom_id=None)

    assert "Deleted: 2 requests" in question.response.content
    assert [message.interaction_metadata.user.id for message in channel.history()] == [ben.id]
    assert not stage.history()
    assert not ada.user.dm_channel.history()
    assert len(list((house.folder / "pieces").glob("*.mid"))) == 1


@pytest.mark.usefixtures("quick_retries")
async def test_messages_that_discord_does_not_delete_now_go_at_the_next_start(
    simcord_env, house, closing, channel, ada, piece
) -> None:
    await ada.slash(channel, "compose", length=20)
    other = channel.last_message
    for message in (piece, other):
        path = f"/channels/*/messages/{message.id}"
        simcord_env.inject_error("DELETE", path, status=500, times=persist.ATTEMPTS)
    await delete(ada, other)
    question = await ada.slash(channel, "privacy delete")
    await ada.click(question.response, label="Delete everything")
    assert {message.id for message in channel.history()} == {piece.id, other.id}

    await simcord_env.bot.close()
    await simcord_env.restart_bot(again := house.client())
    closing(again)

    assert not channel.history()
    assert not await again.studio.library.unwanted()


async def test_the_recipe_names_no_private_piece_of_somebody_else(channel, ada, ben) -> None:
    private = await ada.slash(channel, "compose", length=16, private=True)
    (midi,) = (file for file in private.response.attachments if file.filename.endswith(".mid"))
    await ada.slash(channel, "continue", midi=(midi.filename, await midi.read()), length=16)

    theirs = await ben.click(channel.last_message, label="Recipe")
    own = await ada.click(channel.last_message, label="Recipe")

    assert "Came out of" not in {field.name for field in theirs.response.embeds[0].fields}
    assert "Came out of" in {field.name for field in own.response.embeds[0].fields}


async def test_a_copy_in_a_direct_message_goes_with_the_piece(ada, channel, piece) -> None:
    await ada.slash(channel, "share", id=piece_id(piece))
    assert ada.user.dm_channel.history()

    await delete(ada, piece)

    assert not ada.user.dm_channel.history()


async def test_nothing_of_a_channel_that_few_may_read_is_posted_to_the_best_of_channel(
    guild, channel, admin, ada, ben
) -> None:
    best = guild.create_text_channel("best-of")
    await admin.slash(channel, "admin best-of", channel=best, favourites=2)
    few = {each: discord.PermissionOverwrite(view_channel=True) for each in (ada, ben)}
    everybody = {guild.default_role: discord.PermissionOverwrite(view_channel=False)}
    secret = guild.create_text_channel("staff", overwrites={**everybody, **few})
    await ada.slash(secret, "compose", length=20)
    message = secret.last_message

    for each in (ada, ben):
        told = await each.click(message, label="Favourite")

    assert told.response.content == "Among your favourites now; 2 like it."
    assert not best.history()


async def test_a_server_that_lets_only_its_members_read_has_a_best_of_channel_too(
    simcord_env, guild, channel, admin
) -> None:
    inside = discord.PermissionOverwrite(view_channel=True)
    doors = {
        guild.default_role: discord.PermissionOverwrite(view_channel=False),
        guild.create_role("Members"): inside,
        simcord_env.bot.user: inside,
    }
    best, music = (guild.create_text_channel(name, overwrites=doors) for name in ("best-of", "members-music"))
    await admin.slash(channel, "admin best-of", channel=best, favourites=1)
    await admin.slash(music, "compose", length=20)

    await admin.click(music.last_message, label="Favourite")

    assert len(best.history()) == 1


async def test_somebody_who_is_blocked_makes_the_bot_post_nothing(ada, channel, admin, piece, stage) -> None:
    await admin.slash(channel, "admin block", user=ada)

    told = await ada.slash(channel, "share", id=piece_id(piece), channel=stage)

    assert "blocked you" in told.response.content
    assert not stage.history()


async def test_sharing_a_piece_whose_sound_is_gone_is_charged_to_the_one_who_shares(
    simcord_env, house, monkeypatch, channel, ada, ben, piece, stage
) -> None:
    monkeypatch.setattr(simcord_env.bot.studio._quota, "_limits", Limits(user_waiting=2))
    for sound in (house.folder / "pieces").glob("*.wav"):
        sound.unlink()
    house.engine.gate.clear()
    for _ in range(2):
        await ada.slash(channel, "compose", length=16)

    await ben.slash(channel, "share", id=piece_id(piece), channel=stage)
    house.engine.gate.set()
    await simcord_env.settle()

    assert f"Shared by <@{ben.id}>" in stage.last_message.embeds[0].description


@pytest.mark.parametrize(("in_channel", "in_threads"), [(True, False), (False, True)])
async def test_what_may_be_posted_in_a_thread_is_asked_of_threads(
    simcord_env, guild, channel, ada, piece, in_channel: bool, in_threads: bool
) -> None:
    rights = discord.PermissionOverwrite(send_messages=in_channel, send_messages_in_threads=in_threads)
    parent = guild.create_text_channel("talk", overwrites={ada: rights})
    await simcord_env.settle()
    await simcord_env.bot.get_channel(parent.id).create_thread(name="finds", type=discord.ChannelType.public_thread)
    await simcord_env.settle()
    (thread,) = parent.threads

    told = await ada.slash(channel, "share", id=piece_id(piece), channel=thread)

    assert told.response.content.startswith("Shared in" if in_threads else "You may not post files")


async def test_nothing_of_a_private_thread_is_posted_or_listed_elsewhere(
    simcord_env, guild, channel, admin, ada
) -> None:
    best = guild.create_text_channel("best-of")
    await admin.slash(channel, "admin best-of", channel=best, favourites=1)
    parent = simcord_env.bot.get_channel(channel.id)
    few = await parent.create_thread(name="few", type=discord.ChannelType.private_thread)
    await few.add_user(discord.Object(ada.id))
    await simcord_env.settle()
    (thread,) = channel.threads
    await ada.slash(thread, "compose", length=20)

    await ada.click(thread.last_message, label="Favourite")

    assert not best.history()
    listed = await admin.slash(channel, "history", server=True)
    assert piece_id(thread.last_message) not in str([embed.to_dict() for embed in listed.response.embeds])


async def test_a_star_on_a_copy_in_a_direct_message_counts_for_the_best_of_channel(
    guild, channel, admin, ada, piece
) -> None:
    best = guild.create_text_channel("best-of")
    await admin.slash(channel, "admin best-of", channel=best, favourites=1)
    await ada.slash(channel, "share", id=piece_id(piece))

    await ada.user.click(ada.user.dm_channel.last_message, label="Favourite")

    assert len(best.history()) == 1


async def test_what_only_one_person_may_read_is_not_posted_where_only_another_may(
    guild, simcord_env, channel, admin, ada, ben
) -> None:
    def closed(to: object) -> dict[object, discord.PermissionOverwrite]:
        inside = discord.PermissionOverwrite(view_channel=True)
        outside = {guild.default_role: discord.PermissionOverwrite(view_channel=False)}
        return {**outside, to: inside, simcord_env.bot.user: inside}

    best = guild.create_text_channel("best-of", overwrites=closed(ben))
    staff = guild.create_text_channel("staff", overwrites=closed(ada))
    await admin.slash(channel, "admin best-of", channel=best, favourites=1)
    await ada.slash(staff, "compose", length=20)

    await ada.click(staff.last_message, label="Favourite")

    assert not best.history()
