-- Pieces that were asked for and then deleted: they count for the limits of their hour, and for nothing else.
CREATE TABLE deleted_requests (
    person TEXT NOT NULL,  -- Requester.person
    guild_id TEXT,
    created_at TEXT NOT NULL  -- of the request; the row goes when that is an hour ago
) STRICT;

CREATE INDEX deleted_requests_of_person ON deleted_requests (person);
