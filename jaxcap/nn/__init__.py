"""Pure functions for recurrent captioners: cells, the captioner, its loss, gradient checks."""
