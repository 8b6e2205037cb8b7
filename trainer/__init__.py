"""A checkpoint out of a corpus. Runs as its own process: `./run train`."""
