"""Music out of a request. No Discord and no trainer in it.

| module | holds |
|---|---|
| `types`, `errors` | what every engine promises: requests, progress, pieces, and what can go wrong |
| `local`, `jobs` | the engine of one machine, and one piece on its way through it |
| `plan`, `titles` | what a request leaves open, decided by its seed |
| `model_config`, `model` | the network: its shape, and itself |
| `note_cache`, `guidance` | what is added to its predictions |
| `checkpoint`, `card`, `checkpoints/` | a trained model as a folder, what it says about itself, those that ship |
| `sampler` | the readable statement of how notes are drawn |
| `batching/`, `native/` | the same for many pieces at once, on a GPU or in compiled C |
| `takes`, `originality` | which of several takes is served; what a piece shares with the training music |
| `render/` | a score becomes sound, a picture and files |
| `pipes`, `garbage` | processes that are heard without waiting; garbage collection where somebody waits |
"""
