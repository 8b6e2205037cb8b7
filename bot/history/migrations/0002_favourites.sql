CREATE TABLE favourites (
    person TEXT NOT NULL,  -- Requester.person
    request_id TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    PRIMARY KEY (person, request_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX favourites_of_request ON favourites (request_id);
