"""/preset: wishes that people keep under a name."""

from __future__ import annotations

import discord
from discord import app_commands

from bot.discord import limits
from bot.discord.asking import Interaction, compose_values, requester_of
from bot.discord.embeds import COLOUR
from bot.discord.errors import answering
from bot.discord.placing import EVERYWHERE_CONTEXTS, EVERYWHERE_INSTALLS
from bot.discord.texts import plain, say, whole_lines

GROUP: app_commands.Group = app_commands.Group(
    name="preset",
    description="Wishes that you keep under a name",
    allowed_installs=EVERYWHERE_INSTALLS,
    allowed_contexts=EVERYWHERE_CONTEXTS,
)


@GROUP.command(name="save", description="Keep a wish under a name")
@app_commands.describe(name="What to call it", request="Such as mood:dark length:400 temp:0.9")
async def save(
    interaction: Interaction, name: app_commands.Range[str, 1, 32], request: app_commands.Range[str, 1, 1000]
) -> None:
    """/preset save."""
    async with answering(interaction, "/preset save"):
        preset = await interaction.client.studio.presets.save(requester_of(interaction), name, request)
        text = say(interaction.locale, "Kept as {name}: {request}", name=plain(preset.name), request=f"`{preset.text}`")
        await interaction.response.send_message(text, ephemeral=True)


@GROUP.command(name="use", description="Compose what a preset says")
@app_commands.describe(name="Which", private="Only you see the piece", dm="Sent to your direct messages")
async def use(interaction: Interaction, name: str, private: bool = False, dm: bool = False) -> None:
    """/preset use."""
    async with answering(interaction, "/preset use"):
        await compose_values(interaction, {}, preset=name, private=private, dm=dm)


@GROUP.command(name="list", description="Your presets")
async def show_all(interaction: Interaction) -> None:
    """/preset list."""
    async with answering(interaction, "/preset list"):
        presets = await interaction.client.studio.presets.all(requester_of(interaction))
        lines = [f"**{plain(preset.name)}** `{preset.text}`" for preset in presets]
        embed = discord.Embed(
            title=say(interaction.locale, "Your presets"),
            description=whole_lines(lines, limits.EMBED_DESCRIPTION_CHARACTERS_MAX)
            or say(interaction.locale, "None yet: try /preset save."),
            colour=COLOUR,
        )
        await interaction.response.send_message(embed=embed, ephemeral=True)


@GROUP.command(name="delete", description="Forget a preset")
@app_commands.describe(name="Which")
async def delete(interaction: Interaction, name: str) -> None:
    """/preset delete."""
    async with answering(interaction, "/preset delete"):
        await interaction.client.studio.presets.delete(requester_of(interaction), name)
        await interaction.response.send_message(say(interaction.locale, "Deleted."), ephemeral=True)


@use.autocomplete("name")
@delete.autocomplete("name")
async def own_presets(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    """The names of one's presets that contain what is typed."""
    presets = await interaction.client.studio.presets.all(requester_of(interaction))
    wanted = typed.strip().casefold()
    found = [app_commands.Choice(name=each.name, value=each.name) for each in presets if wanted in each.name]
    return found[: limits.OPTION_CHOICES_MAX]
