#!/usr/bin/env bash
# JAX: jax.random.split(key, n)[i] is the very key that jax.random.fold_in(key, i) gives.
#
# Guess before running: split and fold_in give unrelated keys, so a program may split a key for its parts
# and fold the step number into the same key.
# Seen: they are equal for every i < n, with the default generator (threefry) and with rbg; not with
# unsafe_rbg. The keys of a longer split begin with those of a shorter one. Pull request 13341 of JAX meant
# it so; the documents of split and fold_in do not say it.
# Common expectation: dropout at step 0 does not draw the numbers that initialised the weights.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P'
import jax, numpy as np

seen = {}
for generator in ("threefry2x32", "rbg", "unsafe_rbg"):
    key = jax.random.key(3, impl=generator)
    folded = jax.vmap(lambda i: jax.random.fold_in(key, i))(np.arange(4))
    seen[generator] = bool((jax.random.split(key, 4) == folded).all())
    print(f"{generator}: {seen[generator]}")
assert list(seen.values()) == [True, True, False], seen
key = jax.random.key(3)
init_key, dropout_key = jax.random.split(key)
weights = jax.random.uniform(init_key, (3,))
step_0 = jax.random.uniform(jax.random.fold_in(key, 0), (3,))
print("weights:", weights, "step 0:", step_0)
assert (weights == step_0).all()
P
# Output:
#   threefry2x32: True
#   rbg: True
#   unsafe_rbg: False
#   weights: [0.00869536 0.04398847 0.31157303] step 0: [0.00869536 0.04398847 0.31157303]
