-- Further messages that carry a piece: where it was shared, liked or made again. They go when the piece is deleted.
CREATE TABLE copies (
    request_id TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    channel_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (request_id, channel_id, message_id)
) STRICT, WITHOUT ROWID;
