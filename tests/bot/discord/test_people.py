"""What people keep and decide: presets, favourites, privacy; and what administrators decide for their server."""

import json

import discord
import pytest

from bot.discord import limits
from bot.history import History
from bot.quota import Limits
from engine.titles import title
from tests.bot.discord.test_limits import overflows

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]


@pytest.fixture
def admin(simcord_env, guild):
    role = guild.create_role("Administrators", permissions=discord.Permissions(administrator=True))
    return guild.add_member(simcord_env.create_user("grace"), roles=[role])


async def newest_request(house):
    return (await house.records())[0].request


async def test_a_preset_says_what_a_request_leaves_out(house, channel, ada) -> None:
    await ada.slash(channel, "preset save", name="Night", request="mood:ambient length:44 tempo:50")

    await ada.slash(channel, "compose", preset="night", length=20)

    request = await newest_request(house)
    assert (request.mood, request.length_notes, request.tempo_bpm) == ("ambient", 20, 50)


async def test_presets_are_listed_used_and_deleted_by_their_owner(house, channel, ada, ben) -> None:
    await ada.slash(channel, "preset save", name="night", request="mood:epic length:44")

    assert "mood:epic" in (await ada.slash(channel, "preset list")).response.embeds[0].description
    assert "mood:epic" not in (await ben.slash(channel, "preset list")).response.embeds[0].description
    assert [each["value"] for each in await ada.autocomplete(channel, "compose", "preset", "ni")] == ["night"]
    await ada.slash(channel, "preset use", name="night")
    assert (await newest_request(house)).length_notes == 44
    await ada.slash(channel, "preset delete", name="night")
    result = await ada.slash(channel, "preset use", name="night")
    assert result.ephemeral
    assert "no preset" in result.response.content


async def test_favourites_and_the_servers_best(channel, ada, ben) -> None:
    await ada.slash(channel, "compose", mood="dark")
    await ben.click(channel.last_message, label="Favourite")

    mine = await ben.slash(channel, "favourites")
    best = await ada.slash(channel, "top")

    assert "dark" in mine.response.embeds[0].description
    assert best.response.embeds[0].description.startswith("⭐ 1")


async def test_what_was_made_in_a_channel_is_listed_to_those_who_may_read_it(guild, channel, admin, ada, ben) -> None:
    unseen = discord.PermissionOverwrite(view_channel=False)
    secret = guild.create_text_channel("secret", overwrites={guild.default_role: unseen})
    await admin.slash(secret, "compose", length=16, seed=1)
    await admin.click(secret.last_message, label="Favourite")
    await ada.slash(channel, "compose", length=16, seed=2)
    await ada.click(channel.last_message, label="Favourite")

    async def listed(who, where, command, **options) -> int:
        return len((await who.slash(where, command, **options)).response.embeds[0].description.splitlines())

    assert await listed(ben, channel, "history", server=True) == 1
    assert await listed(admin, channel, "history", server=True) == 2
    assert await listed(admin, channel, "top") == 1  # everybody reads it
    assert await listed(admin, secret, "top") == 2


async def test_history_has_pages(house, channel, ada) -> None:
    house.engine.seconds = 0.1
    for seed in range(12):
        await ada.slash(channel, "compose", length=16, seed=seed)

    first = await ada.slash(channel, "history")
    assert len(first.response.embeds[0].description.splitlines()) == 10
    last_of_page = (await house.records())[9]
    async with History(house.database) as history:
        await history.delete(last_of_page.id)
    await ada.click(first.response, label="Older")

    assert len(first.response.embeds[0].description.splitlines()) == 2


async def test_where_nothing_is_starred_it_is_said_how_to(channel, ada) -> None:
    await ada.slash(channel, "compose", length=16)
    for command in ("favourites", "top"):
        assert "press ⭐ Favourite" in (await ada.slash(channel, command)).response.embeds[0].description


async def test_favourites_have_pages(house, channel, ada) -> None:
    house.engine.seconds = 0.1
    for seed in range(12):
        await ada.slash(channel, "compose", length=16, seed=seed)
        await ada.click(channel.last_message, label="Favourite")

    first = await ada.slash(channel, "favourites")
    shown = first.response.embeds[0].description.splitlines()
    await ada.click(first.response, label="Older")
    shown += first.response.embeds[0].description.splitlines()

    assert len(set(shown)) == 12
    assert not first.response.components


async def test_cancelling_in_the_queue_shows_what_is_left(house, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=40)
    await ada.slash(channel, "compose", length=30)
    listed = await ada.slash(channel, "queue")
    labels = [button["label"] for row in listed.response.components for button in row["components"]]

    await ada.click(listed.response, label=labels[0])
    assert labels[0].removeprefix("Cancel ") not in listed.response.content
    assert labels[1].removeprefix("Cancel ") in listed.response.content

    await ada.click(listed.response, label=labels[1])
    assert "Nothing of yours" in listed.response.content
    assert not listed.response.components


async def test_queue_shows_and_cancels_ones_own_pieces(house, channel, ada, ben) -> None:
    house.engine.gate.clear()
    asked = await ada.slash(channel, "compose", length=40)

    mine = await ada.slash(channel, "queue")
    assert "Writing note 20 of 40" in mine.response.content
    assert title(await newest_request(house)) in mine.response.content
    assert "Nothing" in (await ben.slash(channel, "queue")).response.content
    (row,) = mine.response.components
    await ada.click(mine.response, custom_id=row["components"][0]["custom_id"])

    assert "ancelled" in asked.followups[0].content


async def test_privacy_shows_exports_and_deletes(house, channel, ada, ben) -> None:
    await ada.slash(channel, "compose")
    await ben.slash(channel, "compose")

    shown = await ada.slash(channel, "privacy show")
    assert {field.name: field.value for field in shown.response.embeds[0].fields}["requests"] == "1"
    exported = await ada.slash(channel, "privacy export")
    assert exported.ephemeral
    everything = json.loads(await exported.response.attachments[0].read())
    assert len(everything["requests"]) == 1

    question = await ada.slash(channel, "privacy delete")
    await ada.click(question.response, label="Delete everything")

    assert [record.requester.user_id for record in await house.records()] == [str(ben.id)]


async def test_a_very_long_export_comes_in_several_files(monkeypatch, channel, ada) -> None:
    for _ in range(5):
        await ada.slash(channel, "compose", length=16, private=True)
    whole = await ada.slash(channel, "privacy export")
    everything = json.loads(await whole.response.attachments[0].read())
    monkeypatch.setattr(limits, "FILE_BYTES_DEFAULT", 4000)

    several = await ada.slash(channel, "privacy export")

    messages = [several.response, *several.followups]
    files = [file for message in {each.id: each for each in messages}.values() for file in message.attachments]
    contents = [await file.read() for file in files]
    assert len(contents) > 1
    assert all(len(content) <= 4000 for content in contents)
    assert all(message.flags.ephemeral for message in messages)
    found = [request for content in contents for request in json.loads(content)["requests"]]
    assert found == everything["requests"]
    assert json.loads(contents[0])["person"] == everything["person"]


async def test_a_second_click_deletes_nothing_a_second_time(monkeypatch, channel, ada) -> None:
    monkeypatch.setattr("bot.discord.client.DOUBLE_CLICK_S", 1000.0)
    await ada.slash(channel, "compose")
    question = await ada.slash(channel, "privacy delete")
    (row,) = question.response.components
    again = await ada.slash(channel, "privacy delete")

    await ada.click(question.response, custom_id=row["components"][0]["custom_id"])
    second = await ada.click(again.response, custom_id=row["components"][0]["custom_id"])

    assert second.acknowledged
    assert "Deleted: 1 requests" in question.response.content
    assert "Deleted" not in again.response.content


async def test_training_on_favourites_is_off_until_allowed(channel, ada) -> None:
    async def allowed() -> str:
        shown = await ada.slash(channel, "privacy show")
        return {field.name: field.value for field in shown.response.embeds[0].fields}["training on my favourites"]

    assert await allowed() == "not allowed"
    await ada.slash(channel, "privacy training", allowed=True)
    assert await allowed() == "allowed"


async def test_server_defaults_limits_and_blocks_hold(house, channel, admin, ada) -> None:
    await admin.slash(channel, "admin defaults", request="mood:tense length:32")
    await ada.slash(channel, "compose")
    assert (await newest_request(house)).mood == "tense"

    await admin.slash(channel, "admin limits", pieces=1)
    refused = await ada.slash(channel, "compose")
    assert "limit" in refused.followups[0].content
    assert "<t:" in refused.followups[0].content

    told = await admin.slash(channel, "admin limits")
    assert told.response.content.endswith("the program's own limit is 60 pieces an hour.")
    told = await admin.slash(channel, "admin defaults")
    assert "Nothing is set here any more" in told.response.content
    await admin.slash(channel, "admin block", user=ada)
    assert "blocked" in (await ada.slash(channel, "compose")).followups[0].content
    made = next(record for record in await house.records() if record.result is not None)
    assert "blocked" in (await ada.slash(channel, "show", id=made.id)).followups[0].content
    health = await admin.slash(channel, "admin health")
    assert {field.name: field.value for field in health.response.embeds[0].fields}["blocked here"] == f"<@{ada.id}>"
    await admin.slash(channel, "admin unblock", user=ada)
    assert (await ada.slash(channel, "compose")).response.attachments

    audit = await admin.slash(channel, "admin audit")
    assert len(audit.response.embeds[0].description.splitlines()) == 6


async def test_an_admin_command_by_somebody_else_is_refused_by_the_bot_itself(simcord_env, guild, channel, ada) -> None:
    (command,) = [each for each in await simcord_env.bot.tree.fetch_commands() if each.name == "admin"]
    guild.set_command_permissions(command, {ada: True})

    for command, options in (
        ("admin defaults", {"request": "mood:epic"}),
        ("admin limits", {"pieces": 0}),
        ("admin block", {"user": ada}),
        ("admin unblock", {"user": ada}),
        ("admin best-of", {"channel": channel}),
        ("admin announce", {"channel": channel, "text": "hello"}),
        ("admin audit", {}),
        ("admin health", {}),
    ):
        result = await ada.slash(channel, command, **options)
        assert result.ephemeral, command
        assert "administrators" in result.response.content, command
    assert channel.last_message is None


async def test_what_enough_people_like_is_posted_once_to_the_best_of_channel(
    simcord_env, guild, channel, admin, ada, ben
) -> None:
    best = guild.create_text_channel("best-of")
    await admin.slash(channel, "admin best-of", channel=best, favourites=2)
    await ada.slash(channel, "compose")
    message = channel.last_message

    await ada.click(message, label="Favourite")
    assert best.last_message is None
    await ben.click(message, label="Favourite")
    assert len(best.last_message.attachments) == 3
    await simcord_env.advance_time(5)
    await admin.click(message, label="Favourite")
    assert len(best.history()) == 1


async def test_an_administrator_is_told_where_the_bot_may_not_post(simcord_env, guild, channel, admin) -> None:
    silent = discord.PermissionOverwrite(send_messages=False)
    there = guild.create_text_channel("silent", overwrites={simcord_env.bot.user: silent})

    for command, options in (("admin best-of", {}), ("admin announce", {"text": "Tonight"})):
        told = await admin.slash(channel, command, channel=there, **options)
        assert told.response.content.startswith("I may not post files in")

    assert (await simcord_env.bot.studio.servers.settings(str(guild.id))).best_of_channel_id is None


async def test_an_announcement_pings_nobody(channel, admin) -> None:
    await admin.slash(channel, "admin announce", channel=channel, text="@everyone New model!")

    assert channel.last_message.embeds[0].description == "@everyone New model!"
    assert not channel.last_message.mention_everyone


async def test_health_is_shown_to_administrators(channel, admin) -> None:
    result = await admin.slash(channel, "admin health")

    assert "pieces waiting" in {field.name for field in result.response.embeds[0].fields}


async def test_a_preset_may_come_as_a_direct_message(channel, ada) -> None:
    await ada.slash(channel, "preset save", name="night", request="mood:ambient length:20")

    await ada.slash(channel, "preset use", name="night", dm=True)

    assert channel.last_message is None
    assert len(ada.user.dm_channel.history()[-1].attachments) == 3


async def test_a_limit_says_when_to_come_back(simcord_env, house, closing, channel, ada) -> None:
    await simcord_env.bot.close()
    house.limits = Limits(user_per_hour=1)
    house.new_engine()
    await simcord_env.restart_bot(new := house.client())
    closing(new)
    await ada.slash(channel, "compose")

    refused = await ada.slash(channel, "compose")

    assert refused.followups[0].ephemeral
    assert "<t:" in refused.followups[0].content
    assert house.engine.made == 1


async def test_a_long_queue_is_shown_as_far_as_it_fits(simcord_env, house, closing, channel, ada) -> None:
    await simcord_env.bot.close()
    house.limits = Limits(slots=40, user_waiting=40)
    house.new_engine()
    await simcord_env.restart_bot(new := house.client())
    closing(new)
    house.engine.gate.clear()
    for _ in range(10):
        await ada.slash(channel, "compose", length=16, variations=4)

    shown = await ada.slash(channel, "queue")

    assert shown.response.content.endswith("…")
    assert len(shown.response.components) == limits.ROWS_MAX
    assert overflows(simcord_env.http_requests[-1].json["data"]) == []
