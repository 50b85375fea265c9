#!/usr/bin/env bash
# optax: clip_by_global_norm turns float16 gradients into zeros once their norm is above 255.
#
# Guess before running: the norm is computed in float32, or in a way that cannot overflow; (300, 400)
# clipped to 1 is (0.6, 0.8).
# Seen: squares are summed in float16, whose largest number is 65504. The norm of (300, 400) is infinite and
# the clipped gradient is zero, without a NaN that would show it: the step is skipped silently.
# Common expectation: clipping shortens a gradient whose numbers are all finite, as it does in bfloat16.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 optax==0.2.8
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P'
import jax.numpy as jnp, optax

clip = optax.clip_by_global_norm(1.0)
seen = {}
for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
    gradient = jnp.array([300.0, 400.0], dtype)
    clipped, _ = clip.update(gradient, clip.init(gradient))
    seen[dtype.__name__] = [round(float(value), 2) for value in clipped]
    print(f"{dtype.__name__}: norm {float(optax.global_norm(gradient))}, clipped {seen[dtype.__name__]}")
assert seen == {"float32": [0.6, 0.8], "bfloat16": [0.6, 0.8], "float16": [0.0, 0.0]}, seen
P
# Output:
#   float32: norm 500.0, clipped [0.6, 0.8]
#   bfloat16: norm 500.0, clipped [0.6, 0.8]
#   float16: norm inf, clipped [0.0, 0.0]
