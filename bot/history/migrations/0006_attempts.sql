-- How often the program ended while this piece was being made: one that stops the bot again and again is given up.
ALTER TABLE requests ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
