"""The course's models."""
