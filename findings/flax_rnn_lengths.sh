#!/usr/bin/env bash
# flax: nn.RNN with seq_lengths still returns outputs past a sequence's end, and a sequence of length 0
# does not keep its first carry.
#
# Guess before running: outputs at padded steps are zero, as after PyTorch's pad_packed_sequence, and the
# carry of an empty sequence is the initial one.
# Seen: outputs go on past the length as if padding were input; only the carry is picked at the length.
# For length 0 the carry is that of the last step, for the index length - 1 = -1 is the last one.
# Common expectation: seq_lengths masks what lies behind the length.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 flax==0.12.8
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P'
import flax.linen as nn, jax, jax.numpy as jnp, numpy as np

for cell in (nn.GRUCell(4), nn.LSTMCell(4)):
    rnn = nn.RNN(cell, return_carry=True)
    x = jax.random.normal(jax.random.key(0), (2, 5, 3))
    variables = rnn.init(jax.random.key(1), x)
    _, h = rnn.apply(variables, x, seq_lengths=jnp.array([2, 5]))
    whole, _ = rnn.apply(variables, x)
    empty, _ = rnn.apply(variables, x, seq_lengths=jnp.array([0, 5]))
    padded_is_zero = bool((h[0, 2:] == 0).all())
    leaves = zip(jax.tree.leaves(empty), jax.tree.leaves(whole))
    like_whole = all(np.array_equal(a[0], b[0]) for a, b in leaves)
    print(f"{type(cell).__name__}: zero past the length: {padded_is_zero}; "
          f"length 0 has the carry of the whole sequence: {like_whole}")
    assert not padded_is_zero and like_whole
P
# Output:
#   GRUCell: zero past the length: False; length 0 has the carry of the whole sequence: True
#   LSTMCell: zero past the length: False; length 0 has the carry of the whole sequence: True
