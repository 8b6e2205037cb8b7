"""Settings: from the environment and from `.env`, read when asked for and never at import.

Each field's description is the documentation: `.env.example` and the README's table are tested against `documented()`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.errors import SettingsProblem
from bot.options import did_you_mean, nearest

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "MUSICLSTM_"


class Settings(BaseSettings):
    """Everything that an administrator can choose. Paths are relative to the working directory unless absolute."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    discord_token: SecretStr | None = Field(
        default=None,
        validation_alias="DISCORD_TOKEN",
        description="The bot's token, from https://discord.com/developers/applications (Bot, Reset Token).",
    )
    discord_api: str | None = Field(
        default=None,
        description="Another address of Discord's HTTP API, such as http://127.0.0.1:8080/api/v10; empty is Discord.",
    )

    @field_validator("discord_api")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://\S+", value):
            raise ValueError("it should be an address such as http://127.0.0.1:8080/api/v10")
        return value

    @field_validator("*")
    @classmethod
    def _at_home(cls, value: object) -> object:
        try:
            return value.expanduser() if isinstance(value, Path) else value
        except RuntimeError as error:
            raise ValueError("it should begin with the home folder of somebody who has one") from error

    database: Path = Field(default=ROOT / "var/history.db", description="The SQLite database; made when missing.")
    pieces_dir: Path = Field(default=ROOT / "var/pieces", description="Where the files of pieces are kept.")
    checkpoint: Path | None = Field(
        default=None,
        description="Folder of the model to compose with; empty means the one promoted last, else the repository's.",
    )
    checkpoints_dir: Path = Field(
        default=ROOT / "var/checkpoints", description="Where checkpoints made by training are kept."
    )
    corpus: Path = Field(
        default=ROOT / "var/corpus",
        description="The music that /admin retrain learns from; the commands that work on music take --corpus instead.",
    )
    soundfont: Path | None = Field(
        default=None, description="SoundFont file (.sf2 or .sf3); empty means the one that set-up installed."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="How much is logged on standard error: debug, info, warning or error."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="One line of text for people, or one JSON object a line for programs: text or json."
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port on 127.0.0.1 for /metrics (Prometheus) and /health; 0 is none."
    )
    slots: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Pieces that are in the making at the same time; empty means two more than there are renderers.",
    )
    render_workers: int | None = Field(
        default=None,
        ge=0,
        le=16,
        description="Processes that render sound beside the bot, each with 150 MB; 0 renders in the bot's own process, "
        "empty means one for every two cores.",
    )
    queue_limit: int = Field(
        default=200, ge=1, le=10_000, description="Pieces that may wait at once; more are told to come back later."
    )
    user_waiting: int = Field(default=4, ge=1, description="Unfinished pieces that one person may have at once.")
    guild_waiting: int = Field(default=40, ge=1, description="Unfinished pieces that one server may have at once.")
    user_per_hour: int = Field(default=60, ge=1, description="Pieces that one person may ask for in an hour.")
    guild_per_hour: int = Field(default=600, ge=1, description="Pieces that one server may ask for in an hour.")
    retention_days: int = Field(
        default=0, ge=0, description="Pieces older than so many days are forgotten, except favourites; 0 keeps all."
    )
    sounds_mb: int = Field(
        default=2048, ge=0, description="Megabytes of sound that are kept; older ones are made again when asked for."
    )


def load_settings(env_file: Path | None = ROOT / ".env") -> Settings:
    """Read the environment, and `env_file` for what the environment does not say.

    Raises:
        SettingsProblem: a value cannot be used; the sentence names the variable and what it may be.
    """
    try:
        _check_names(env_file)
        return Settings(_env_file=env_file)  # type: ignore[call-arg]  # an argument of BaseSettings that mypy is not told
    except ValidationError as error:
        first = error.errors()[0]
        name = _variable(str(first["loc"][0]))
        reason = str(first["msg"]).replace("Input should be", "it should be").removeprefix("Value error, ")
        value = "" if name == "DISCORD_TOKEN" else f" cannot be '{first['input']}'"
        raise SettingsProblem(f"{name}{value}: {reason}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsProblem(f"{env_file} cannot be read: {error}.") from error


def _check_names(env_file: Path | None) -> None:
    """Raises SettingsProblem where something is set that is no setting: it was meant to do something.

    In the environment only what is nearly a setting: platforms put names there that begin like the program's.
    """
    names = {setting.variable.removeprefix(PREFIX) for setting in documented()}
    said = dotenv_values(env_file) if env_file is not None and env_file.exists() else {}
    for name in (*os.environ, *said):
        bare = name.upper().removeprefix(PREFIX)
        if not name.upper().startswith(PREFIX) or bare in names:
            continue
        close = nearest(bare, names, cutoff=0.75)
        if close or name in said:
            raise SettingsProblem(f"{name} is no setting{did_you_mean(close and PREFIX + close)}.")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as documentation shows it: the variable's name, its default as text, what it does."""

    variable: str
    default: str
    says: str


def documented() -> list[Setting]:
    """Every setting, in the order of the class, with defaults under the project folder written relative to it."""
    listed = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, Path):
            default = default.relative_to(ROOT)
        alias = field.validation_alias
        variable = alias if isinstance(alias, str) else _variable(name)
        listed.append(Setting(variable, "" if default is None else str(default), field.description or ""))
    return listed


def _variable(field: str) -> str:
    return field if field.isupper() else f"{PREFIX}{field.upper()}"
