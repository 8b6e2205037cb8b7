"""/show with a file: which piece it is, or which recipe it carries, and a button that makes it again.

A piece of another bot is in no history of ours, and its recipe is too long for a button when it has an opening. So the
reply carries it as a small file, from which the button reads it: that works after any restart, and nothing is kept.
"""

from __future__ import annotations

import io
from typing import Any

import discord
from discord import ui

from bot.continuing import Wish
from bot.discord import attachments, embeds
from bot.discord.asking import Interaction, compose_wish, requester_of
from bot.discord.buttons import PieceButton
from bot.discord.errors import answering
from bot.discord.items import FromCustomId, view_of
from bot.discord.persist import persist
from bot.discord.texts import say
from bot.recipes import RECIPE_BYTES_MAX, read
from data.errors import InvalidMidi

RECIPE_FILE = "recipe.json"


async def show_file(interaction: Interaction, file: discord.Attachment) -> None:
    """Say to the one who asks which piece a file is.

    Raises:
        InvalidMidi: it is no file of ours, or too large.
        discord.HTTPException: Discord does not give it.
    """
    await interaction.response.defer(thinking=True, ephemeral=True)
    content = await attachments.read_own_file(file, interaction.locale)
    studio, locale = interaction.client.studio, interaction.locale
    recognised = await studio.recognise(content, requester_of(interaction))
    record = recognised.record
    if record is not None:
        embed = embeds.recipe_embed(record, await studio.library.lineage(record, requester_of(interaction)), locale)
        name = f"`{record.id}`"
        embed.description = (
            say(locale, "By the recipe that it carries, this file is piece {id}.", id=name)
            if recognised.recipe
            else say(locale, "This file is piece {id}.", id=name)
        )
        view = view_of(PieceButton("remake", record.id, locale))
        await interaction.followup.send(embed=embed, view=view, ephemeral=True)
        return
    recipe = discord.File(io.BytesIO(recognised.recipe.encode()), RECIPE_FILE)
    embed = embeds.recognised_embed(recognised, locale)
    await interaction.followup.send(embed=embed, view=view_of(RecipeButton(locale)), file=recipe, ephemeral=True)


class RecipeButton(FromCustomId, ui.DynamicItem[ui.Button[Any]], template="make-recipe"):
    """Composes what the recipe in its own message says."""

    def __init__(self, locale: discord.Locale | None) -> None:
        super().__init__(ui.Button(label=say(locale, "Make it again"), emoji="♻️", custom_id="make-recipe"))

    async def callback(self, interaction: discord.Interaction[Any]) -> Any:
        """Do it, or tell the one who pressed why not."""
        async with answering(interaction, "a recipe"):
            if await interaction.client.first_press(interaction):
                await compose_wish(interaction, lambda: _wish(interaction), doing="composing a recipe")


async def _wish(interaction: Interaction) -> Wish:
    """What to compose, judged anew: a message can come from anywhere that can reach this bot."""
    files = [] if interaction.message is None else interaction.message.attachments
    for file in files:
        if file.filename == RECIPE_FILE and file.size <= RECIPE_BYTES_MAX:
            request, _ = read(((await persist(file.read)).decode("utf-8", "replace"),))
            return Wish(request)
    raise InvalidMidi(say(interaction.locale, "The recipe is not in this message any more: send the file again."))
