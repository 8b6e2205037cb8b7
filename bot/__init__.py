"""The conversation: requests, use cases, history, and thin front ends over them.

| module | holds |
|---|---|
| `grammar`, `options` | what people can type |
| `studio` | the use cases, for every front end |
| `workshop`, `turns`, `quota`, `swap` | making pieces: whose turn, how many for each, by which engine |
| `continuing`, `recipes` | pieces that come out of others or out of files |
| `history/`, `pieces`, `library` | what is remembered: requests, files, favourites |
| `presets`, `servers`, `privacy` | what people and administrators keep, and how they get rid of it |
| `ratings`, `blind`, `listening` | what people think of each checkpoint |
| `models`, `training`, `training_job`, `training_run` | choosing a checkpoint and making one |
| `discord/`, `cli`, `console`, `chat`, `terminal`, `wording` | the front ends |
| `app`, `settings`, `upkeep`, `metrics`, `health`, `logs` | running it |
"""
