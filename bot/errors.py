"""Every error that the conversation raises on purpose, below the tree of `engine.errors`.

MusicLSTMError (data.errors)      str(error) is one plain sentence for a person
├── NotFound                      no such piece, preset …; the sentence names the nearest one
├── NotAllowed                    somebody else may do this, not the one who asked
├── Cancelled                     the piece was cancelled by a person while it waited or was being made
├── Unexpected                    a mistake in this program; the log has the details under the piece's id
├── Unreachable                   Discord cannot be reached for now
├── Busy (engine.errors)
│   └── LimitReached              a limit of this person or server; try again in `retry_after_s`
└── SetupProblem (engine.errors)
    ├── SettingsProblem           a setting has an impossible value
    └── HistoryProblem            the database is newer than this program, damaged, or cannot be written
"""

from __future__ import annotations

from data.errors import MusicLSTMError
from engine.errors import Busy, SetupProblem

# What people are told of a SetupProblem, where somebody else runs the program.
BROKEN_HERE = "Something is missing or broken where I run; whoever runs me can find it in the log."


class NotFound(MusicLSTMError):
    """Nothing goes by that name; where one is close, the sentence asks whether that was meant."""


class NotAllowed(MusicLSTMError):
    """The one who asks may not do this."""


class Cancelled(MusicLSTMError):
    """The piece was cancelled by a person before it was finished."""


class Unexpected(MusicLSTMError):
    """Something went wrong that nobody foresaw: `__cause__` is what, and the log has it."""


class LimitReached(Busy):
    """This person or server has as many pieces as the limits allow. Being refused costs nothing."""


class Unreachable(MusicLSTMError):
    """Discord cannot be reached for now."""


class SettingsProblem(SetupProblem):
    """A setting has a value that cannot be used."""


class HistoryProblem(SetupProblem):
    """The database cannot be used: newer than this program, damaged, or not writable."""
