"""A train step of jaxcap beside PyTorch, Flax, NumPy and its own matrix products, in one run.

    pip install -e '.[bench]'
    python benchmarks/train_step.py

A step is forward, backward and Adam of the notebook's captioner: D=512, W=256, H=512, 16 words
predicted, from the same weights on the same minibatch and with the same number of threads. That all
have the same loss is checked first. Rounds then alternate between the contenders; printed are the
median of each, and of jaxcap's time over its own in the same round with the quartiles.

PyTorch counts by the fastest of its forms: eager or compiled, and for captions of COCO's lengths
padded or packed. On a GPU the same command compares with cuDNN.
"""

from functools import partial

import jax
import numpy as np
import torch
from absl import app, flags
from contenders import flax_captioner, numpy_captioner, ours, products, rounds, torch_captioner
from contenders.setting import Run, Setting

SIZES = flags.DEFINE_list(
    "sizes", ["25x1004", "128x1004", "512x1004", "128x10000"], "Captions x words of vocabulary."
)
CELLS = flags.DEFINE_list("cells", ["lstm", "rnn"], "Recurrent cells.")
LENGTHS = flags.DEFINE_list("lengths", ["full", "coco"], "Of captions: full, coco.")
ROUNDS = flags.DEFINE_integer("rounds", 9, "Alternating rounds.", lower_bound=3)
SECONDS = flags.DEFINE_float("seconds", 0.5, "Length of a contender's turn, about.", 0)
WITHOUT = flags.DEFINE_list("without", [], "Contenders to leave out.")

CONTENDERS = {
    "jaxcap": ours.make,
    "PyTorch": torch_captioner.make,
    "PyTorch packed": partial(torch_captioner.make, packed=True),
    "PyTorch compiled": partial(torch_captioner.make, compiled=True),
    "Flax": flax_captioner.make,
    "NumPy": numpy_captioner.make,
    "products": products.make,
    "jaxcap bfloat16": partial(ours.make, precision="bfloat16"),
    "PyTorch bfloat16": partial(torch_captioner.make, bfloat16=True),
}


def contenders(setting: Setting) -> dict[str, Run]:
    """Those that work, each having taken its first step."""
    params, minibatch = setting.params(), setting.minibatch()
    runs, losses = {}, {}
    for name, make in CONTENDERS.items():
        if name in WITHOUT.value or (setting.full and name == "PyTorch packed"):
            continue
        try:
            runs[name] = make(setting, params, *minibatch)
            losses[name] = runs[name](1)
        except Exception as error:  # noqa: BLE001  Whatever a compiler raises.
            if name != "PyTorch compiled":
                raise
            del runs[name]
            print(f"    {name} does not work here: {str(error).splitlines()[0][:100]}")
    for name in losses.keys() - {"products"}:
        near = 1e-2 if "bfloat16" in name else 1e-4
        np.testing.assert_allclose(losses[name], losses["jaxcap"], rtol=near, err_msg=name)
    return runs


def compare(setting: Setting) -> None:
    print(setting, flush=True)
    runs = contenders(setting)
    peers = [name for name in runs if name.startswith("PyTorch") and "bfloat16" not in name]
    rounds.compare(runs, peers, rounds=ROUNDS.value, seconds=SECONDS.value)


def main(argv: list[str]) -> None:
    del argv
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(
        f"jax {jax.__version__} on {jax.devices()[0].device_kind}, torch {torch.__version__} on "
        f"{device}, {torch.get_num_threads()} threads"
    )
    for cell in CELLS.value:
        for lengths in LENGTHS.value:
            for size in SIZES.value:
                N, V = map(int, size.split("x"))
                compare(Setting(cell=cell, N=N, V=V, full=lengths == "full"))


if __name__ == "__main__":
    app.run(main)
