"""/stats: what people think of each model, by the ratings of pieces and by the votes of blind tests."""

from __future__ import annotations

from collections.abc import Sequence

from discord import app_commands

from bot.blind import Duel
from bot.discord import embeds, limits
from bot.discord.asking import Interaction
from bot.discord.errors import answering
from bot.discord.placing import everywhere
from bot.discord.texts import say, whole_lines


@everywhere
@app_commands.command(name="stats", description="How people rate the pieces of each model")
async def stats(interaction: Interaction) -> None:
    """/stats."""
    async with answering(interaction, "/stats"):
        studio, locale = interaction.client.studio, interaction.locale
        embed = embeds.stats_embed(await studio.ratings.stats(), locale)
        lines = _duel_lines(await studio.blind_tests.duels())
        if lines:
            value = whole_lines(lines, limits.EMBED_FIELD_VALUE_CHARACTERS_MAX)
            embed.add_field(name=say(locale, "Blind tests"), value=value, inline=False)
        await interaction.response.send_message(embed=embed)


def _duel_lines(duels: Sequence[Duel]) -> list[str]:
    return [
        f"`{duel.first}` **{duel.first_votes}** : **{duel.second_votes}** `{duel.second}` · "
        f"{duel.share:.0%} ({duel.low:.0%} - {duel.high:.0%})"
        for duel in duels
    ]
