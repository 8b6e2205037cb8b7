"""How good is a checkpoint? Its music measured beside baselines and beside human pieces: `./run evaluate CHECKPOINT`.

    checkpoint, corpus -> excerpts of human pieces, pieces by each system -> measures -> report, pictures

| module | holds |
|---|---|
| `measures` | what can be counted in one piece, each with its source |
| `bleu` | similarity of sequences by sacrebleu |
| `systems` | who writes the pieces: the checkpoint, the n-grams, a shuffle |
| `moods` | are requested moods recognised |
| `intervals` | how sure a figure is |
| `spectrum` | the sound of a piece beside that of its nearest in the corpus |
| `answers` | each question of the evaluation as a value |
| `study` | the whole evaluation as one value |
| `report`, `plots` | that value in Markdown, JSON and pictures |
| `jsb` | a published benchmark for the model class |
"""
