"""The root of every error that this project raises on purpose.

    MusicLSTMError                 str(error) is one plain sentence for a person
    ├── InvalidKey                 the text names no musical key
    ├── InvalidMidi                the bytes are not a MIDI file that can be used
    └── CorpusProblem              the training music is missing, damaged, unlicensed, or cannot be fetched or stored

`engine.errors` draws the rest of the tree.
"""

from __future__ import annotations

from data.phrases import Phrase


class MusicLSTMError(Exception):
    """Something went wrong that a person can be told in one sentence: `str(error)` is that sentence.

    Attributes:
        phrase: the same, for saying it in another language.
    """

    def __init__(self, sentence: str | Phrase, /, **values: object) -> None:
        self.phrase = sentence if isinstance(sentence, Phrase) else Phrase(sentence, **values)
        super().__init__(str(self.phrase))


class InvalidKey(MusicLSTMError):
    """The text names no musical key."""


class InvalidMidi(MusicLSTMError):
    """The bytes are not a usable MIDI file: not MIDI at all, truncated, empty, or over a limit."""


class CorpusProblem(MusicLSTMError):
    """The training music is missing or damaged, comes without a licence, or cannot be fetched or stored."""
