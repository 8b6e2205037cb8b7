CREATE TABLE presets (
    person TEXT NOT NULL,  -- Requester.person
    name TEXT NOT NULL,  -- lower case
    request TEXT NOT NULL,  -- as in the grammar: 'mood:dark length:400'
    created_at TEXT NOT NULL,
    PRIMARY KEY (person, name)
) STRICT, WITHOUT ROWID;

-- What the administrators of a Discord server have chosen; NULL is what the program's settings say.
CREATE TABLE servers (
    guild_id TEXT PRIMARY KEY,
    defaults TEXT NOT NULL DEFAULT '',  -- as in the grammar
    user_per_hour INTEGER CHECK (user_per_hour >= 0),
    best_of_channel_id TEXT,
    best_of_favourites INTEGER NOT NULL DEFAULT 3 CHECK (best_of_favourites >= 1)
) STRICT, WITHOUT ROWID;

-- Pieces that were posted to a server's best-of channel: once each.
CREATE TABLE best_of_posts (
    request_id TEXT PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
    posted_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE blocks (
    person TEXT NOT NULL,
    guild_id TEXT NOT NULL,  -- '' is everywhere
    created_at TEXT NOT NULL,
    PRIMARY KEY (person, guild_id)
) STRICT, WITHOUT ROWID;

-- What administrators did. Entries are only ever added; privacy removes names from them.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    guild_id TEXT,  -- NULL is the whole bot
    person TEXT NOT NULL,
    person_name TEXT NOT NULL,
    action TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;

CREATE INDEX audit_of_guild ON audit (guild_id, number);
