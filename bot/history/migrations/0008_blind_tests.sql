-- Two pieces of one request by two checkpoints, shown without their names.
CREATE TABLE blind_tests (
    id TEXT PRIMARY KEY,
    left_id TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    right_id TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE blind_votes (
    test_id TEXT NOT NULL REFERENCES blind_tests (id) ON DELETE CASCADE,
    person TEXT NOT NULL,  -- Requester.person
    choice TEXT NOT NULL CHECK (choice IN ('left', 'right')),
    created_at TEXT NOT NULL,
    PRIMARY KEY (test_id, person)
) STRICT, WITHOUT ROWID;
