"""Music as facts: moods, notes, scores, tokens, MIDI and the corpus. Imports neither torch nor discord."""
