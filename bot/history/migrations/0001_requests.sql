-- Every wish for a piece. Times are UTC in ISO 8601 with milliseconds, so that they sort as text.
CREATE TABLE requests (
    number INTEGER PRIMARY KEY,  -- the order of asking
    id TEXT NOT NULL UNIQUE,

    -- who and where
    front_end TEXT NOT NULL CHECK (front_end IN ('discord', 'console', 'cli')),
    person TEXT NOT NULL,  -- Requester.person: the same for one person everywhere
    user_id TEXT NOT NULL,
    user_name TEXT NOT NULL,
    guild_id TEXT,
    channel_id TEXT,
    private INTEGER NOT NULL DEFAULT 0 CHECK (private IN (0, 1)),

    -- what: one column for each field of ComposeRequest
    mood TEXT NOT NULL,
    length_notes INTEGER NOT NULL,
    temperature REAL NOT NULL,
    top_p REAL NOT NULL,
    seed INTEGER NOT NULL,
    tempo_bpm INTEGER,
    key TEXT,

    -- out of which other piece
    parent_id TEXT REFERENCES requests (id) ON DELETE SET NULL,
    relation TEXT,

    -- what became of it
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'delivered', 'failed', 'cancelled')),
    error TEXT NOT NULL DEFAULT '',
    session_id TEXT NOT NULL,  -- the process that works on it
    created_at TEXT NOT NULL,
    started_at TEXT,
    made_at TEXT,
    finished_at TEXT CHECK ((finished_at IS NULL) = (state IN ('queued', 'running'))),
    message_channel_id TEXT,
    message_id TEXT
) STRICT;

CREATE INDEX requests_of_person ON requests (person, number);
CREATE INDEX requests_of_guild ON requests (guild_id, number) WHERE guild_id IS NOT NULL;
CREATE INDEX requests_of_parent ON requests (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX requests_unfinished ON requests (number) WHERE state IN ('queued', 'running');

-- The measured facts of a finished piece: all of them or none.
CREATE TABLE results (
    request_id TEXT PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
    checkpoint_id TEXT NOT NULL,
    piece_key TEXT NOT NULL,
    piece_tempo_bpm REAL NOT NULL,
    notes INTEGER NOT NULL,
    duration_s REAL NOT NULL,
    sampling_s REAL NOT NULL,
    rendering_s REAL NOT NULL,
    notes_sha256 TEXT NOT NULL,
    midi_sha256 TEXT NOT NULL,
    wav_sha256 TEXT NOT NULL
) STRICT;
