-- Messages of deleted pieces that Discord has not taken away yet. A row goes with its message.
CREATE TABLE unwanted_messages (
    channel_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    PRIMARY KEY (channel_id, message_id)
) STRICT, WITHOUT ROWID;
