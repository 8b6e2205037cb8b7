"""Words for people that can be said in another language."""

from __future__ import annotations


class Phrase:
    """An English template and what fills it in: a front end says the same in the reader's language, `str` in English.

    Attributes:
        text: such as `{name} is given twice.`; without values it is said as it is, braces included.
        values: placeholder -> what stands there; another phrase is translated too.
    """

    __slots__ = ("text", "values")

    def __init__(self, text: str, /, **values: object) -> None:
        self.text = text
        self.values = values

    def __str__(self) -> str:
        return self.text.format(**self.values) if self.values else self.text

    def __repr__(self) -> str:
        return f"Phrase({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Phrase) and (self.text, self.values) == (other.text, other.values)

    def __hash__(self) -> int:
        return hash(self.text)
