"""Every error that an engine raises on purpose. The name says what the caller can do about it.

MusicLSTMError (data.errors)   str(error) is one plain sentence for a person
├── InvalidMidi (data.errors)  send another file
├── InvalidRequest             change the request: `field` names what, the sentence says what is allowed
├── Busy                       try again in `retry_after_s`
├── EngineClosed               the engine is shutting down; the request can be sent to the next one
├── RenderFailed               this piece could not be turned into sound; another seed may work
│   └── SynthesiserEnded       it was ended from outside: the same again may work
└── SetupProblem               an administrator has to install or mend something
    ├── CheckpointProblem      the model's files are missing, damaged or of another vocabulary
    └── StorageProblem         the disk is full or cannot be written
"""

from __future__ import annotations

from data.errors import MusicLSTMError
from data.phrases import Phrase


class InvalidRequest(MusicLSTMError):
    """A request asks for something that is not on offer.

    Attributes:
        field: the name of the offending option as people type it (`mood`, `length`, `temp`, …), or "" for none.
    """

    def __init__(self, field: str, sentence: str | Phrase, /, **values: object) -> None:
        super().__init__(sentence, **values)
        self.field = field


class Busy(MusicLSTMError):
    """Too many pieces are waiting.

    Attributes:
        retry_after_s: seconds after which a place is likely to be free.
    """

    def __init__(self, sentence: str | Phrase, retry_after_s: float, /, **values: object) -> None:
        super().__init__(sentence, **values)
        self.retry_after_s = retry_after_s


class EngineClosed(MusicLSTMError):
    """The engine is shutting down and takes nothing more."""


class RenderFailed(MusicLSTMError):
    """The synthesiser failed, ran over a limit, or its result was silent, empty or too short."""


class SynthesiserEnded(RenderFailed):
    """Somebody, or a system without memory, ended the synthesiser: it is no fault of the piece."""


class SetupProblem(MusicLSTMError):
    """Something that an administrator has to install or mend: FluidSynth, a soundfont, the model."""


class CheckpointProblem(SetupProblem):
    """A checkpoint is missing, damaged, or was made for another vocabulary."""


class StorageProblem(SetupProblem):
    """A file could not be written: the disk is full, or the folder is read-only."""


class Cancelled(Exception):
    """The work was asked to stop and did."""
