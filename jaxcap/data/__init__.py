"""Captions, features and vocabularies: reading, writing and minibatches."""
