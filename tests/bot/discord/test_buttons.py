"""The buttons and menus of a piece: what they do, for whom, and that they work for ever."""

from typing import Any

import discord
import pytest

from bot.discord import limits
from bot.discord.buttons import piece_view
from bot.history import Record, Relation, State
from engine.types import LENGTH_NOTES_MAX

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]


def piece_id(message: discord.Message) -> str:
    return (message.embeds[0].footer.text or "").split(" ")[0]


async def newest(house) -> Record:
    return (await house.records())[0]


@pytest.fixture
async def piece(channel, ada) -> discord.Message:
    await ada.slash(channel, "compose", mood="dark", length=40, seed=11)
    return channel.last_message


async def test_again_is_the_same_wish_with_another_seed(house, channel, ben, piece) -> None:
    await ben.click(piece, label="Again")

    record = await newest(house)
    assert record.requester.user_id == str(ben.id)
    assert (record.request.mood, record.request.length_notes) == ("dark", 40)
    assert record.request.seed != 11
    assert record.origin is not None
    assert (record.origin.parent_id, record.origin.relation) == (piece_id(piece), Relation.AGAIN)
    assert channel.last_message.id != piece.id
    assert piece_id(piece) in channel.last_message.embeds[0].description
    assert record.state is State.DELIVERED


async def test_longer_has_twice_the_notes(house, ada, piece) -> None:
    await ada.click(piece, label="Longer")

    record = await newest(house)
    assert (record.request.length_notes, record.request.seed) == (80, 11)


async def test_what_is_as_long_as_can_be_cannot_be_longer(house, channel, ada) -> None:
    await ada.slash(channel, "compose", length=LENGTH_NOTES_MAX)

    result = await ada.click(channel.last_message, label="Longer")

    assert result.ephemeral
    assert str(LENGTH_NOTES_MAX) in result.response.content
    assert house.engine.made == 1


async def test_another_mood_is_chosen_from_a_menu(house, ada, piece) -> None:
    menu = await ada.click(piece, label="Mood…")
    assert menu.ephemeral

    await ada.select(menu.response, ["epic"])

    record = await newest(house)
    assert (record.request.mood, record.request.seed) == ("epic", 11)


async def test_favourite_is_a_switch(simcord_env, ada, ben, piece) -> None:
    first = await ada.click(piece, label="Favourite")
    await simcord_env.advance_time(2)
    second = await ben.click(piece, label="Favourite")
    third = await ada.click(piece, label="Favourite")

    assert "1 like" in first.response.content
    assert "2 like" in second.response.content
    assert third.response.content.startswith("No longer")


async def test_a_double_click_counts_once(house, monkeypatch, ada, piece) -> None:
    monkeypatch.setattr("bot.discord.client.DOUBLE_CLICK_S", 1000.0)

    await ada.click(piece, label="Again")
    second = await ada.click(piece, label="Again")

    assert second.acknowledged
    assert house.engine.made == 2


async def test_recipe_has_what_it_takes_to_make_it_again(ada, piece) -> None:
    result = await ada.click(piece, label="Recipe")

    assert result.ephemeral
    assert "seed:11" in str(result.response.embeds[0].to_dict())


async def test_a_piece_says_how_original_it_is_and_its_recipe_what_it_is_closest_to(ada, piece) -> None:
    own = "96 % of its phrases are its own; the longest that is in the training music too has 9 notes."
    assert {field.name: field.value for field in piece.embeds[0].fields}["originality"] == own
    recipe = (await ada.click(piece, label="Recipe")).response.embeds[0]
    assert {field.name: field.value for field in recipe.fields}["originality"].splitlines() == [
        own,
        r"Closest to \*Lament\* (somebody).",
        "Of pieces by people, 95 in 100 have at least 93 %.",
    ]


async def test_ratings_come_in_through_a_form(simcord_env, ada, piece) -> None:
    form = await ada.click(piece, label="Rate…")
    answers = {"coherence": ["4"], "repetition": ["3"], "atmosphere": ["5"], "fit": ["2"]}

    result = await ada.submit_modal(form, answers)

    assert result.ephemeral
    (stats,) = await simcord_env.bot.studio.ratings.stats()
    assert {scale: mean.value for scale, mean in stats.means.items()} == {
        "coherence": 4,
        "repetition": 3,
        "atmosphere": 5,
        "fit": 2,
    }


async def test_share_posts_the_piece_where_both_may(guild, ada, piece) -> None:
    other = guild.create_text_channel("stage")
    menu = await ada.click(piece, label="Share…")

    await ada.select(menu.response, [other])

    shared = other.last_message
    assert len(shared.attachments) == 3
    assert f"<@{ada.id}>" in shared.embeds[0].description


@pytest.mark.parametrize(
    ("who", "what"),
    [
        ("bot", "send_messages"),
        ("bot", "attach_files"),
        ("bot", "embed_links"),
        ("ada", "send_messages"),
        ("ada", "attach_files"),
    ],
)
async def test_share_is_refused_where_one_of_them_may_not(simcord_env, guild, ada, piece, who: str, what: str) -> None:
    deny = discord.PermissionOverwrite(**{what: False})
    target = simcord_env.bot.user if who == "bot" else ada
    other = guild.create_text_channel("stage", overwrites={target: deny})
    menu = await ada.click(piece, label="Share…")

    result = await ada.select(menu.response, [other])

    assert result.ephemeral
    assert other.mention in result.response.content
    assert other.last_message is None


async def test_its_author_deletes_a_piece_with_its_message(house, channel, ada, piece) -> None:
    question = await ada.click(piece, label="Delete")
    assert channel.last_message.id == piece.id

    await ada.click(question.response, label="Delete for good")

    assert channel.last_message is None
    assert await house.records() == []
    assert list((house.folder / "pieces").iterdir()) == []


async def test_a_stranger_cannot_delete_it(channel, ben, piece) -> None:
    result = await ben.click(piece, label="Delete")

    assert result.ephemeral
    assert "Only the one who asked" in result.response.content
    assert channel.last_message.id == piece.id


async def test_a_moderator_can_delete_it(simcord_env, guild, channel, piece) -> None:
    role = guild.create_role("Moderators", permissions=discord.Permissions(manage_messages=True))
    moderator = guild.add_member(simcord_env.create_user("mod"), roles=[role])

    question = await moderator.click(piece, label="Delete")
    await moderator.click(question.response, label="Delete for good")

    assert channel.last_message is None


async def test_buttons_of_a_deleted_piece_say_so(simcord_env, ben, piece) -> None:
    await simcord_env.bot.studio.history.delete(piece_id(piece))

    result = await ben.click(piece, label="Again")

    assert result.ephemeral
    assert "no piece" in result.response.content


async def test_buttons_work_after_a_restart(simcord_env, house, closing, ada, piece) -> None:
    await simcord_env.bot.close()
    house.new_engine()
    await simcord_env.restart_bot(new := house.client())
    closing(new)

    await ada.click(piece, label="Again")

    assert (await newest(house)).state is State.DELIVERED


async def test_a_form_that_was_open_over_a_restart_still_counts(simcord_env, house, closing, ada, piece) -> None:
    form = await ada.click(piece, label="Rate…")
    await simcord_env.bot.close()
    house.new_engine()
    await simcord_env.restart_bot(new := house.client())
    closing(new)

    await ada.submit_modal(form, {scale: ["5"] for scale in ("coherence", "repetition", "atmosphere", "fit")})

    assert len(await new.studio.ratings.stats()) == 1


async def test_cancel_stops_a_piece_and_tells_its_asker(simcord_env, house, channel, ada) -> None:
    house.engine.gate.clear()
    asked = await ada.slash(channel, "compose")
    await simcord_env.advance_time(3)

    await ada.click(channel.last_message, label="Cancel")

    assert channel.last_message is None
    assert "ancelled" in asked.followups[0].content
    assert (await newest(house)).state is State.CANCELLED


async def test_a_stranger_cannot_cancel(simcord_env, house, channel, ada, ben) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    await simcord_env.advance_time(3)

    result = await ben.click(channel.last_message, label="Cancel")

    assert result.ephemeral
    assert (await newest(house)).state is State.RUNNING


async def test_a_stranger_who_makes_the_last_button_up_deletes_nothing(simcord_env, guild, channel, ben, piece) -> None:
    result = await forged(simcord_env, guild, channel, ben, f"piece:erase:{piece_id(piece)}")

    assert "Only the one who asked" in result.content
    assert channel.last_message.id == piece.id


async def test_a_stranger_who_makes_the_button_up_that_forgets_somebody_forgets_nobody(
    simcord_env, house, guild, channel, ada, ben, piece
) -> None:
    result = await forged(simcord_env, guild, channel, ben, f"forget:{ada.id}")

    assert "somebody else to decide" in result.content
    assert len(await house.records()) == 1
    assert channel.last_message.id == piece.id


@pytest.mark.parametrize("action", ["delete", "erase", "cancel"])
async def test_a_moderator_of_another_server_is_a_stranger(simcord_env, house, channel, ada, action: str) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    other = simcord_env.create_guild("Elsewhere")
    place = other.create_text_channel("here")
    role = other.create_role("Moderators", permissions=discord.Permissions(manage_messages=True))
    moderator = other.add_member(simcord_env.create_user("mo"), roles=[role])

    result = await forged(simcord_env, other, place, moderator, f"piece:{action}:{(await newest(house)).id}")

    assert "or a moderator, can" in result.content
    assert (await newest(house)).state is State.RUNNING


async def forged(simcord_env, guild, channel, member, custom_id: str) -> Any:
    """Press a button that no message of the bot has, under the last message of a channel or a new one."""
    ui_view = discord.ui.View(timeout=None)
    ui_view.add_item(discord.ui.Button(label="Forged", custom_id=custom_id))
    message = await simcord_env.bot.get_partial_messageable(channel.id, guild_id=guild.id).send("here", view=ui_view)
    result = await member.click(message, label="Forged")
    simcord_env.backend.delete_message(channel.id, message.id)
    return result.response


async def test_what_is_finished_cannot_be_cancelled_and_says_so(simcord_env, house, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    await simcord_env.advance_time(3)
    listed = await ada.slash(channel, "queue")
    house.engine.gate.set()
    await simcord_env.settle()

    result = await ada.click(listed.response, label=f"Cancel {(await newest(house)).id}")

    assert result.ephemeral
    assert "is delivered already" in result.response.content
    assert (await newest(house)).state is State.DELIVERED


async def test_the_cancel_button_is_acknowledged_before_the_work_stops(
    simcord_env, house, monkeypatch, channel, ada
) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    await simcord_env.advance_time(3)
    stop = simcord_env.bot.studio.cancel
    acknowledged = []

    async def slowly(*arguments: Any, **options: Any) -> Record:
        acknowledged.append(simcord_env.http_requests[-1].json)
        return await stop(*arguments, **options)

    monkeypatch.setattr(simcord_env.bot.studio, "cancel", slowly)
    await ada.click(channel.last_message, label="Cancel")

    assert acknowledged == [{"type": 6}]


@pytest.mark.usefixtures("piece")
async def test_views_are_within_discords_limits(house) -> None:
    record = await newest(house)
    for locale in (None, *discord.Locale):
        view = piece_view(record, locale)
        assert len(view.to_components()) <= limits.ROWS_MAX
        for row in view.to_components():
            assert len(row["components"]) <= limits.BUTTONS_PER_ROW_MAX
            for button in row["components"]:
                assert len(button["custom_id"]) <= limits.CUSTOM_ID_CHARACTERS_MAX
                assert len(button["label"]) <= limits.BUTTON_LABEL_CHARACTERS_MAX
