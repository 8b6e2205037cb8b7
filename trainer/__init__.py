"""A checkpoint out of a corpus. Runs as its own process: `./run train`.

    corpus -> pipeline.prepare -> examples -> loop.Run -> weights -> pipeline.finish -> checkpoint

| module | holds |
|---|---|
| `config` | the presets |
| `pipeline`, `dataset` | from a corpus to examples and from a run to a checkpoint |
| `loop`, `state`, `distributed` | the training, what an interrupted one goes on from, several processes |
| `progress` | what a person or a program sees of it |
| `cache`, `baselines`, `originality`, `card` | what is measured of the result and written beside it |
| `measure`, `ablations` | to measure a checkpoint again; what each choice is worth |
| `evaluation/` | its music beside baselines and human music: `./run evaluate` |
"""
