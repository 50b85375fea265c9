"""Checksums of what a checkpoint holds: of the values, however they are stored or laid out.

Those of arrays are of the whole arrays, so that they are the same on any number of devices and
processes.
"""

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils


def of_arrays(tree: Any) -> str:
    """SHA-256 of the names, shapes and values of a tree of arrays.

    A precision below float32 counts as the float32 of the same value, as which it may be restored.
    With several processes all must call it, since each may hold a part only.
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        value = _whole(leaf)
        if value.dtype in (np.float16, jnp.bfloat16):
            value = value.astype(np.float32)
        name = jax.tree_util.keystr(path)
        digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
        digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def of_json(value: Any) -> str:
    """SHA-256 of a value of plain JSON."""
    # Once through JSON, in which tuples are lists and keys are strings.
    text = json.dumps(json.loads(json.dumps(value)), sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _whole(leaf: Any) -> np.ndarray:
    """All of an array's values, on this process's host."""
    if not isinstance(leaf, jax.Array):
        return np.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if leaf.is_fully_addressable:
        return np.asarray(leaf)
    if leaf.is_fully_replicated:
        return np.asarray(leaf.addressable_data(0))
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
