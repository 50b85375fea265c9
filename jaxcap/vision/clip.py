"""CLIP's image towers: from a picture to the vector that CLIP compares with texts, and its patches.

Radford et al. (2021), arXiv 2103.00020; vision transformers such as ViT-B/32, B/16 and L/14. jaxcap
ships no weights. You give them as the safetensors file of a `CLIPModel`, as Hugging Face names its
tensors; the text tower in it is not read. Sizes are read off the shapes, so one name serves all
towers. No shape tells the activation: OpenAI's weights have the quick GELU, x sigmoid(1.702 x), and
most of OpenCLIP, which were trained on LAION, the exact GELU.

- pooled: the image's embedding after the projection, before it is normalised.
- grid: the patches after the layer before the last, as in LLaVA (Liu et al. 2023, arXiv
  2304.08485). The last layer's patches reach no loss of CLIP, so nothing has trained them.

Preprocessing is CLIP's own: bicubic, the middle square of the picture, mean and deviation of CLIP's
training data. The square is cut from the picture and resized in one step, which differs from
resizing first by less than a pixel.

Layout: tokens (N, 1 + L, W), the class first, then patches row by row. The parameters of the K
layers are stacked on a first axis, so that one scan runs over them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxcap.files import AnyPath
from jaxcap.files.tensors import read_shapes, read_tensors
from jaxcap.vision.eye import Encoded, Params, Weights, Widths
from jaxcap.vision.preprocessing import Preprocessing

Shapes = Mapping[str, tuple[int, ...]]

PREPROCESSING = Preprocessing(
    size=224,
    fit="crop",
    filter="bicubic",
    channels="RGB",
    mean=(0.48145466 * 255, 0.4578275 * 255, 0.40821073 * 255),
    scale=(0.26862954 * 255, 0.26130258 * 255, 0.27577711 * 255),
)

_EPSILON = 1e-5
_PATCHES = "vision_model.embeddings.patch_embedding.weight"
_CLASS = "vision_model.embeddings.class_embedding"
_POSITIONS = "vision_model.embeddings.position_embedding.weight"
_PROJECTION = "visual_projection.weight"
_HIDDEN = "vision_model.encoder.layers.0.mlp.fc1.weight"
_LAYER = "vision_model.encoder.layers.{}.{}"
_NORMS = {"first": "vision_model.pre_layrnorm", "last": "vision_model.post_layernorm"}
# Of a layer: ours, and Hugging Face's.
_LAYER_NORMS = {"norm1": "layer_norm1", "norm2": "layer_norm2"}
_MATRICES = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "out": "self_attn.out_proj",
    "hidden": "mlp.fc1",
    "narrow": "mlp.fc2",
}


def quick_gelu(x: Array) -> Array:
    """Compute x sigmoid(1.702 x), the activation of OpenAI's weights."""
    return x * jax.nn.sigmoid(1.702 * x)


gelu = partial(jax.nn.gelu, approximate=False)


def file_shapes(found: Shapes) -> dict[str, tuple[int, ...]]:
    """List the tensors of an image tower, with the shapes that those in `found` imply.

    Args:
        found: shapes of the tensors in a file.

    Raises:
        ValueError: a tensor that tells the sizes is missing or has another rank, or the patches do
            not fill a square.
    """
    ranks = {_PATCHES: 4, _POSITIONS: 2, _HIDDEN: 2, _PROJECTION: 2}
    for name, rank in ranks.items():
        if len(found.get(name, ())) != rank:
            shape = found.get(name)
            problem = "is missing" if shape is None else f"has shape {shape}, expected {rank} axes"
            raise ValueError(
                f"{name} {problem}; expected the safetensors file of a CLIPModel or a "
                "CLIPVisionModelWithProjection, as Hugging Face writes it"
            )
    width, _, patch, _ = found[_PATCHES]
    num, hidden = found[_POSITIONS][0], found[_HIDDEN][0]
    if num != round((num - 1) ** 0.5) ** 2 + 1 or num < 2 or width % _heads(width):
        raise ValueError(
            f"{_POSITIONS} has shape {found[_POSITIONS]}, expected a row for the class and one for "
            f"each patch of a square, of a width that {_heads(width)} heads divide"
        )
    shapes = {
        _PATCHES: (width, 3, patch, patch),
        _CLASS: (width,),
        _POSITIONS: (num, width),
        _PROJECTION: (found[_PROJECTION][0], width),
    }
    norms = list(_NORMS.values())
    layers = 0
    while _LAYER.format(layers, "layer_norm1.weight") in found:
        norms += [_LAYER.format(layers, name) for name in _LAYER_NORMS.values()]
        widths = {"hidden": (hidden, width), "narrow": (width, hidden)}
        for ours, name in _MATRICES.items():
            matrix = _LAYER.format(layers, name)
            shapes[f"{matrix}.weight"] = widths.get(ours, (width, width))
            shapes[f"{matrix}.bias"] = shapes[f"{matrix}.weight"][:1]
        layers += 1
    if layers < 2:
        raise ValueError(f"{_LAYER.format(layers, 'layer_norm1.weight')} is missing")
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return shapes


def load(path: AnyPath) -> Weights:
    """Load an image tower from a file with Hugging Face's names.

    Raises:
        ValueError: a tensor is missing or has another shape; the message names it.
        OSError: the file is broken.
    """
    found = read_shapes(path)
    try:
        shapes = file_shapes(found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    num = shapes[_POSITIONS][0] - 1
    params = from_huggingface(read_tensors(path, shapes))
    size = round(num**0.5) * shapes[_PATCHES][2]
    widths = Widths(shapes[_PROJECTION][0], shapes[_PATCHES][0], num)
    return Weights(params, replace(PREPROCESSING, size=size), widths)


def from_huggingface(
    tensors: Mapping[str, Float[np.ndarray, "..."]],
) -> dict[str, Float[Array, "..."]]:
    """Convert Hugging Face's tensors to this module's layout.

    Args:
        tensors: the tensors, as `file_shapes` lists them.

    Returns:
        `patches` (P, P, 3, W), `class` (W,), `positions` (1 + L, W), `projection` (W, D); with
        `.scale` and `.bias`, `first` and `last`, and `norm1` and `norm2` of all K layers, (K, W);
        with `.kernel` (K, I, O) and `.bias`, `query`, `key`, `value`, `out`, `hidden` and `narrow`.
    """
    params = {
        "patches": tensors[_PATCHES].transpose(2, 3, 1, 0),
        "class": tensors[_CLASS],
        "positions": tensors[_POSITIONS],
        "projection": tensors[_PROJECTION].T,
    }
    for ours, name in _NORMS.items():
        params[f"{ours}.scale"] = tensors[f"{name}.weight"]
        params[f"{ours}.bias"] = tensors[f"{name}.bias"]
    for ours, name in (_LAYER_NORMS | _MATRICES).items():
        for kind in ("weight", "bias"):
            layers, stack = 0, []
            while (whole := _LAYER.format(layers, f"{name}.{kind}")) in tensors:
                stack.append(tensors[whole].T)
                layers += 1
            ending = kind if kind == "bias" else "scale" if ours in _LAYER_NORMS else "kernel"
            params[f"layers.{ours}.{ending}"] = np.stack(stack)
    return {name: jnp.asarray(array) for name, array in params.items()}


@partial(jax.jit, static_argnames="activation")
def features(
    params: Params,
    images: Float[Array, "N S S 3"],
    activation: Callable[[Array], Array] = quick_gelu,
) -> Encoded:
    """Encode pictures.

    Args:
        params: the parameters, from `from_huggingface`.
        images: normalised pictures, of the size of the tower.
        activation: `quick_gelu`, or `gelu`.

    Returns:
        `Encoded(pooled (N, D), grid (N, L, W))`.
    """
    size, width = params["patches"].shape[0], params["class"].shape[0]
    num, side = len(images), images.shape[1] // size
    cut = images[:, : side * size, : side * size].reshape(num, side, size, side, size, 3)
    patches = jnp.einsum("napbqi,pqiw->nabw", cut, params["patches"]).reshape(num, -1, width)
    first = jnp.broadcast_to(params["class"], (num, 1, width))
    x = jnp.concatenate([first, patches], axis=1) + params["positions"][None]
    x = _normalise(x, params["first.scale"], params["first.bias"])
    layers = {
        name.removeprefix("layers."): stack
        for name, stack in params.items()
        if name.startswith("layers.")
    }
    layer = partial(_layer, activation=activation)
    before = {name: stack[:-1] for name, stack in layers.items()}
    x, _ = lax.scan(lambda x, params: (layer(params, x), None), x, before)
    grid = x[:, 1:]
    x = layer({name: stack[-1] for name, stack in layers.items()}, x)
    pooled = _normalise(x[:, :1], params["last.scale"], params["last.bias"])[:, 0]
    return Encoded(pooled @ params["projection"], grid)


def _layer(params: Params, x: Array, activation: Callable[[Array], Array]) -> Array:
    def affine(x: Array, name: str) -> Array:
        return x @ params[f"{name}.kernel"] + params[f"{name}.bias"][None, None]

    num, tokens, width = x.shape
    split = (num, tokens, _heads(width), -1)
    y = _normalise(x, params["norm1.scale"], params["norm1.bias"])
    query, key, value = (affine(y, name).reshape(split) for name in ("query", "key", "value"))
    attended = jax.nn.dot_product_attention(query, key, value).reshape(x.shape)
    x = x + affine(attended, "out")
    y = _normalise(x, params["norm2.scale"], params["norm2.bias"])
    return x + affine(activation(affine(y, "hidden")), "narrow")


def _heads(width: int) -> int:
    """Heads of 64 in ViT-B and L; 16 in the larger towers of OpenCLIP."""
    return 16 if width > 1024 else max(width // 64, 1)


def _normalise(x: Array, scale: Array, bias: Array) -> Array:
    """Layer norm over the last axis."""
    centred = x - x.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    return centred * lax.rsqrt(variance + _EPSILON) * scale[None, None] + bias[None, None]
