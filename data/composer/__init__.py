"""The project's own composer: dark-ambient and science-fiction pieces from a seed, free of rights (CC0-1.0).

    seed -> plan (mood, mode, metre, form, themes, harmony) -> players -> section after section -> ending -> Score

| module | holds |
|---|---|
| `piece` | `compose_piece`: the plan and the assembly |
| `corpus` | `compose_corpus`, MIDI files and their catalogue |
| `style`, `styles_dim`, `styles_bright` | what each mood likes, with the sources |
| `theory`, `harmony`, `voicing` | modes, chords and progressions, voice leading |
| `rhythm`, `motives`, `themes` | metre, motives and their transformations, themes and their treatment |
| `forms`, `stage` | sections and their tension; what textures are given to write on |
| `sustained`, `moving`, `melodic`, `transitions`, `ending` | the textures |
| `ensemble` | who plays, on which part, from which tension on |
| `checks`, `variety`, `report` | what is measured |
"""
