#!/usr/bin/env bash
# Keras: load_weights takes the place of a layer for its name, and ignores layers that are left over.
#
# Guess before running: the names of layers, which the file holds, are looked at; a file with more layers
# than the model is refused, as one with fewer is.
# Seen: groups are named by class and counted (`dense`, `dense_1`), and loaded in that order. A model that
# makes the same layers in another order gets their weights exchanged. A model of one layer takes a file of
# two. A model of three layers is refused. Nothing is said in the first two cases.
# Common expectation: the layer "words" gets the weights of the layer "words", or an error.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q keras==3.15.1 jax==0.10.2
WORK="$work" KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'P'
import os
import h5py, keras, numpy as np

path = os.path.join(os.environ["WORK"], "x.weights.h5")


def model(*names):
    return keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(4, name=name) for name in names)])


def first(model):
    return {layer.name: float(layer.get_weights()[0][0, 0]) for layer in model.layers}


saved = model("image", "words")
for layer, value in zip(saved.layers, (1.0, 2.0)):
    layer.set_weights([np.full((4, 4), value), np.zeros(4)])
saved.save_weights(path)
with h5py.File(path) as file:
    print("file:", {group: file["layers"][group]["vars"].attrs["name"] for group in file["layers"]})
print("saved:", first(saved))
seen = []
for names in (["words", "image"], ["words"]):
    loaded = model(*names)
    loaded.load_weights(path)
    seen.append(first(loaded))
    print("loaded:", seen[-1])
assert seen == [{"words": 1.0, "image": 2.0}, {"words": 1.0}], seen
try:
    model("image", "words", "third").load_weights(path)
except ValueError:
    print("three layers: ValueError")
else:
    raise SystemExit("three layers were taken")
P
# Output:
#   file: {'dense': 'image', 'dense_1': 'words'}
#   saved: {'image': 1.0, 'words': 2.0}
#   loaded: {'words': 1.0, 'image': 2.0}
#   loaded: {'words': 1.0}
#   three layers: ValueError
