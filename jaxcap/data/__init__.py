"""Captions, features and vocabularies: read, written, and cut into minibatches."""
