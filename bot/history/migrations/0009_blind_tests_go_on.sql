-- A test is written down before its pieces are made, so that it goes on after a restart; nobody has had one until now.
DROP TABLE blind_votes;
DROP TABLE blind_tests;

CREATE TABLE blind_tests (
    id TEXT PRIMARY KEY,
    left_id TEXT NOT NULL,  -- of requests, as soon as the pieces are asked for
    right_id TEXT NOT NULL,
    challenger_id TEXT NOT NULL,  -- left_id or right_id: the piece that another checkpoint than the one in use makes
    challenger_model TEXT NOT NULL,  -- that checkpoint
    created_at TEXT NOT NULL,
    revealed_at TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX blind_tests_of_left ON blind_tests (left_id);
CREATE INDEX blind_tests_of_right ON blind_tests (right_id);

CREATE TABLE blind_votes (
    test_id TEXT NOT NULL REFERENCES blind_tests (id) ON DELETE CASCADE,
    person TEXT NOT NULL,  -- Requester.person
    choice TEXT NOT NULL CHECK (choice IN ('left', 'right')),
    created_at TEXT NOT NULL,
    PRIMARY KEY (test_id, person)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER blind_test_loses_a_piece AFTER DELETE ON requests BEGIN
    DELETE FROM blind_tests WHERE left_id = OLD.id OR right_id = OLD.id;
END;
