"""Wishes that people keep under a name: `/preset save night dark length:400 tempo:50`."""

from __future__ import annotations

from dataclasses import dataclass

from bot.errors import NotFound
from bot.grammar import Values, build_request, format_values, parse_values
from bot.history import History, Requester
from bot.options import did_you_mean, echo, nearest
from engine.errors import InvalidRequest

PRESETS_MAX = 25  # of one person: as many as Discord shows in one list of suggestions
NAME_LENGTH_MAX = 32


@dataclass(frozen=True, slots=True)
class Preset:
    """A name and what it stands for, written as in the grammar."""

    name: str
    text: str


class Presets:
    """Everybody's own presets, in the history's database.

    Args:
        history: open.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    async def save(self, owner: Requester, name: str, text: str) -> Preset:
        """Keep a wish under a name, in the place of one that may have it already.

        Args:
            owner: whose it is; nobody else sees it.
            name: up to 32 characters; capitals do not count.
            text: as in the grammar; only what it says is kept.

        Raises:
            InvalidRequest: the text is no request, the name cannot be used, or there are 25 already.
        """
        values = parse_values(text)
        build_request(values)
        if not values:
            raise InvalidRequest("", "A preset says something about a piece, such as mood:dark length:400.")
        preset = Preset(_plain(name), format_values(values))
        others = [each for each in await self.all(owner) if each.name != preset.name]
        if len(others) >= PRESETS_MAX:
            raise InvalidRequest("", "You have {n} presets, which is the limit; delete one first.", n=PRESETS_MAX)
        await self._history.write(
            "INSERT INTO presets (person, name, request, created_at) VALUES (:person, :name, :request, :now) "
            "ON CONFLICT (person, name) DO UPDATE SET request = :request",
            {
                "person": owner.person,
                "name": preset.name,
                "request": preset.text,
                "now": self._history.now_text(),
            },
        )
        return preset

    async def all(self, owner: Requester) -> list[Preset]:
        """Somebody's presets by name."""
        rows = await self._history.rows(
            "SELECT name, request FROM presets WHERE person = :person ORDER BY name", {"person": owner.person}
        )
        return [Preset(row["name"], row["request"]) for row in rows]

    async def get(self, owner: Requester, name: str) -> Values:
        """What a preset says, ready for `build_request`.

        Raises:
            NotFound: no preset of that name; the sentence names the nearest.
        """
        presets = {preset.name: preset.text for preset in await self.all(owner)}
        plain = " ".join(name.casefold().split())
        if plain in presets:
            return parse_values(presets[plain])
        hint = did_you_mean(nearest(plain[:NAME_LENGTH_MAX], presets))
        raise NotFound("You have no preset '{name}'{hint}.", name=echo(plain), hint=hint)

    async def delete(self, owner: Requester, name: str) -> None:
        """Forget a preset.

        Raises:
            NotFound: no preset of that name; the sentence names the nearest.
        """
        await self.get(owner, name)
        await self._history.write(
            "DELETE FROM presets WHERE person = :person AND name = :name",
            {"person": owner.person, "name": _plain(name)},
        )


def _plain(name: str) -> str:
    plain = " ".join(name.casefold().split())
    if not 1 <= len(plain) <= NAME_LENGTH_MAX or not plain.isprintable():
        raise InvalidRequest("", "The name of a preset has 1 to {n} characters.", n=NAME_LENGTH_MAX)
    return plain
