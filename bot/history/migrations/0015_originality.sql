-- What a finished piece shares with the music that its model learnt from; all NULL where nobody compared them.
ALTER TABLE results ADD COLUMN copied_share REAL;
ALTER TABLE results ADD COLUMN longest_copied_run_notes INTEGER;
ALTER TABLE results ADD COLUMN closest_title TEXT;
ALTER TABLE results ADD COLUMN human_p95 REAL;
