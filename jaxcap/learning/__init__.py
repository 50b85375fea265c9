"""Training: optimiser, loop, checkpoints, metrics."""
