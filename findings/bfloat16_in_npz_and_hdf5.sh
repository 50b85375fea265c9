#!/usr/bin/env bash
# numpy, h5py and JAX: bfloat16 arrays are written to npz and HDF5 as raw bytes and come back without a type.
#
# Guess before running: np.savez and h5py refuse a type that they do not know.
# Seen: both write it without a word. np.load and h5py give arrays of type V2, whose elements are two
# bytes each; arithmetic on them fails far from the place where the type was lost.
# Common expectation: an error where the file is written, or bfloat16 back.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 numpy==2.4.6 h5py==3.16.0
WORK="$work" JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P'
import os
import h5py, jax.numpy as jnp, numpy as np

folder = os.environ["WORK"]
x = jnp.array([1.0, 2.0], jnp.bfloat16)
np.savez(os.path.join(folder, "x.npz"), x=x)
with h5py.File(os.path.join(folder, "x.h5"), "w") as file:
    file["x"] = np.asarray(x)
with h5py.File(os.path.join(folder, "x.h5")) as file:
    from_hdf5 = file["x"][:]
from_npz = np.load(os.path.join(folder, "x.npz"))["x"]
print(f"npz: {from_npz.dtype} {from_npz[0]!r}; HDF5: {from_hdf5.dtype} {from_hdf5[0]!r}")
assert from_npz.dtype == from_hdf5.dtype == np.dtype("V2")
assert np.array_equal(from_npz.view(jnp.bfloat16), x)
P
# Output: npz: |V2 np.void(b'\x80\x3F'); HDF5: |V2 np.void(b'\x80\x3F')
