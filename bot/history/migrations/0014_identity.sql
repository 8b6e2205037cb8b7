-- Tells this database from any other: the folder of the pieces remembers whose pieces it keeps.
CREATE TABLE identity (id TEXT NOT NULL) STRICT;

INSERT INTO identity (id) VALUES (lower(hex(randomblob(8))));
