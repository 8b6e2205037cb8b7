"""What the buttons and menus share that work for ever: how one is made again from its custom id."""

from __future__ import annotations

import re
from typing import Any, Self

import discord
from discord import ui


def view_of(*items: ui.Item[Any]) -> ui.View:
    """Buttons and menus below a message, for ever."""
    view = ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    return view


class FromCustomId:
    """For a `DynamicItem` whose constructor takes the groups of its template in their order, and then a locale."""

    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction[Any],
        item: ui.Item[Any],  # noqa: ARG003 - discord.py gives it; everything is in the custom id
        match: re.Match[str],
        /,
    ) -> Self:
        """Made by discord.py when somebody presses or chooses, on a message of any age."""
        constructor: Any = cls
        made: Self = constructor(*match.groups(), interaction.locale)
        return made
