#!/usr/bin/env bash
# orbax-checkpoint: restoring into a template of another type converts the values without a word.
#
# Guess before running: a template whose type differs from what was saved is refused, as one whose shape
# differs is.
# Seen: another shape raises ValueError. Another type does not: float32 weights restored into an int32
# template are cut to whole numbers, and into a float16 template overflow to infinity.
# Common expectation: a template checks types as it checks shapes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 orbax-checkpoint==0.12.8
WORK="$work" JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P' 2>"$work/stderr"
import os
import jax.numpy as jnp, numpy as np, orbax.checkpoint as ocp

path = os.path.join(os.environ["WORK"], "checkpoint")
checkpointer = ocp.StandardCheckpointer()
checkpointer.save(path, {"w": jnp.array([0.5, 1.75, 1e6])})
checkpointer.wait_until_finished()

def restore(like):
    return np.asarray(checkpointer.restore(path, {"w": like})["w"]).tolist()

integers, halves = restore(jnp.zeros(3, jnp.int32)), restore(jnp.zeros(3, jnp.float16))
print("int32:", integers, "float16:", halves)
assert integers == [0, 1, 1000000] and halves == [0.5, 1.75, float("inf")]
try:
    restore(jnp.zeros(2))
except ValueError:
    print("another shape: ValueError")
else:
    raise SystemExit("another shape was taken")
P
# Output:
#   int32: [0, 1, 1000000] float16: [0.5, 1.75, inf]
#   another shape: ValueError
