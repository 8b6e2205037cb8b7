-- The room that was asked for; NULL is the mood's own.
ALTER TABLE requests ADD COLUMN space TEXT;
