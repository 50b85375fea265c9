"""The networks by name, and the files of their weights."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jaxcap.files import AnyPath
from jaxcap.files.tensors import digest
from jaxcap.vision import clip, efficientnet, resnet, vgg16
from jaxcap.vision.eye import Encoded, Eye, Weights, Widths
from jaxcap.vision.preprocessing import Preprocessing

DEFAULT = "efficientnet-lite0"


class Kind(NamedTuple):
    """A network that has a name.

    Attributes:
        load: reads its weights from a file.
        network: `network(params, images)` encodes normalised pictures.
        names: whose names the tensors have in the file.
        shipped: the file that comes with jaxcap; None, or a file that is not there, if none does.
        has_grid: whether it has a spatial grid.
    """

    load: Callable[[AnyPath], Weights]
    network: Callable[..., Encoded]
    names: str
    shipped: Path | None = None
    has_grid: bool = True

    @property
    def ships(self) -> bool:
        """Whether jaxcap comes with weights of this network."""
        return self.shipped is not None and self.shipped.is_file()


def _lite(network: efficientnet.Network, shipped: Path, preprocessing: Preprocessing) -> Kind:
    def load(path: AnyPath) -> Weights:
        cells = efficientnet.grid_cells(preprocessing.size)
        params = efficientnet.load_params(path, network)
        return Weights(params, preprocessing, Widths(network.head, network.head, cells))

    names = "the names that tools/convert_efficientnet.py writes"
    return Kind(load, partial(efficientnet.features, network=network), names, shipped)


def _vgg16(preprocessing: Preprocessing) -> Kind:
    def load(path: AnyPath) -> Weights:
        return Weights(vgg16.load_params(path), preprocessing, Widths(vgg16.FEATURE_DIM))

    def network(params: vgg16.Params, images: vgg16.Images) -> Encoded:
        return Encoded(vgg16.fc7(params, images))

    return Kind(load, network, "torchvision's names", has_grid=False)


def _resnet(blocks: Sequence[int]) -> Kind:
    return Kind(partial(resnet.load, blocks=blocks), resnet.features, "torchvision's names")


def _clip(activation: Callable) -> Kind:
    network = partial(clip.features, activation=activation)
    return Kind(clip.load, network, "the names of Hugging Face's CLIPModel")


# Built once, since programs are compiled for the very functions.
NETWORKS: Mapping[str, Kind] = {
    DEFAULT: _lite(efficientnet.LITE0, efficientnet.WEIGHTS, efficientnet.PREPROCESSING),
    f"{DEFAULT}-288": _lite(
        efficientnet.LITE0, efficientnet.WEIGHTS, efficientnet.PREPROCESSING_288
    ),
    "efficientnet-lite2": _lite(
        efficientnet.LITE2, efficientnet.WEIGHTS_LITE2, efficientnet.PREPROCESSING_260
    ),
    "clip": _clip(clip.quick_gelu),
    "clip-gelu": _clip(clip.gelu),
    "resnet50": _resnet(resnet.RESNET50),
    "resnet101": _resnet(resnet.RESNET101),
    "vgg16": _vgg16(vgg16.TORCHVISION),
    "vgg16-caffe": _vgg16(vgg16.CAFFE),
}


def load_eye(name: str, weights: AnyPath | None = None) -> Eye:
    """Load a network by its name.

    Args:
        name: one of `NETWORKS`.
        weights: a safetensors or npz file; None for the one that comes with jaxcap.

    Raises:
        ValueError: weights are needed and not given, or the file lacks what the network needs.
        OSError: the file is missing or broken.
    """
    kind = NETWORKS[name]
    if weights is None and not kind.ships:
        raise ValueError(
            f"{name} needs a weights file, safetensors or npz with {kind.names}, by "
            "`encoder_weights`; jaxcap ships none"
        )
    path = kind.shipped if weights is None else weights
    assert path is not None
    params, preprocessing, widths = kind.load(path)
    return Eye(name, digest(path), preprocessing, widths, kind.network, params)


def split_weights(
    names: Sequence[str], weights: AnyPath | Mapping[str, AnyPath] | None
) -> dict[str, AnyPath]:
    """Find the weights file of each network.

    Args:
        names: the networks of an encoder.
        weights: a file by the name of each network; or `NAME=FILE,NAME=FILE`; or one file, of the
            one network, or the one of several whose weights do not come with jaxcap.

    Raises:
        ValueError: a name is not of the encoder, or it is unclear whose weights a file holds.
    """
    if weights is None:
        return {}
    if not isinstance(weights, Mapping):
        if len(names) == 1:
            return {names[0]: weights}
        pairs = [part.partition("=") for part in str(weights).split(",")]
        if not any(name in NETWORKS and equals for name, equals, _ in pairs):
            lacking = [name for name in dict.fromkeys(names) if not NETWORKS[name].ships]
            if len(lacking) != 1:
                raise ValueError(
                    f"{weights}: is it of {' or '.join(lacking or names)}? Give `encoder_weights` "
                    "as NAME=FILE, with commas between several"
                )
            return {lacking[0]: weights}
        weights = {name: Path(file).expanduser() for name, _, file in pairs}
    for name in weights:
        if name not in names:
            raise ValueError(
                f"`encoder_weights` names {name!r}, which is not in the encoder {'+'.join(names)}"
            )
    return dict(weights)
