"""From pixels to features."""
