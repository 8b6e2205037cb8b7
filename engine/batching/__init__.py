"""Many pieces at once, each exactly what it would have been alone.

    scheduler    whose turn it is when more wait than fit
    process      a writer of pieces in a process of its own, watched and started again
      writing      what runs in that process
    best_of      pieces out of a batcher, each the best of several takes
    batcher      one thread that keeps the slots full: pieces join and leave between steps
    slots        what slots do, and which kind this machine gets
      native       stepped by compiled C (engine/native/step.c): the way on a CPU
      gpu/         stepped by a GPU: kernels in Triton, recorded as CUDA graphs
      torch_slots  stepped by PyTorch in blocks: the way on a CPU without a C compiler
        torch_step   a note of every slot of a block
        torch_cache  what was played may come back, for the slots of a block
    account      what the host knows of slots that something else steps
    weights      a model in the shapes that a step reads
    layout       those shapes as C sees them
    randomness   random numbers by place, not by turn

Why a piece does not depend on its company: its random numbers are looked up by its seed and the note's index, and no
sum of its arithmetic runs over anything but its own state, in an order that does not depend on what else is computed.
"""
