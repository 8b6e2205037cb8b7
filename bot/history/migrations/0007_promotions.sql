-- Which checkpoint the bot composes with, and which it did before: the last row is the one in use.
CREATE TABLE promotions (
    number INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    folder TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL
) STRICT;
