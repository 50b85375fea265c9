"""The cache folder, for files that jaxcap can make again."""

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "JAXCAP_CACHE"


def cache_folder() -> Path:
    """Return the folder in the environment variable `JAXCAP_CACHE`, or your user cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("jaxcap"))
