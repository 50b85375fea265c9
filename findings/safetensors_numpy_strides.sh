#!/usr/bin/env bash
# safetensors: safetensors.numpy.save_file writes the memory of an array, not its values.
#
# Guess before running: a transposed view is saved by value, or refused as safetensors.torch refuses
# tensors that are not contiguous.
# Seen: a transposed array and a strided one come back as other values, with no error and no warning.
# safetensors.flax, which copies first, gives back what was saved.
# Common expectation: what is saved is what loads. Weights transposed for another framework's layout, as
# W.T of a linear layer, are the usual case.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q safetensors==0.8.0 numpy==2.4.6 jax==0.10.2 flax==0.12.8
WORK="$work" JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P'
import os
import jax.numpy as jnp, numpy as np, safetensors.flax, safetensors.numpy

path = os.path.join(os.environ["WORK"], "x.safetensors")

def same(module, array):
    module.save_file({"x": array}, path)
    return bool(np.array_equal(module.load_file(path)["x"], array))

a = np.arange(6, dtype=np.float32).reshape(2, 3)
seen = {
    "numpy, as it is": same(safetensors.numpy, a),
    "numpy, transposed": same(safetensors.numpy, a.T),
    "numpy, every other column": same(safetensors.numpy, a[:, ::2]),
    "flax, transposed": same(safetensors.flax, jnp.asarray(a).T),
}
for name, equal in seen.items():
    print(f"{name}: {'the same' if equal else 'other values'}")
assert list(seen.values()) == [True, False, False, True], seen
P
# Output:
#   numpy, as it is: the same
#   numpy, transposed: other values
#   numpy, every other column: other values
#   flax, transposed: the same
