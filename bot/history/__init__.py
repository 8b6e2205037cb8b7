"""Every request, remembered in SQLite: who, where, when, every parameter, what became of it.

`History` is the database; the other names are the frozen values that go in and come out.
"""

from bot.history.records import FrontEnd, MessageRef, Origin, Record, Relation, Requester, Result, State
from bot.history.store import History

__all__ = ["FrontEnd", "History", "MessageRef", "Origin", "Record", "Relation", "Requester", "Result", "State"]
