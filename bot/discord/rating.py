"""The listening test: a form with the four questions of the model card, one to five each."""

from __future__ import annotations

import re
from typing import Any

import discord
from discord import ui

from bot.discord import limits
from bot.discord.asking import Interaction, requester_of
from bot.discord.errors import answering
from bot.discord.texts import say
from bot.ratings import SCALES, SCORE_MAX, SCORE_MIN, Rating

_CUSTOM_ID = re.compile(r"rate:(?P<id>[a-z0-9]{1,32})")


class RatingModal(ui.Modal):
    """The form. It only asks: what comes back is read by `take_rating`, so that a restart in between loses nothing."""

    def __init__(self, piece_id: str, locale: discord.Locale) -> None:
        title = say(locale, "How is it?")[: limits.MODAL_TITLE_CHARACTERS_MAX]
        super().__init__(title=title, custom_id=f"rate:{piece_id}", timeout=limits.INTERACTION_TOKEN_LIFE_S)
        for scale, question in SCALES.items():
            options = [
                discord.SelectOption(label=f"{score} {'★' * score}", value=str(score))
                for score in range(SCORE_MAX, SCORE_MIN - 1, -1)
            ]
            self.add_item(
                ui.Label(
                    text=say(locale, scale).capitalize(),
                    description=say(locale, question),
                    component=ui.Select(custom_id=scale, options=options),
                )
            )


def is_rating(interaction: discord.Interaction[Any]) -> bool:
    """Whether a rating form has come back."""
    data: Any = interaction.data or {}
    custom_id = data.get("custom_id", "")
    return interaction.type is discord.InteractionType.modal_submit and _CUSTOM_ID.fullmatch(custom_id) is not None


async def take_rating(interaction: Interaction) -> None:
    """Keep what the form says."""
    data: Any = interaction.data
    match = _CUSTOM_ID.fullmatch(data["custom_id"])
    if match is None:
        raise ValueError(f"not a rating form: {data['custom_id']}")
    async with answering(interaction, f"rating of {match['id']}"):
        studio, rater = interaction.client.studio, requester_of(interaction)
        record = await studio.find(match["id"], rater)
        await studio.ratings.rate(record, rater, Rating(**_scores(data["components"])))
        await interaction.response.send_message(
            say(interaction.locale, "Thank you; /stats shows all ratings."), ephemeral=True
        )


def _scores(components: list[dict[str, Any]]) -> dict[str, int]:
    """Scale -> score, from the labels of a form or (as older clients send it) from its rows."""
    scores = {}
    for outer in components:
        for field in [outer["component"]] if "component" in outer else outer.get("components", []):
            values = field.get("values") or [field.get("value")]
            if field.get("custom_id") in SCALES and str(values[0]).isdecimal():
                scores[field["custom_id"]] = int(values[0])
    return {scale: scores.get(scale, 0) for scale in SCALES}
