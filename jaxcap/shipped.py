"""The trained captioner that comes with jaxcap, and export of your captioners for sharing."""

import dataclasses
from pathlib import Path

import numpy as np

import jaxcap
from jaxcap.data.projection import carry_projections
from jaxcap.decoding.captions import Captioner
from jaxcap.learning.checkpoint_info import RunInfo
from jaxcap.learning.checkpoints import Checkpoints

SHIPPED = "flickr8k"
"""Name in `checkpoints/` of the trained captioner that comes with jaxcap."""


def shipped_checkpoint() -> Path:
    """Find the run folder of the captioner that comes with jaxcap.

    Raises:
        FileNotFoundError: this installation has none.
    """
    package = Path(jaxcap.__file__).parent
    places = [folder / "checkpoints" / SHIPPED for folder in (package, package.parent)]
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(
        f"this installation has no trained captioner (looked in {places[0]} and {places[1]}): "
        "give `checkpoint`, the folder of a run of jaxcap.train"
    )


def export_captioner(
    path: Path, captioner: Captioner, info: RunInfo, output: Path, dtype: str = "float16"
) -> Path:
    """Write a small checkpoint without the training state and without paths of this machine.

    Args:
        path: the checkpoint, in the folder of its run.
        captioner: captioner of the checkpoint.
        info: metadata of the checkpoint.
        output: new folder to write.
        dtype: dtype of the parameters, "float16" or "float32".

    Returns:
        The checkpoint in `output`.

    Raises:
        FileExistsError: the folder exists.
        ValueError: a parameter has values that `dtype` cannot hold.
        OSError: the folder cannot be written.
    """
    if output.exists():
        raise FileExistsError(f"{output}: exists, give another `output`")
    small = {name: value.astype(dtype) for name, value in captioner.params.items()}
    for name, value in small.items():
        if not np.isfinite(value).all():
            raise ValueError(
                f"{path}: {name} has values out of range for `dtype={dtype}`: give `dtype=float32`"
            )
    # Paths of the data are meaningless on other machines.
    dataset = info.source.dataset or ("coco" if info.source.data_dir else "scenes")
    source = dataclasses.replace(info.source, dataset=dataset, data_dir=None, folder="")
    about = dataclasses.replace(info, source=source)
    step = int(path.name)
    validation = Checkpoints(path.parent).load_validation(step)
    target = Checkpoints(output, create=True)
    written = target.save_captioner(step, small, about, validation)
    target.close()
    # Orbax writes the path into these files, and reads them only from object stores.
    for note in written.rglob("commit_success.txt"):
        note.unlink()
    carry_projections(path.parent, output, info.data)
    return written
