"""Make a trained captioner small, to be shared: parameters in half precision, nothing to train on.

`python -m jaxcap.export --checkpoint checkpoints/mine --output shared/mine`

What it writes is loaded like the run it came from by `caption`, `sample`, `evaluate` and
`--init_from`; paths of this machine are left out of it.
"""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
from absl import flags

from jaxcap.commands import run as command
from jaxcap.data.projection import carry_projection
from jaxcap.learning.checkpoints import Checkpoints

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Folder of the run whose captioner to export.", required=True
)
BEST = flags.DEFINE_bool(
    "best", True, "Export the checkpoint that did best on validation, not the newest."
)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write, a new one.", required=True)
DTYPE = flags.DEFINE_enum(
    "dtype", "float16", ["float16", "float32"], "Precision of the parameters."
)

flags.adopt_module_key_flags(command)


def main() -> None:
    run, output = Path(CHECKPOINT.value).expanduser(), Path(OUTPUT.value).expanduser()
    if output.exists():
        raise FileExistsError(f"{output}: is there already, give another --output")
    source = Checkpoints(run)
    step, (params, info) = source.load_newest(source.load_params, best=BEST.value)
    small = {name: value.astype(DTYPE.value) for name, value in params.items()}
    for name, value in small.items():
        if not jnp.isfinite(value).all():
            raise ValueError(
                f"{source.path(step)}: {name} has values beyond {DTYPE.value}: give --dtype=float32"
            )
    # Where the data lay means nothing elsewhere.
    dataset = info.source.dataset or ("coco" if info.source.data_dir else "scenes")
    about = dataclasses.replace(info.source, dataset=dataset, data_dir=None, folder="")
    info = dataclasses.replace(info, source=about)
    target = Checkpoints(output, create=True)
    path = target.save_captioner(step, small, info, source.load_validation(step))
    target.close()
    # Orbax notes in them where it wrote, and reads them from object stores only.
    for note in path.rglob("commit_success.txt"):
        note.unlink()
    carry_projection(run, output, used=info.data.pca_features)
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    print(f"wrote {path}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    command.run(main)
