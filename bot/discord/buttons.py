"""The buttons and menus of a piece. They work for ever: each carries the piece's id, and the rest is in history.

A custom id is `piece:ACTION:ID`. discord.py matches it against the template of a `DynamicItem` whenever somebody
presses one, on a message of any age, before and after any restart. What the actions do is in `bot.discord.actions`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import discord
from discord import ui

from bot.discord import actions
from bot.discord.asking import Interaction
from bot.discord.errors import answering
from bot.discord.items import FromCustomId, view_of
from bot.discord.texts import say
from bot.history import Record, State
from data.moods import MOODS

log = logging.getLogger(__name__)

Locale = discord.Locale | None


@dataclass(frozen=True, slots=True)
class _Look:
    label: str
    emoji: str
    style: discord.ButtonStyle = discord.ButtonStyle.secondary


LOOKS = {
    "again": _Look("Again", "🔁"),
    "vary": _Look("Vary", "🎲"),
    "continue": _Look("Continue", "▶️"),
    "longer": _Look("Longer", "⏩"),
    "mood": _Look("Mood…", "🎭"),
    "favourite": _Look("Favourite", "⭐"),
    "rate": _Look("Rate…", "📊"),
    "share": _Look("Share…", "📤"),
    "direct": _Look("To my direct messages", "📩"),
    "recipe": _Look("Recipe", "📜"),
    "remake": _Look("Make it again", "♻️"),
    "delete": _Look("Delete", "🗑️"),
    "erase": _Look("Delete for good", "🗑️", discord.ButtonStyle.danger),
    "cancel": _Look("Cancel", "✖️"),
}
_ROWS = (("again", "vary", "continue", "longer", "mood"), ("favourite", "rate", "share", "recipe", "delete"))
_ID = r"(?P<id>[a-z0-9]{1,32})"


class PieceButton(FromCustomId, ui.DynamicItem[ui.Button[Any]], template=rf"piece:(?P<action>{'|'.join(LOOKS)}):{_ID}"):
    """One action on one piece."""

    def __init__(self, action: str, piece_id: str, locale: Locale = None, *, row: int | None = None) -> None:
        look = LOOKS[action]
        super().__init__(
            ui.Button(
                label=say(locale, look.label),
                emoji=look.emoji,
                style=look.style,
                custom_id=f"piece:{action}:{piece_id}",
                row=row,
            )
        )
        self.action = action
        self.piece_id = piece_id

    async def callback(self, interaction: discord.Interaction[Any]) -> Any:
        """Do it, or tell the one who pressed why not."""
        async with answering(interaction, f"{self.action} of {self.piece_id}"):
            if await interaction.client.first_press(interaction):
                await _DO[self.action](interaction, self.piece_id)


class MoodMenu(FromCustomId, ui.DynamicItem[ui.Select[Any]], template=rf"mood-of:{_ID}"):
    """Choose the mood of another version."""

    def __init__(self, piece_id: str, locale: Locale = None) -> None:
        options = [discord.SelectOption(label=say(locale, mood).capitalize(), value=mood) for mood in MOODS]
        super().__init__(
            ui.Select(custom_id=f"mood-of:{piece_id}", placeholder=say(locale, "Which mood?"), options=options)
        )
        self.piece_id = piece_id

    async def callback(self, interaction: discord.Interaction[Any]) -> Any:
        """Make the other version."""
        async with answering(interaction, f"mood of {self.piece_id}"):
            await actions.in_mood(interaction, self.piece_id, self.item.values[0])


class ShareMenu(FromCustomId, ui.DynamicItem[ui.ChannelSelect[Any]], template=rf"share:{_ID}"):
    """Choose the channel to post a piece to."""

    def __init__(self, piece_id: str, locale: Locale = None) -> None:
        super().__init__(
            ui.ChannelSelect(
                custom_id=f"share:{piece_id}",
                placeholder=say(locale, "Which channel?"),
                channel_types=[discord.ChannelType.text, discord.ChannelType.news, discord.ChannelType.public_thread],
            )
        )
        self.piece_id = piece_id

    async def callback(self, interaction: discord.Interaction[Any]) -> Any:
        """Post it there."""
        async with answering(interaction, f"share of {self.piece_id}"):
            await actions.share(interaction, self.piece_id, self.item.values[0])


DYNAMIC_ITEMS = (PieceButton, MoodMenu, ShareMenu)


def piece_view(record: Record, locale: Locale) -> ui.View:
    """The buttons below a finished piece."""
    return view_of(
        *(PieceButton(name, record.id, locale, row=row) for row, names in enumerate(_ROWS) for name in names)
    )


def cancel_view(record: Record, locale: Locale) -> ui.View | None:
    """The button below the notice of a piece that waits or is being made."""
    return None if record.state is State.CANCELLED else view_of(PieceButton("cancel", record.id, locale))


async def _ask_mood(interaction: Interaction, piece_id: str) -> None:
    await actions.known(interaction, piece_id)
    await interaction.response.send_message(view=view_of(MoodMenu(piece_id, interaction.locale)), ephemeral=True)


async def _ask_channel(interaction: Interaction, piece_id: str) -> None:
    await actions.known(interaction, piece_id)
    view = view_of(PieceButton("direct", piece_id, interaction.locale, row=1))
    if interaction.guild is not None:
        view.add_item(ShareMenu(piece_id, interaction.locale))
    await interaction.response.send_message(view=view, ephemeral=True)


async def _ask_delete(interaction: Interaction, piece_id: str) -> None:
    await actions.check_may_delete(interaction, piece_id)
    await interaction.response.send_message(
        say(interaction.locale, "Delete this piece, its files and its place among favourites?"),
        view=view_of(PieceButton("erase", piece_id, interaction.locale)),
        ephemeral=True,
    )


_DO = {
    "again": actions.again,
    "vary": actions.vary,
    "continue": actions.continue_piece,
    "longer": actions.longer,
    "mood": _ask_mood,
    "favourite": actions.toggle_favourite,
    "rate": actions.ask_rating,
    "share": _ask_channel,
    "direct": actions.send_to_asker,
    "recipe": actions.show_recipe,
    "remake": actions.remake,
    "delete": _ask_delete,
    "erase": actions.erase,
    "cancel": actions.cancel,
}
