"""The note step in C (`step.c`) and what compiles it at first use (`build`)."""
