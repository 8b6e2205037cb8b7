"""Music as facts. Imports neither torch nor discord.

| module | holds |
|---|---|
| `moods`, `keys`, `spaces`, `titles` | what a person can ask for |
| `score`, `midi`, `midi_bytes` | notes on a grid; MIDI files |
| `tokens`, `controls`, `opening` | what a note, a piece and its beginning are to the model |
| `attributes`, `mood_estimate`, `listener` | what can be counted in a score, and the moods in it |
| `endings`, `repetition`, `similarity` | whether a piece ends, how much of it comes back, how much is in another |
| `catalogue`, `corpus`, `split` | the folder of training music, as it is kept and as it is learnt from |
| `importer`, `licensing`, `composers`, `half_time` | what is taken into it, under which licence, whose, and how |
| `sources/`, `composer/` | open music to fetch; pieces by the project's own composer |
| `report` | what a corpus holds, in numbers and pictures |
| `clock`, `phrases`, `errors` | what everything says in the same way |
"""
