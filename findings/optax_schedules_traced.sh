#!/usr/bin/env bash
# optax: some schedules take a traced hyperparameter and others refuse it.
#
# Guess before running: every schedule is jnp arithmetic, so any of their numbers can be traced, as under
# vmap over many learning rates or decays.
# Seen: cosine_decay_schedule, polynomial_schedule and linear_schedule take a traced number.
# exponential_decay with a traced decay_rate, and warmup_cosine_decay_schedule with a traced peak_value,
# raise TracerBoolConversionError: both compare that number with 0 in Python.
# Common expectation: a sweep over the decay rate vmaps like a sweep over the learning rate.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 optax==0.2.8
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P'
import jax, jax.numpy as jnp, optax

step = jnp.array(7)
schedules = {
    "cosine_decay_schedule": lambda x: optax.cosine_decay_schedule(x, 20)(step),
    "linear_schedule": lambda x: optax.linear_schedule(x, 0.0, 20)(step),
    "exponential_decay": lambda x: optax.exponential_decay(1e-2, 5, x)(step),
    "warmup_cosine_decay_schedule": lambda x: optax.warmup_cosine_decay_schedule(0.0, x, 5, 20)(step),
}
seen = {}
for name, schedule in schedules.items():
    try:
        jax.jit(schedule)(0.9)
        seen[name] = "works"
    except jax.errors.TracerBoolConversionError:
        seen[name] = "TracerBoolConversionError"
    print(f"{name}: {seen[name]}")
assert list(seen.values()) == ["works", "works"] + ["TracerBoolConversionError"] * 2, seen
P
# Output:
#   cosine_decay_schedule: works
#   linear_schedule: works
#   exponential_decay: TracerBoolConversionError
#   warmup_cosine_decay_schedule: TracerBoolConversionError
