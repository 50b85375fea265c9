#!/usr/bin/env bash
# orbax-checkpoint: one NaN among the metrics makes CheckpointManager delete the best checkpoint.
#
# Guess before running: a NaN is never the best, and the others are ranked as if it were not there.
# Seen: with best_mode="max" and max_to_keep=1, the scores 1.0, NaN, 0.5 leave the checkpoint of 0.5; the
# best one is deleted, and best_step names the step of 0.5. Without the NaN the first is kept.
# Common expectation: an epoch whose validation failed does not cost the best checkpoint.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q jax==0.10.2 orbax-checkpoint==0.12.8
WORK="$work" JAX_PLATFORMS=cpu "$work/venv/bin/python" - 2>"$work/stderr" <<'P'
import os
import jax.numpy as jnp, orbax.checkpoint as ocp

seen = []
for middle in (0.7, float("nan")):
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1, best_fn=lambda metrics: metrics["score"], best_mode="max"
    )
    manager = ocp.CheckpointManager(os.path.join(os.environ["WORK"], str(middle)), options=options)
    scores = [1.0, middle, 0.5]
    for step, score in enumerate(scores):
        args = ocp.args.StandardSave({"w": jnp.ones(1)})
        manager.save(step, args=args, metrics={"score": score})
        manager.wait_until_finished()
    seen.append((manager.all_steps(), manager.best_step()))
    print(f"scores {scores}: kept {manager.all_steps()}, best_step {manager.best_step()}")
    manager.close()
assert seen == [([0], 0), ([2], 2)], seen
P
# Output:
#   scores [1.0, 0.7, 0.5]: kept [0], best_step 0
#   scores [1.0, nan, 0.5]: kept [2], best_step 2
