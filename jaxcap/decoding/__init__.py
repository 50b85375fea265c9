"""Decoding: captions from the `start` and `step` of a model."""
