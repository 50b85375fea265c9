#!/usr/bin/env bash
# JAX: on a CPU, a NumPy array given to a jitted function may be read after the call returns.
#
# Guess before running: a call has taken its arguments when it returns, so one buffer can be filled with
# batch after batch.
# Seen: an array whose memory begins at a multiple of 64 bytes is not copied. Where the function still waits
# for its other argument, it computes with what was written into the buffer after the call. A small array
# that begins 4 bytes later is copied in time; NumPy gives either, as it happens. jnp.asarray before the
# call does not help, jnp.array(...).block_until_ready() does.
# Common expectation: JAX arrays and calls have value semantics.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P'
import jax, jax.numpy as jnp, numpy as np

big = jnp.ones((1500, 1500))
slow = jax.jit(lambda a: jnp.linalg.matrix_power(a, 3).sum() * 0)
total = jax.jit(lambda waited_for, x: x.sum() + waited_for)


def buffer(offset):
    """1000 numbers that begin `offset` bytes after a multiple of 64."""
    memory = np.empty(1032, np.float32)
    start = (-memory.ctypes.data % 64 + offset) // 4
    return memory[start : start + 1000]


def call(offset, given):
    x = buffer(offset)
    x[:] = 1
    y = total(slow(big), given(x))
    x[:] = 0
    return float(y)


seen = {}
for name, offset, given in (
    ("multiple of 64", 0, lambda x: x),
    ("4 bytes later", 4, lambda x: x),
    ("multiple of 64, jnp.asarray", 0, jnp.asarray),
    ("multiple of 64, jnp.array, waited for", 0, lambda x: jnp.array(x).block_until_ready()),
):
    call(offset, given)  # Compiles.
    seen[name] = call(offset, given)
    print(f"{name}: the sum of 1000 ones is {seen[name]}")
assert list(seen.values()) == [0, 1000, 0, 1000], seen
P
# Output:
#   multiple of 64: the sum of 1000 ones is 0.0
#   4 bytes later: the sum of 1000 ones is 1000.0
#   multiple of 64, jnp.asarray: the sum of 1000 ones is 0.0
#   multiple of 64, jnp.array, waited for: the sum of 1000 ones is 1000.0
