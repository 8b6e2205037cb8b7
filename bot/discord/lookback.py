"""Commands that look back: history, one piece again, favourites, a server's best, what is in the making."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import discord
from discord import app_commands, ui

from bot.discord import actions, embeds, limits, recognising
from bot.discord.asking import Interaction, requester_of
from bot.discord.errors import answering
from bot.discord.items import FromCustomId, view_of
from bot.discord.permissions import readable_channels
from bot.discord.placing import AnyTextChannel, everywhere
from bot.discord.texts import say, whole_lines
from bot.errors import NotAllowed
from bot.grammar import build_request
from bot.history import Record
from data.clock import clock
from data.moods import MOODS
from engine.errors import InvalidRequest
from engine.titles import title

PAGE = 10  # requests: a page fits a phone's screen without scrolling far
_MOOD_CHOICES = [app_commands.Choice(name=mood, value=mood) for mood in MOODS]


@everywhere
@app_commands.command(name="history", description="The newest pieces, yours or the whole server's")
@app_commands.describe(server="Everybody's in this server", mood="Of this mood only")
@app_commands.choices(mood=_MOOD_CHOICES)
async def history(interaction: Interaction, server: bool = False, mood: str | None = None) -> None:
    """/history: the first page."""
    async with answering(interaction, "/history"):
        whole_server = server and interaction.guild_id is not None
        embed, view = await _page(interaction, whole_server=whole_server, mood=mood)
        await interaction.response.send_message(embed=embed, view=view, ephemeral=True)


async def _page(
    interaction: Interaction, *, whole_server: bool, mood: str | None, before: int | None = None
) -> tuple[discord.Embed, ui.View]:
    records = await interaction.client.studio.recent(
        requester_of(interaction),
        channels=readable_channels(interaction) if whole_server else None,
        mood=None if mood is None else build_request({"mood": mood}).mood,
        before=before,
        limit=PAGE + 1,
    )
    heading = say(interaction.locale, "The newest pieces here" if whole_server else "Your newest pieces")
    view = view_of()
    if len(records) > PAGE:
        whose = "server" if whole_server else "mine"
        view.add_item(OlderButton(whose, mood or "", records[PAGE - 1].number, interaction.locale))
    return embeds.history_embed(records[:PAGE], heading, interaction.locale, names=whole_server), view


class OlderButton(
    FromCustomId,
    ui.DynamicItem[ui.Button[Any]],
    template=r"older:(?P<whose>mine|server):(?P<mood>[a-z]*):(?P<before>\d{1,19})",
):
    """Turns to the next page of history."""

    def __init__(self, whose: str, mood: str, before: int | str, locale: discord.Locale) -> None:
        super().__init__(ui.Button(label=say(locale, "Older"), emoji="◀️", custom_id=f"older:{whose}:{mood}:{before}"))
        self._before, self._whole_server, self._mood = int(before), whose == "server", mood or None

    async def callback(self, interaction: discord.Interaction[Any]) -> Any:
        """Show the next page in the place of this one."""
        async with answering(interaction, "older pieces"):
            embed, view = await _page(
                interaction, whole_server=self._whole_server, mood=self._mood, before=self._before
            )
            await interaction.response.edit_message(embed=embed, view=view)


@everywhere
@app_commands.command(
    name="show", description="Make a piece again from its id or from a file of it, and prove that it is the same"
)
@app_commands.rename(piece_id="id")
@app_commands.describe(piece_id="The eight characters below a piece", file="A MIDI, WAV, FLAC or OGG file of a piece")
async def show(interaction: Interaction, piece_id: str | None = None, file: discord.Attachment | None = None) -> None:
    """/show: the piece again, with the proof; of a file, which piece it is, with a button that makes it again."""
    async with answering(interaction, "/show"):
        if piece_id is not None and file is None:
            await actions.remake(interaction, piece_id)
        elif file is not None and piece_id is None:
            await recognising.show_file(interaction, file)
        else:
            raise InvalidRequest(
                "id", say(interaction.locale, "Give the id of a piece or a file of it, one of the two.")
            )


@everywhere
@app_commands.command(name="share", description="Post a piece in another channel, or send it to yourself")
@app_commands.rename(piece_id="id")
@app_commands.describe(piece_id="The eight characters below a piece", channel="Left out, your direct messages")
async def share(interaction: Interaction, piece_id: str, channel: AnyTextChannel | None = None) -> None:
    """/share: as the button."""
    async with answering(interaction, "/share"):
        if channel is None:
            await actions.send_to_asker(interaction, piece_id)
        else:
            await actions.share(interaction, piece_id, channel)


@show.autocomplete("piece_id")
@share.autocomplete("piece_id")
async def known_pieces(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    """Complete an id from one's own pieces and favourites."""
    viewer = requester_of(interaction)
    studio = interaction.client.studio
    records = [*await studio.recent(viewer, limit=50), *await studio.library.favourites(viewer, limit=50)]
    wanted = typed.strip().casefold()
    named = {record.id: _choice_name(record, interaction) for record in records if record.result is not None}
    found = [app_commands.Choice(name=name, value=key) for key, name in named.items() if wanted in name.casefold()]
    return found[: limits.OPTION_CHOICES_MAX]


def _choice_name(record: Record, interaction: Interaction) -> str:
    duration = "" if record.result is None else f", {clock(record.result.duration_s)}"
    name = f"{record.id} · {title(record.request)} · {say(interaction.locale, record.request.mood)}{duration}"
    return name[: limits.CHOICE_NAME_CHARACTERS_MAX]


@everywhere
@app_commands.command(name="favourites", description="The pieces that you starred")
async def favourites(interaction: Interaction) -> None:
    """/favourites."""
    async with answering(interaction, "/favourites"):
        embed, view = await _favourites(interaction, 0)
        await interaction.response.send_message(embed=embed, view=view, ephemeral=True)


async def _favourites(interaction: Interaction, offset: int) -> tuple[discord.Embed, ui.View]:
    library = interaction.client.studio.library
    records = await library.favourites(requester_of(interaction), offset=offset, limit=PAGE + 1)
    view = view_of()
    if len(records) > PAGE:
        view.add_item(OlderFavouritesButton(str(offset + PAGE), interaction.locale))
    heading = say(interaction.locale, "Your favourites")
    return embeds.history_embed(records[:PAGE], heading, interaction.locale, empty=embeds.NOTHING_STARRED), view


class OlderFavouritesButton(
    FromCustomId, ui.DynamicItem[ui.Button[Any]], template=r"older-favourites:(?P<offset>\d{1,9})"
):
    """Turns to the next page of favourites."""

    def __init__(self, offset: str, locale: discord.Locale) -> None:
        super().__init__(ui.Button(label=say(locale, "Older"), emoji="◀️", custom_id=f"older-favourites:{offset}"))
        self._offset = int(offset)

    async def callback(self, interaction: discord.Interaction[Any]) -> Any:
        """Show the next page in the place of this one."""
        async with answering(interaction, "older favourites"):
            embed, view = await _favourites(interaction, self._offset)
            await interaction.response.edit_message(embed=embed, view=view)


@app_commands.command(name="top", description="What this server likes best")
@app_commands.guild_only()
@app_commands.describe(days="Only pieces of the last so many days")
async def top(interaction: Interaction, days: app_commands.Range[int, 1, 3650] | None = None) -> None:
    """/top: the pieces of this server that most people starred."""
    async with answering(interaction, "/top"):
        if interaction.guild_id is None:
            raise NotAllowed(say(interaction.locale, "That works in a server only."))
        since = None if days is None else discord.utils.utcnow() - timedelta(days=days)
        # Everybody here reads the answer.
        ranked = await interaction.client.studio.library.top(
            str(interaction.guild_id), readable_channels(interaction, by_everybody=True), since=since, limit=PAGE
        )
        heading = say(interaction.locale, "What this server likes best")
        likes = [each.favourites for each in ranked]
        embed = embeds.history_embed(
            [each.record for each in ranked],
            heading,
            interaction.locale,
            empty=embeds.NOTHING_STARRED,
            names=True,
            likes=likes,
        )
        await interaction.response.send_message(embed=embed)


@everywhere
@app_commands.command(name="queue", description="Your pieces that wait or are being made")
async def queue(interaction: Interaction) -> None:
    """/queue: how far one's own pieces are, with a button to cancel each."""
    async with answering(interaction, "/queue"):
        text, view = _queue(interaction)
        await interaction.response.send_message(text, view=view, ephemeral=True)


def _queue(interaction: Interaction) -> tuple[str, ui.View]:
    """What of one's own waits or is being made now, with a button for each."""
    updates = interaction.client.studio.queue(requester_of(interaction))
    shown = updates[: limits.ROWS_MAX * limits.BUTTONS_PER_ROW_MAX]
    view = view_of(*(QueueButton(update.record.id, interaction.locale) for update in shown))
    lines = [
        f"`{each.record.id}` {title(each.record.request)}\n{embeds.progress_text(each, interaction.locale)}"
        for each in updates
    ]
    text = whole_lines(lines, limits.CONTENT_CHARACTERS_MAX)
    return text or say(interaction.locale, "Nothing of yours is in the making."), view


class QueueButton(FromCustomId, ui.DynamicItem[ui.Button[Any]], template=r"drop:(?P<id>[a-z0-9]{1,32})"):
    """Cancels one of the pieces in the list, and shows what is left."""

    def __init__(self, piece_id: str, locale: discord.Locale) -> None:
        label = f"{say(locale, 'Cancel')} {piece_id}"
        super().__init__(ui.Button(label=label, emoji="✖️", custom_id=f"drop:{piece_id}"))
        self._piece_id = piece_id

    async def callback(self, interaction: discord.Interaction[Any]) -> Any:
        """Do it, or say that it is too late."""
        async with answering(interaction, f"cancel of {self._piece_id}"):
            if not await interaction.client.first_press(interaction):
                return
            await actions.cancel(interaction, self._piece_id)
            text, view = _queue(interaction)
            await interaction.edit_original_response(content=text, view=view)


COMMANDS: tuple[app_commands.Command[Any, ..., None], ...] = (history, show, share, favourites, top, queue)
DYNAMIC_ITEMS = (OlderButton, OlderFavouritesButton, QueueButton)
