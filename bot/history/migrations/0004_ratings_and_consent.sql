-- Listening tests: what people think of a piece, 1 to 5 on each scale.
CREATE TABLE ratings (
    request_id TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    person TEXT NOT NULL,  -- Requester.person
    coherence INTEGER NOT NULL CHECK (coherence BETWEEN 1 AND 5),
    repetition INTEGER NOT NULL CHECK (repetition BETWEEN 1 AND 5),
    atmosphere INTEGER NOT NULL CHECK (atmosphere BETWEEN 1 AND 5),
    fit INTEGER NOT NULL CHECK (fit BETWEEN 1 AND 5),
    created_at TEXT NOT NULL,
    PRIMARY KEY (request_id, person)
) STRICT, WITHOUT ROWID;

-- Who lets their favourites be used for training. Nobody does until they say so.
CREATE TABLE consents (
    person TEXT PRIMARY KEY,
    given_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
