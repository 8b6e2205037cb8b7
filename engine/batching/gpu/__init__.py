"""Slots stepped by a GPU.

slots.py      the slots: what joins, what is replayed, what comes back
weights.py    the model as the kernels read it
note.py       the kernels: the rest of a step, and how a piece begins
layers.py     the matrix products
cache.py      what of the piece so far is like now
attribute.py  how one attribute is drawn
state.py      what kernels know of each slot
"""
