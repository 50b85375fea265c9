"""Safe reading and writing of files, independent of captions."""

import os

AnyPath = str | os.PathLike[str]
"""A path: a string or an `os.PathLike`."""
