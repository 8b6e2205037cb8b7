"""/privacy: what is kept about somebody and why, all of it as a file, and deleting it."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import discord
from discord import app_commands, ui

from bot.discord import limits
from bot.discord.actions import take_away
from bot.discord.asking import Interaction, requester_of
from bot.discord.embeds import COLOUR
from bot.discord.errors import answering
from bot.discord.items import FromCustomId, view_of
from bot.discord.persist import persist
from bot.discord.placing import EVERYWHERE_CONTEXTS, EVERYWHERE_INSTALLS
from bot.discord.texts import say
from bot.errors import NotAllowed

GROUP: app_commands.Group = app_commands.Group(
    name="privacy",
    description="What I keep about you",
    allowed_installs=EVERYWHERE_INSTALLS,
    allowed_contexts=EVERYWHERE_CONTEXTS,
)

WHY = (
    "For each request I keep who asked, where and when, what for, and what became of it, so that a piece can be found, "
    "made again and delivered after a restart; of a MIDI file that you had continued, its notes. I read no messages "
    "but those that mention me, are written to me or are handed to me in a menu. Favourites, presets, ratings and "
    "votes are kept because you asked for it."
)

KEPT = ("requests", "favourites", "presets", "ratings", "votes", "since", "training on my favourites")
CONSENT = (
    "Training is off until you allow it. Pieces of yours that you starred may then be learnt from, under CC0 and "
    "credited to “listeners” without your name."
)
ALLOWED = (
    "Allowed: pieces of yours that you starred may be used for training, under CC0 and credited to “listeners” without "
    "your name. Take it back whenever you like; it then holds for every training from now on."
)
SENTENCES = (WHY, CONSENT, ALLOWED, *KEPT)


@GROUP.command(name="show", description="What I keep about you, and why")
async def show(interaction: Interaction) -> None:
    """/privacy show."""
    async with answering(interaction, "/privacy show"):
        kept = await interaction.client.studio.privacy.kept(requester_of(interaction))
        locale = interaction.locale
        embed = discord.Embed(
            title=say(locale, "What I keep about you"),
            description=f"{say(locale, WHY)}\n\n{say(locale, CONSENT)}",
            colour=COLOUR,
        )
        since = "`-`" if kept.since is None else discord.utils.format_dt(kept.since, "D")
        consent = say(locale, "allowed" if kept.training_consent else "not allowed")
        counts = (kept.requests, kept.favourites, kept.presets, kept.ratings, kept.votes, since, consent)
        for name, value in zip(KEPT, counts, strict=True):
            embed.add_field(name=say(locale, name), value=str(value))
        embed.set_footer(
            text=say(locale, "/privacy export gives you all of it; /privacy delete takes it away for good")
        )
        await interaction.response.send_message(embed=embed, ephemeral=True)


@GROUP.command(name="export", description="Everything that I keep about you, as a file")
async def export(interaction: Interaction) -> None:
    """/privacy export."""
    async with answering(interaction, "/privacy export"):
        await interaction.response.defer(thinking=True, ephemeral=True)
        everything = await interaction.client.studio.privacy.export(requester_of(interaction))
        # Discord takes no larger file: of very many requests there are several, each in a message of its own.
        files = await asyncio.to_thread(parts, everything, limits.FILE_BYTES_DEFAULT)
        told = say(interaction.locale, "This is everything that I keep about you.")
        for number, data in enumerate(files, 1):
            name = "musiclstm-export.json" if len(files) == 1 else f"musiclstm-export-{number}.json"
            await persist(
                lambda data=data, name=name: interaction.followup.send(  # type: ignore[misc]
                    told, file=discord.File(io.BytesIO(data), name), ephemeral=True
                )
            )


def parts(everything: dict[str, Any], bytes_max: int) -> list[bytes]:
    """An export as JSON files of at most so many bytes; each is whole JSON and has some of the requests. Blocks."""
    data = json.dumps(everything, indent=1, ensure_ascii=False).encode()
    requests = everything["requests"]
    if len(data) <= bytes_max or len(requests) < 2:
        return [data]
    first, second = requests[: len(requests) // 2], requests[len(requests) // 2 :]
    return [*parts({**everything, "requests": first}, bytes_max), *parts({"requests": second}, bytes_max)]


@GROUP.command(name="delete", description="Delete everything that I keep about you, your pieces too")
async def delete(interaction: Interaction) -> None:
    """/privacy delete: asks first."""
    async with answering(interaction, "/privacy delete"):
        kept = await interaction.client.studio.privacy.kept(requester_of(interaction))
        view = view_of(ForgetButton(str(interaction.user.id), interaction.locale))
        text = say(
            interaction.locale,
            "Delete your {n} requests, their files and messages, and all the rest for good?",
            n=kept.requests,
        )
        await interaction.response.send_message(text, view=view, ephemeral=True)


@GROUP.command(name="training", description="Whether your favourites among your own pieces may be trained on")
@app_commands.describe(allowed="Off until you allow it")
async def training(interaction: Interaction, allowed: bool) -> None:
    """/privacy training."""
    async with answering(interaction, "/privacy training"):
        await interaction.client.studio.privacy.set_training_consent(requester_of(interaction), given=allowed)
        text = say(interaction.locale, ALLOWED if allowed else "Not allowed.")
        await interaction.response.send_message(text, ephemeral=True)


class ForgetButton(FromCustomId, ui.DynamicItem[ui.Button[Any]], template=r"forget:(?P<user>\d{1,20})"):
    """Deletes everything about the one who presses it, if it was made for them."""

    def __init__(self, user_id: str, locale: discord.Locale) -> None:
        super().__init__(
            ui.Button(
                label=say(locale, "Delete everything"),
                emoji="🗑️",
                style=discord.ButtonStyle.danger,
                custom_id=f"forget:{user_id}",
            )
        )
        self._user_id = user_id

    async def callback(self, interaction: discord.Interaction[Any]) -> Any:
        """Delete it all."""
        async with answering(interaction, "forgetting"):
            if str(interaction.user.id) != self._user_id:
                raise NotAllowed(say(interaction.locale, "That is for somebody else to decide."))
            if not await interaction.client.first_press(interaction):
                return
            client, person = interaction.client, requester_of(interaction)
            await interaction.response.edit_message(content="⏳", view=None)
            library = client.studio.library
            messages = await library.messages_of(person)
            await library.want_gone(messages)
            pieces = await client.studio.forget(person)
            client.spawn(take_away(client, library, messages))  # a second each, by Discord's limits
            text = say(
                interaction.locale,
                "Deleted: {n} requests and all the rest. What stays is how many you made this hour, until it is over, "
                "and that an administrator blocked you, if one did.",
                n=pieces,
            )
            await interaction.edit_original_response(content=text)
