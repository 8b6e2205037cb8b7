"""/continue, and "Continue this MIDI" in the menu of a message; the buttons' side is in `bot.discord.actions`."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from bot.continuing import ADDED_NOTES_MAX
from bot.discord import actions, attachments
from bot.discord.asking import Interaction
from bot.discord.errors import answering
from bot.discord.lookback import known_pieces
from bot.discord.placing import everywhere
from bot.discord.texts import say
from data.errors import InvalidMidi
from data.moods import MOODS
from engine.errors import InvalidRequest
from engine.types import LENGTH_NOTES_MIN


@everywhere
@app_commands.command(name="continue", description="Go on from the end of a piece or of a MIDI file")
@app_commands.rename(piece_id="id")
@app_commands.describe(
    piece_id="The eight characters below a piece",
    midi="A MIDI file, anybody's",
    length=f"How many notes to add, {LENGTH_NOTES_MIN} to {ADDED_NOTES_MAX}",
    mood="Another mood than the piece's",
    private="Only you see the piece",
)
@app_commands.choices(mood=[app_commands.Choice(name=mood, value=mood) for mood in MOODS])
@app_commands.autocomplete(piece_id=known_pieces)
async def continue_(
    interaction: Interaction,
    piece_id: str | None = None,
    midi: discord.Attachment | None = None,
    length: app_commands.Range[int, LENGTH_NOTES_MIN, ADDED_NOTES_MAX] | None = None,
    mood: str | None = None,
    private: bool = False,
) -> None:
    """/continue: a piece that begins with what is there."""
    async with answering(interaction, "/continue"):
        options = {"length": length, "mood": mood}
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if piece_id is not None and midi is None:
            await actions.continue_piece(interaction, piece_id, given, private=private)
        elif midi is not None and piece_id is None:
            await actions.continue_file(interaction, midi, given, private=private)
        else:
            raise InvalidRequest(
                "id", say(interaction.locale, "Give the id of a piece or a MIDI file, one of the two.")
            )


@everywhere
@app_commands.context_menu(name="Continue this MIDI")
async def continue_this_midi(interaction: Interaction, message: discord.Message) -> None:
    """In the menu of a message that has a MIDI file, the bot's own messages among them."""
    async with answering(interaction, "Continue this MIDI"):
        midi = attachments.midi_file(message)
        if midi is None:
            raise InvalidMidi(say(interaction.locale, "There is no MIDI file in that message."))
        await actions.continue_file(interaction, midi, private=message.flags.ephemeral)


COMMANDS: tuple[app_commands.Command[Any, ..., None] | app_commands.ContextMenu, ...] = (continue_, continue_this_midi)
