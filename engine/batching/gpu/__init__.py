"""Slots stepped by a GPU.

slots.py      the slots: who joins, what is replayed, what comes back
step.py       the memory, and the graphs of what is replayed
weights.py    the model as the kernels read it
note.py       the kernels: all of a step that the other files have not
orders.py     how pieces join and leave
layers.py     the matrix products
cache.py      what of the piece so far is like now
attribute.py  how one attribute is drawn
state.py      what kernels know of each slot
"""
