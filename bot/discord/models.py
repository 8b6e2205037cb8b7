"""/admin model and /admin retrain: for the owner of the bot alone, since the model is everybody's.

A retraining is a process of its own; its message follows it before and after any restart (`bot.discord.live_training`).
"""

from __future__ import annotations

import asyncio
from typing import Any

import discord
from discord import app_commands, ui

from bot.discord import admin, embeds, limits
from bot.discord.asking import Interaction, model_choices, requester_of
from bot.discord.attachments import read_midi_file
from bot.discord.errors import answering, sentence_for
from bot.discord.interaction_posts import InteractionPost
from bot.discord.items import FromCustomId, view_of
from bot.discord.live_training import follow
from bot.discord.permissions import owners
from bot.discord.texts import plain, say, whole_lines
from bot.errors import NotAllowed, NotFound
from bot.history import MessageRef
from bot.models import Model, Models
from bot.training import EPOCHS_MAX, PRESETS, Training, Upload
from bot.training_run import Comparison, TrainingRun
from data.clock import clock
from data.licensing import ACCEPTED

GROUP = admin.GROUP  # with the commands of this module in it
MODEL: app_commands.Group = app_commands.Group(
    name="model", description="The checkpoints that the bot can compose with", parent=GROUP
)


def _check_owner(interaction: Interaction) -> None:
    if interaction.user.id not in owners(interaction.client):
        raise NotAllowed(say(interaction.locale, "That is for the owner of this bot."))


def _models(interaction: Interaction) -> Models:
    _check_owner(interaction)
    if interaction.client.studio.models is None:
        raise NotAllowed(say(interaction.locale, "There is no choice of models here."))
    return interaction.client.studio.models


def _training(interaction: Interaction) -> Training:
    _check_owner(interaction)
    if interaction.client.studio.training is None:
        raise NotAllowed(say(interaction.locale, "Nothing can be trained here."))
    return interaction.client.studio.training


@MODEL.command(name="list", description="Every checkpoint, with its loss on music that it has not seen")
async def show_models(interaction: Interaction) -> None:
    """/admin model list."""
    async with answering(interaction, "/admin model list"):
        models = await _models(interaction).all()
        embed = discord.Embed(title=say(interaction.locale, "Checkpoints"), colour=embeds.COLOUR)
        corpus = next((model.card.corpus_hash for model in models if model.current), "")
        lines = [_model_line(model, corpus, interaction.locale) for model in models[:PAGE]]
        embed.description = whole_lines(lines, limits.EMBED_DESCRIPTION_CHARACTERS_MAX)
        await interaction.response.send_message(embed=embed, ephemeral=True)


PAGE = 20  # checkpoints: as many lines as an embed shows without scrolling far


def _model_line(model: Model, corpus: str, locale: discord.Locale) -> str:
    """One checkpoint; losses can be compared only on the same corpus, which is the current one's."""
    facts = [model.card.date[:10]] if model.card.date else []
    if model.valid_nats_per_note is not None:
        facts.append(say(locale, "{n} nats a note", n=f"{model.valid_nats_per_note:.3f}"))
        if model.card.corpus_hash != corpus:
            facts.append(say(locale, "on other music"))
    return f"{'▶️' if model.current else '▫️'} `{model.id}` {' · '.join(facts)}"


@MODEL.command(name="promote", description="Compose with another checkpoint from the next piece on")
@app_commands.rename(model_id="id")
@app_commands.describe(model_id="Which")
async def promote(interaction: Interaction, model_id: str) -> None:
    """/admin model promote."""
    async with answering(interaction, "/admin model promote"):
        models = _models(interaction)
        await interaction.response.defer(thinking=True, ephemeral=True)  # a model may be long to load
        model = await models.promote(model_id, requester_of(interaction))
        await interaction.followup.send(_changed(model, models, interaction.locale))


def _changed(model: Model, models: Models, locale: discord.Locale) -> str:
    told = say(locale, "Composing with {id} now.", id=f"`{model.id}`")
    if not models.pinned:
        return told
    return f"{told} {say(locale, 'After a restart it is the one of {name} again.', name='`MUSICLSTM_CHECKPOINT`')}"


@promote.autocomplete("model_id")
async def _known_models(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    models = interaction.client.studio.models
    if models is None or interaction.user.id not in owners(interaction.client):
        return []
    return model_choices(await models.all(), typed)


@MODEL.command(name="rollback", description="Go back to the checkpoint before this one")
async def rollback(interaction: Interaction) -> None:
    """/admin model rollback."""
    async with answering(interaction, "/admin model rollback"):
        models = _models(interaction)
        await interaction.response.defer(thinking=True, ephemeral=True)
        model = await models.rollback(requester_of(interaction))
        await interaction.followup.send(_changed(model, models, interaction.locale))


@GROUP.command(name="retrain", description="Train a new model while people keep composing")
@app_commands.describe(
    preset="Size and schedule",
    epochs="Instead of the preset's own number",
    favourites="Also on consented favourites",
    midi="A MIDI file to learn from too",
    midi2="One more",
    midi3="One more",
    licence="The licence of these files: without one, nothing is imported",
    credit="Whom to thank for these files",
)
@app_commands.choices(
    preset=[app_commands.Choice(name=preset, value=preset) for preset in PRESETS],
    licence=[app_commands.Choice(name=licence, value=licence) for licence in ACCEPTED],
)
async def retrain(
    interaction: Interaction,
    preset: str = PRESETS[0],
    epochs: app_commands.Range[int, 1, EPOCHS_MAX] | None = None,
    favourites: bool = False,
    midi: discord.Attachment | None = None,
    midi2: discord.Attachment | None = None,
    midi3: discord.Attachment | None = None,
    licence: str = "",
    credit: app_commands.Range[str, 1, 200] = "",
) -> None:
    """/admin retrain: starts one, and shows in its reply how it goes until it has ended."""
    async with answering(interaction, "/admin retrain"):
        training, client = _training(interaction), interaction.client
        files = [file for file in (midi, midi2, midi3) if file is not None]
        locale, post = interaction.locale, InteractionPost(interaction)
        await post.acknowledge()
        try:
            current = next(model.folder for model in await _models(interaction).all() if model.current)
            upload = None
            if files:
                contents = [await read_midi_file(file, locale) for file in files]
                upload = await asyncio.to_thread(Upload, tuple(contents), licence, credit)
            run = await training.start(
                requester_of(interaction),
                preset=preset,
                epochs=epochs,
                current=current,
                favourites=favourites,
                upload=upload,
            )
        except Exception as error:  # told to the one who asked alone; the log has the rest
            await post.refuse(sentence_for(error, locale, doing="/admin retrain", owner=True))
            return
        embed, view = look(run, locale)
        message = await interaction.edit_original_response(embed=embed, view=view)
        await training.set_message(run.id, MessageRef(str(message.channel.id), str(message.id)))
        client.spawn(follow(client, run.id, lambda run: look(run, locale), interaction))


def look(run: TrainingRun, locale: discord.Locale | None) -> tuple[discord.Embed, ui.View]:
    """What the message of a run shows."""
    return run_embed(run, locale), _run_view(run, locale)


@GROUP.command(name="training", description="How the latest training is doing")
async def training_state(interaction: Interaction) -> None:
    """/admin training."""
    async with answering(interaction, "/admin training"):
        run = await _training(interaction).latest()
        if run is None:
            raise NotFound(say(interaction.locale, "Nothing was trained yet: try /admin retrain."))
        view = _run_view(run, interaction.locale)
        await interaction.response.send_message(embed=run_embed(run, interaction.locale), view=view, ephemeral=True)


RUN_STATES = ("running", "finished", "failed", "cancelled", "interrupted")


def run_embed(run: TrainingRun, locale: discord.Locale | None) -> discord.Embed:
    """How far a training is, and what came of it."""
    embed = discord.Embed(title=f"{say(locale, 'Training')} {run.id}: {say(locale, run.state)}", colour=embeds.COLOUR)
    embed.description = f"`{embeds.bar(run.share)}` {run.share:.0%}"
    if run.sentence:
        embed.description += f"\n{plain(run.sentence)[: limits.CONTENT_CHARACTERS_MAX]}"
    facts: list[tuple[str, str]] = [(say(locale, "epoch"), f"{run.epoch} / {run.epochs}")]
    if run.remaining_s is not None and run.state == "running":
        facts.append((say(locale, "left"), clock(run.remaining_s)))
    if run.train_nats is not None:
        facts.append((say(locale, "loss on what it learns"), f"{run.train_nats:.3f}"))
    if run.valid_nats is not None:
        facts.append((say(locale, "loss on unseen music"), f"{run.valid_nats:.3f}"))
    for name, value in facts:
        embed.add_field(name=name, value=value)
    if run.imported or run.refused:
        lines = [say(locale, "{n} taken", n=run.imported), *(f"❌ {plain(each)}" for each in run.refused)]
        value = whole_lines(lines, limits.EMBED_FIELD_VALUE_CHARACTERS_MAX)
        embed.add_field(name=say(locale, "Imported files"), value=value, inline=False)
    if run.verdicts:
        lines = [] if run.comparison is None else _figures(run.comparison, locale)
        lines += [f"{'✅' if holds else '❌'} {plain(question)}" for question, holds in run.verdicts.items()]
        value = whole_lines(lines, limits.EMBED_FIELD_VALUE_CHARACTERS_MAX)
        embed.add_field(name=say(locale, "Beside the current model"), value=value, inline=False)
    if run.state == "finished":
        embed.set_footer(text=f"/admin model promote {run.checkpoint.name}")
    return embed


def _figures(found: Comparison, locale: discord.Locale | None) -> list[str]:
    """The candidate's figures in bold, each beside what it is measured against."""
    nats, inside, copied = found.nats, found.inside, found.copied_share
    people = say(locale, "human music")
    return [
        f"{say(locale, 'loss on unseen music')}: **{nats[0]:.3f}** · `{found.current}` {nats[1]:.3f}",
        f"{say(locale, 'measures inside the human band')}: **{inside[0]}/{found.telling}** · "
        f"`{found.current}` {inside[1]}/{found.telling}",
        f"{say(locale, 'notes copied, 95th percentile')}: **{copied[0]:.1%}** · {people} {copied[1]:.1%}",
    ]


class TrainingButton(FromCustomId, ui.DynamicItem[ui.Button[Any]], template=r"training:(?P<action>refresh|cancel)"):
    """Looks at the latest training anew, or stops it."""

    def __init__(self, action: str, locale: discord.Locale | None) -> None:
        label, emoji = {"refresh": ("Refresh", "🔄"), "cancel": ("Cancel", "✖️")}[action]
        super().__init__(ui.Button(label=say(locale, label), emoji=emoji, custom_id=f"training:{action}"))
        self._action = action

    async def callback(self, interaction: discord.Interaction[Any]) -> Any:
        """Do it, and show how the training is doing now."""
        async with answering(interaction, f"training {self._action}"):
            training = _training(interaction)
            if not await interaction.client.first_press(interaction):
                return
            await interaction.response.defer()
            run = await (training.cancel(requester_of(interaction)) if self._action == "cancel" else training.latest())
            if run is not None:
                view = _run_view(run, interaction.locale)
                await interaction.edit_original_response(embed=run_embed(run, interaction.locale), view=view)


def _run_view(run: TrainingRun, locale: discord.Locale | None) -> ui.View:
    actions = ("refresh", "cancel") if run.state == "running" else ()
    return view_of(*(TrainingButton(action, locale) for action in actions))
