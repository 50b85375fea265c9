"""Reading and writing files safely; nothing here knows of captions."""

import os

AnyPath = str | os.PathLike[str]
"""A path as a caller gives it."""
