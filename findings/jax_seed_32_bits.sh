#!/usr/bin/env bash
# JAX: seeds that differ by a multiple of 2**32 are one seed.
#
# Guess before running: jax.random.key(seed), which is documented for integers of 64 bits, gives another key
# for another seed, or raises, as fold_in and jnp.asarray do for the same number.
# Seen: with the default 32-bit types only the lower 32 bits count, so that 1 and 2**32 + 1 give one key, and
# -1 and 2**32 - 1 another; no warning. With JAX_ENABLE_X64 they differ.
# Common expectation: two runs with different seeds, as a hash or a time in nanoseconds gives, are different.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P'
import jax, jax.numpy as jnp


def same(a, b):
    return bool(jax.random.key(a) == jax.random.key(b))


pairs = [(1, 2**32 + 1), (0, 2**40), (-1, 2**32 - 1)]
print("the same key:", [same(*pair) for pair in pairs])
with jax.enable_x64(True):
    wide = [same(*pair) for pair in pairs[:2]]
    print("the same key with 64 bits:", wide)
assert all(same(*pair) for pair in pairs) and not any(wide)
for name, call in {
    "fold_in": lambda: jax.random.fold_in(jax.random.key(0), 2**32 + 1),
    "jnp.asarray": lambda: jnp.asarray(2**32 + 1),
}.items():
    try:
        call()
    except OverflowError:
        print(f"{name}: OverflowError")
    else:
        raise SystemExit(f"{name} took the number")
P
# Output:
#   the same key: [True, True, True]
#   the same key with 64 bits: [False, False]
#   fold_in: OverflowError
#   jnp.asarray: OverflowError
