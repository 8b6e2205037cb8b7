"""From an exception to one sentence for a person, and to the log for whoever runs the bot.

A sentence about something that the person can mend (a value out of range, a limit, an unknown id) stands alone. Every
other one ends with an error id; the log has the same id with everything behind it.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import discord

from bot.discord import limits
from bot.discord.permissions import owners
from bot.discord.texts import plain, say
from bot.errors import BROKEN_HERE, Cancelled, NotAllowed, NotFound, Unexpected
from data.errors import InvalidMidi, MusicLSTMError
from engine.errors import Busy, InvalidRequest, SetupProblem

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]

# Discord's JSON error codes that mean something particular here.
# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes
UNKNOWN_CHANNEL = 10003
UNKNOWN_MESSAGE = 10008
UNKNOWN_USER = 10013
UNKNOWN_WEBHOOK = 10015
UNKNOWN_INTERACTION = 10062
REQUEST_TOO_LARGE = 40005
ALREADY_ACKNOWLEDGED = 40060
MISSING_ACCESS = 50001
CANNOT_MESSAGE_USER = 50007
MISSING_PERMISSIONS = 50013
INVALID_WEBHOOK_TOKEN = 50027
INVALID_RECIPIENT = 50033
THREAD_ARCHIVED = 50083
NO_MUTUAL_SERVERS = 50278
REPLY_NEEDS_HISTORY = 160002

_THEIR_OWN_TO_MEND = (InvalidRequest, InvalidMidi, NotFound, NotAllowed, Cancelled)

TRANSIENT = (aiohttp.ClientError, TimeoutError, ConnectionError)


def sentence_for(
    error: BaseException, locale: discord.Locale | str | None = None, *, doing: str = "", owner: bool = False
) -> str:
    """The sentence that the person is told; whatever an administrator needs goes to the log.

    Args:
        error: what went wrong.
        locale: the reader's.
        doing: what the bot was doing, for the log.
        owner: whether the reader runs the bot, and can use the sentence about what has to be installed or mended.
    """
    if isinstance(error, Busy):
        when = math.ceil(time.time() + max(1.0, error.retry_after_s))
        return f"{plain(say(locale, error.phrase))} {say(locale, 'Try again {when}.', when=f'<t:{when}:R>')}"
    if isinstance(error, _THEIR_OWN_TO_MEND):
        log.info("%s: told: %s", doing, error)
        return plain(say(locale, error.phrase))
    if isinstance(error, Unexpected):  # names its own id, and has logged everything
        return plain(say(locale, error.phrase))
    error_id = secrets.token_hex(4)
    log.error("%s: error %s: %s", doing, error_id, error, exc_info=error)
    if isinstance(error, SetupProblem) and not owner:
        sentence = say(locale, BROKEN_HERE)
    elif isinstance(error, MusicLSTMError):
        sentence = plain(say(locale, error.phrase))
    elif isinstance(error, discord.Forbidden):
        sentence = say(locale, "Discord does not let me do that here: I lack a permission.")
    elif isinstance(error, discord.NotFound):
        sentence = say(locale, "That message or channel is gone.")
    elif isinstance(error, (discord.HTTPException, *TRANSIENT)):
        sentence = say(locale, "Discord did not answer as it should; please try again in a minute.")
    else:
        sentence = say(locale, "Something broke on my side; whoever runs me can find it in the log.")
    return f"{sentence} ({say(locale, 'error {id}', id=error_id)})"


@asynccontextmanager
async def answering(interaction: Interaction, doing: str) -> AsyncIterator[None]:
    """Whatever goes wrong inside is told to the one who asked, and to nobody else, in one sentence.

    Args:
        interaction: what is being answered.
        doing: the command or button, for the log.
    """
    try:
        yield
    except Exception as error:  # the last line of defence: a person never waits without an answer
        if isinstance(error, discord.HTTPException) and error.code in {UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED}:
            # Discord no longer listens to this interaction: it was answered too late, or twice over a reconnect.
            log.warning("%s by %s could not be answered: %s", doing, interaction.user.id, error)
            return
        doing, owner = f"{doing} by {interaction.user.id}", interaction.user.id in owners(interaction.client)
        await tell(interaction, sentence_for(error, interaction.locale, doing=doing, owner=owner))


async def tell(interaction: Interaction, sentence: str) -> None:
    """Say one thing to one person. When Discord does not even take that, the log says so."""
    text = sentence[: limits.CONTENT_CHARACTERS_MAX]
    try:
        if interaction.response.is_done():
            await interaction.followup.send(text, ephemeral=True)
        else:
            await interaction.response.send_message(text, ephemeral=True)
    except (discord.HTTPException, *TRANSIENT) as error:
        log.warning("could not tell %s: %r: %s", interaction.user.id, text, error)
