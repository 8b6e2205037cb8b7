"""/blind: two pieces of one wish by two models, unnamed; everybody votes, then the result is shown.

The sound says nothing about where it is from, and the pieces are private until the result is shown. The buttons work
for ever: each carries the test's id, and the rest is in history.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands, ui

from bot.blind import BlindTest, Choice
from bot.discord import errors, limits
from bot.discord.asking import Interaction, is_moderator, model_choices, requester_of
from bot.discord.buttons import cancel_view
from bot.discord.composing import Notice
from bot.discord.interaction_posts import InteractionPost
from bot.discord.items import FromCustomId, view_of
from bot.discord.permissions import check_can_attach
from bot.discord.persist import TooLarge
from bot.discord.placing import everywhere
from bot.discord.posts import ChannelPost, Parcel, Post, Undeliverable
from bot.discord.texts import say, server_locale
from bot.errors import Cancelled, NotFound
from bot.grammar import format_values, parse_values, values_of
from bot.history import MessageRef, Record
from bot.listening import Pair, compose_pair, resume_pair
from bot.workshop import UpdateCallback
from data.moods import PROFILES
from engine.errors import EngineClosed
from engine.render.unnamed import unnamed

if TYPE_CHECKING:
    from bot.discord.client import MusicLSTMClient

Locale = discord.Locale | None

NAMES: dict[Choice, str] = {"left": "A", "right": "B"}
_LABELS = {"left": "A is better", "right": "B is better", "reveal": "Show the result"}
LABELS = tuple(_LABELS.values())


@everywhere
@app_commands.command(name="blind", description="Two pieces of one wish by two models, unnamed: which one is better?")
@app_commands.describe(
    request="Such as mood:dark length:400 temp:0.9", model="The other model; left out, the newest that is not in use"
)
async def blind(
    interaction: Interaction, request: app_commands.Range[str, 1, 1000] | None = None, model: str | None = None
) -> None:
    """/blind: makes both pieces and asks which one is better."""
    async with errors.answering(interaction, "/blind"):
        requester, studio = requester_of(interaction), interaction.client.studio
        wish = await studio.request_for(requester, parse_values(request or ""))
        check_can_attach(interaction)
        post = InteractionPost(interaction)
        await post.acknowledge()
        await _finish(
            interaction.client,
            post,
            lambda update: compose_pair(studio, wish, requester, model_id=model, progress=update),
            interaction.guild_locale or interaction.locale,
        )


@blind.autocomplete("model")
async def _other_models(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    models = interaction.client.studio.models
    listed = [] if models is None else await models.all()
    return model_choices([each for each in listed if not each.current], typed)


async def resume(client: MusicLSTMClient, test: BlindTest) -> None:
    """Go on with a test that the process before this one left unfinished."""
    await client.wait_until_ready()  # the channels, and with them what a server lets us post, are known from now on
    requester, message = test.left.requester, test.left.message or test.right.message
    locale = server_locale(client, requester.guild_id)
    post = ChannelPost(
        client,
        user_id=int(requester.user_id),
        channel_id=None if requester.channel_id is None else int(requester.channel_id),
        message_id=None if message is None else int(message.message_id),
        locale=locale,
        nonce=test.id,
    )
    await _finish(client, post, lambda update: resume_pair(client.studio, test, update), locale)


async def _finish(
    client: MusicLSTMClient, post: Post, work: Callable[[UpdateCallback], Awaitable[Pair]], locale: Locale
) -> None:
    """Make both pieces and post them, or tell the one who asked why there is no test."""
    composer, studio = client.composer, client.studio
    composer.track()
    pair: Pair | None = None
    try:
        async with Notice(post, cancel_view, studio.blind_tests.set_message) as update:
            pair = await work(update)
        message = await _deliver(post, pair, locale)
    except EngineClosed:
        await composer.say_goodbye(post, "a listening test")
        return
    except Cancelled:
        await composer.refuse(post, "a listening test", say(post.locale, "Cancelled."))
        return
    except Exception as error:  # whatever it is, the person is told; the log has the rest
        sentence = errors.sentence_for(error, post.locale, doing="making a listening test")
        for record in _records(pair):
            with suppress(NotFound):  # deleted meanwhile
                await studio.mark_failed(record.id, sentence)
        if not isinstance(error, Undeliverable):
            await composer.refuse(post, "a listening test", sentence)
        return
    try:
        for record in _records(pair):
            await studio.mark_delivered(record.id, message)
    except NotFound as error:  # deleted while it was on its way: nothing of it may stay
        sentence = errors.sentence_for(error, post.locale, doing="delivering a listening test")
        await composer.refuse(post, "a listening test", sentence)


def _records(pair: Pair | None) -> list[Record]:
    return [] if pair is None else [pair.left.record, pair.right.record]


async def _deliver(post: Post, pair: Pair, locale: Locale) -> MessageRef:
    bytes_max = min(post.file_bytes_max, limits.FILE_BYTES_DEFAULT)  # both together are then less than a request takes
    while True:
        sounds = await asyncio.to_thread(unnamed, [pair.left.wav, pair.right.wav], bytes_max)

        def files(sounds: Sequence[bytes] = sounds) -> list[discord.File]:
            names = (f"{name}.ogg" for name in NAMES.values())
            return [discord.File(io.BytesIO(data), name) for data, name in zip(sounds, names, strict=True)]

        try:
            return await post.deliver(Parcel(test_embed(pair.test, locale), files, _view(pair.test, locale)))
        except TooLarge:
            bytes_max = max(map(len, sounds)) // 2


def test_embed(test: BlindTest, locale: Locale) -> discord.Embed:
    """What is asked, how many have voted, and, once it is shown, the result."""
    request = test.left.request
    wish = {name: value for name, value in values_of(request).items() if name != "seed"}
    embed = discord.Embed(
        title=say(locale, "Which one is better, A or B?"),
        description=f"`{format_values(wish)}`\n"
        + say(locale, "One wish by two models, in an order drawn by lot. Listen to both, then vote."),
        colour=PROFILES[request.mood].colour,
    )
    if test.revealed:
        embed.title = say(locale, "Which one was better, A or B?")
        sides: tuple[tuple[Choice, Record], ...] = (("left", test.left), ("right", test.right))
        for side, record in sides:
            model = "-" if record.result is None else record.result.checkpoint_id
            votes = say(locale, "{n} votes", n=test.votes[side])
            embed.add_field(name=NAMES[side], value=f"`{model}`\n**{votes}**\n`{record.id}`")
    else:
        embed.set_footer(text=say(locale, "{n} votes", n=sum(test.votes.values())))
    return embed


def _view(test: BlindTest, locale: Locale) -> ui.View | None:
    if test.revealed:
        return None
    return view_of(*(BlindButton(action, test.id, locale) for action in _LABELS))


class BlindButton(
    FromCustomId, ui.DynamicItem[ui.Button[Any]], template=r"blind:(?P<action>left|right|reveal):(?P<id>[a-z0-9]{1,32})"
):
    """A vote for one of two pieces, or the wish to see the result."""

    def __init__(self, action: str, test_id: str, locale: Locale) -> None:
        emoji = {"left": "🅰️", "right": "🅱️", "reveal": "👁️"}[action]
        label = say(locale, _LABELS[action])
        super().__init__(ui.Button(label=label, emoji=emoji, custom_id=f"blind:{action}:{test_id}"))
        self._action = action
        self._test_id = test_id

    async def callback(self, interaction: discord.Interaction[Any]) -> Any:
        """Count the vote or show the result, in the message that everybody sees."""
        async with errors.answering(interaction, f"{self._action} of listening test {self._test_id}"):
            tests, person = interaction.client.studio.blind_tests, requester_of(interaction)
            locale = interaction.guild_locale or interaction.locale
            if self._action == "reveal":
                test = await tests.reveal(self._test_id, person, moderator=is_moderator(interaction))
                await interaction.response.edit_message(embed=test_embed(test, locale), view=None)
                return
            side: Choice = "left" if self._action == "left" else "right"
            test = await tests.vote(self._test_id, person, side)
            await interaction.response.edit_message(embed=test_embed(test, locale))
            sentence = say(
                interaction.locale, "Your vote is for {piece}; press the other to change it.", piece=NAMES[side]
            )
            await interaction.followup.send(sentence, ephemeral=True)
