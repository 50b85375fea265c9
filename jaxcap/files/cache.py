"""Where jaxcap keeps what it can make again."""

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "JAXCAP_CACHE"


def cache_folder() -> Path:
    """The folder that the environment variable `JAXCAP_CACHE` names, or the user's cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("jaxcap"))
