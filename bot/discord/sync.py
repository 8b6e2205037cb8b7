"""Tell Discord the commands when they changed, and only then.

Discord keeps commands over restarts and limits how often they may be written, so a start that changes nothing writes
nothing. A small file remembers what was sent and the ids that Discord gave; where Discord's own list no longer has
those ids (another program wrote there, another application is in use), everything is sent again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot.discord.errors import TRANSIENT
from bot.discord.persist import persist

log = logging.getLogger(__name__)


async def command_payload(tree: app_commands.CommandTree[Any]) -> list[dict[str, Any]]:
    """The commands exactly as `tree.sync()` would send them, in every language, by type and name."""
    commands = [
        command
        for kind in (discord.AppCommandType.chat_input, discord.AppCommandType.message, discord.AppCommandType.user)
        for command in tree.get_commands(type=kind)
    ]
    translator = tree.translator
    payload = [
        command.to_dict(tree) if translator is None else await command.get_translated_payload(tree, translator)
        for command in commands
    ]
    return sorted(payload, key=lambda command: (command.get("type", 1), command["name"]))


async def sync_when_changed(tree: app_commands.CommandTree[Any], memory: Path) -> bool:
    """Send the commands if they are not what Discord has.

    Args:
        tree: of a client that is logged in.
        memory: the file that remembers; made when missing.

    Returns:
        whether they were sent.
    """
    payload = json.dumps(await command_payload(tree), sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(payload.encode()).hexdigest()
    remembered = _remembered(memory)
    try:
        there = _ids(await persist(tree.fetch_commands))
    except (discord.HTTPException, *TRANSIENT) as error:
        log.warning("Discord does not list the commands (%s); they are sent again", error)
        there = {}
    if there and remembered == {"digest": digest, "ids": there}:
        log.info("the commands are unchanged")
        return False
    ids = _ids(await persist(tree.sync))
    _remember(memory, {"digest": digest, "ids": ids})
    log.info("%d commands sent to Discord", len(ids))
    return True


def _ids(commands: list[app_commands.AppCommand]) -> dict[str, int]:
    return {f"{command.type.value}:{command.name}": command.id for command in commands}


def _remember(memory: Path, facts: dict[str, Any]) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _remembered(memory: Path) -> dict[str, Any]:
    try:
        remembered = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return remembered if isinstance(remembered, dict) else {}
