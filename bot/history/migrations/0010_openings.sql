-- The notes that a piece begins with, four characters each (data/opening.py); NULL where the model wrote all of them.
ALTER TABLE requests ADD COLUMN opening TEXT;
