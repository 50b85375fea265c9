"""From a model's start and step to sentences."""
