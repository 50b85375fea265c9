#!/usr/bin/env bash
# optax: the label -1 counts as the last class in softmax_cross_entropy_with_integer_labels.
#
# Guess before running: a label outside [0, V) gives NaN or raises, as PyTorch's cross_entropy raises, so
# that padding marked by -1 cannot pass unseen.
# Seen: -1 gives the loss of the last word of the vocabulary; -100 (PyTorch's ignore_index) and V give NaN.
# Common expectation: padding labels are ignored or refused. Labels brought from a data set that pads with
# -1 train the last word without a sign of it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 optax==0.2.8
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P'
import jax.numpy as jnp, numpy as np, optax

logits = jnp.array([[0.0, 1.0, 2.0, 5.0]])
loss = {
    label: float(optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array([label]))[0])
    for label in (3, -1, -100, 4)
}
print({label: round(value, 4) for label, value in loss.items()})
assert loss[-1] == loss[3] and np.isnan([loss[-100], loss[4]]).all(), loss
P
# Output: {3: 0.0722, -1: 0.0722, -100: nan, 4: nan}
