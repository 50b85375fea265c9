"""Networks whose weights are brought, against `transformers` and torchvision; several as one."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from photo_files import draw_all, write_tsv
from safetensors.numpy import save_file

from jaxcap.datasets import Placement, load_data
from jaxcap.files.tensors import read_shapes
from jaxcap.preparing.plan import PreparationConfig
from jaxcap.preparing.prepare import prepare
from jaxcap.preparing.splits import SplitChoice
from jaxcap.vision import clip, efficientnet, resnet
from jaxcap.vision.encoder import check_grid_of, check_same_encoder, load_encoder
from jaxcap.vision.images import open_image
from jaxcap.vision.networks import split_weights

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, shape, np.uint8) for shape in ((40, 64, 3), (50, 50, 3))]


def assert_close(found, expected, tolerance=1e-4):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    error = np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert error.max() < tolerance, error.max()


def pytorch(module=None):
    torch = pytest.importorskip("torch", reason="it compares with PyTorch, which is missing")
    if module is None:
        return torch
    return torch, pytest.importorskip(module, reason=f"it compares with {module}, which is missing")


def test_lite2_has_its_widths_and_a_grid_of_9_by_9():
    shapes = efficientnet.parameter_shapes(efficientnet.LITE2)
    assert sum(map(np.prod, shapes.values())) == 4_782_024
    assert [efficientnet.grid_cells(size) for size in (224, 260, 288)] == [49, 81, 81]


@pytest.mark.nightly
def test_lite2_has_the_features_that_pytorch_computed():
    with np.load(ROOT / "tests/golden/efficientnet_lite2.npz") as file:
        golden = dict(file)
    lite2 = load_encoder("efficientnet-lite2")
    pooled, grid = lite2.encode([golden["square"], golden["wide"]], grid=True, batch_size=2)
    assert_close(pooled, golden["shipped_pooled"])
    assert_close(grid[:, golden["cells"]], golden["shipped_cells"])
    assert_close(pooled, golden["published_pooled"], 1e-2)


@pytest.mark.nightly
def test_lite2_is_pytorchs(monkeypatch):
    torch = pytorch()
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    reference = __import__("efficientnet_torch")
    tensors = {
        name: RNG.standard_normal(shape, np.float32) / np.float32(np.prod(shape[:-1])) ** 0.5
        for name, shape in efficientnet.parameter_shapes(efficientnet.LITE2).items()
    }
    images = RNG.standard_normal((1, 260, 260, 3), np.float32)
    found = efficientnet.features(tensors, jnp.asarray(images), efficientnet.LITE2)
    with torch.inference_mode():
        model = reference.from_jaxcap(tensors, "lite2")
        expected = model(torch.as_tensor(images).permute(0, 3, 1, 2)).flatten(2).permute(0, 2, 1)
    assert_close(found.grid, expected)
    assert_close(found.pooled, expected.mean(1))


# A tower of small sizes: width, heads of 64, hidden, layers, patch, pixels, projection.
WIDTH, HIDDEN, LAYERS, PATCH, SIZE, OUT = 128, 96, 3, 8, 32, 24


def clip_tensors():
    shapes = {
        "vision_model.embeddings.patch_embedding.weight": (WIDTH, 3, PATCH, PATCH),
        "vision_model.embeddings.position_embedding.weight": ((SIZE // PATCH) ** 2 + 1, WIDTH),
        "vision_model.encoder.layers.0.mlp.fc1.weight": (HIDDEN, WIDTH),
        "visual_projection.weight": (OUT, WIDTH),
    }
    for layer in range(LAYERS):
        shapes[f"vision_model.encoder.layers.{layer}.layer_norm1.weight"] = (WIDTH,)
    return {
        name: 0.2 * RNG.standard_normal(shape, np.float32) + np.float32("norm" in name)
        for name, shape in clip.file_shapes(shapes).items()
    }


@pytest.mark.parametrize("name", ["clip", "clip-gelu"])
def test_clip_is_that_of_transformers(tmp_path, name):
    torch, transformers = pytorch("transformers")
    tensors = clip_tensors()
    # What else a CLIPModel holds, and half precision.
    save_file({**tensors, "text_model.x": np.ones(3)}, tmp_path / "clip.safetensors")
    encoder = load_encoder(name, tmp_path / "clip.safetensors")
    assert (encoder.feature_dim, encoder.grid_dim, encoder.grid_cells) == (OUT, WIDTH, 16)
    config = transformers.CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=WIDTH // 64,
        image_size=SIZE,
        patch_size=PATCH,
        projection_dim=OUT,
        hidden_act={"clip": "quick_gelu", "clip-gelu": "gelu"}[name],
    )
    model = transformers.CLIPVisionModelWithProjection(config).eval()
    state = {key: torch.as_tensor(value) for key, value in tensors.items()}
    missing, unused = model.load_state_dict(state, strict=False)
    assert not unused and all("position_ids" in key for key in missing)
    # Pillow resizes a square the same way in both.
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
    )
    square = PICTURES[1:]
    pixels = processor(square, return_tensors="pt").pixel_values
    ours = encoder.eyes[0].preprocessing.normalise(jnp.asarray(encoder.prepare(square[0])[None]))
    np.testing.assert_allclose(ours[0].transpose(2, 0, 1), pixels[0], atol=1e-5)
    with torch.inference_mode():
        expected = model(pixels, output_hidden_states=True)
    pooled, grid = encoder.encode(square, grid=True)
    assert_close(pooled, expected.image_embeds)
    assert_close(grid, expected.hidden_states[-2][:, 1:])


def test_resnet_is_torchvisions():
    torch, _ = pytorch("torchvision")
    from torchvision.models.resnet import Bottleneck, ResNet

    blocks = (1, 2, 1, 1)
    model = ResNet(Bottleneck, list(blocks)).eval()
    for tensor in model.state_dict().values():
        if tensor.ndim == 1:  # Batch norms that are not the identity.
            tensor.copy_(torch.as_tensor(RNG.uniform(0.5, 1.5, tensor.shape)))
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    assert resnet.file_shapes(blocks).items() <= {k: v.shape for k, v in tensors.items()}.items()
    images = RNG.standard_normal((2, 64, 64, 3), np.float32)
    found = resnet.features(resnet.from_torchvision(tensors, blocks), jnp.asarray(images))
    with torch.inference_mode():
        x = torch.as_tensor(images).permute(0, 3, 1, 2)
        x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
        x = model.layer4(model.layer3(model.layer2(model.layer1(x))))
        expected = x.flatten(2).permute(0, 2, 1)
    assert_close(found.grid, expected)
    assert_close(found.pooled, expected.mean(1))


def test_two_encoders_beside_each_other(tmp_path):
    file = tmp_path / "clip.safetensors"
    save_file(clip_tensors(), file)
    other = tmp_path / "other.safetensors"
    save_file(clip_tensors(), other)
    weights = f"clip={file},clip-gelu={other}"
    both = load_encoder("clip+clip-gelu", weights)
    assert both.name == "clip+clip-gelu"
    assert (both.feature_dim, both.grid_dim, both.grid_cells) == (2 * OUT, 2 * WIDTH, 16)
    pooled, grid = both.encode(PICTURES, grid=True, batch_size=2)
    alone = [
        load_encoder(*pair).encode(PICTURES, grid=True, batch_size=2)
        for pair in (("clip", file), ("clip-gelu", other))
    ]
    assert_close(pooled, np.concatenate([features.pooled for features in alone], -1), 1e-5)
    assert_close(grid, np.concatenate([features.grid for features in alone], -1), 1e-5)
    described = both.describe()
    assert json.loads(json.dumps(described)) == described
    check_same_encoder(described, load_encoder("clip+clip-gelu", weights).describe(), "run")
    swapped = load_encoder("clip+clip-gelu", {"clip": other, "clip-gelu": file}).describe()
    with pytest.raises(ValueError, match=r"run: .* by clip version \w+ \+ clip-gelu version"):
        check_same_encoder(described, swapped, "run")
    with pytest.raises(ValueError, match="grids of 16 of clip and 49 of efficientnet-lite0 cells"):
        load_encoder("clip+efficientnet-lite0", file)


def test_whose_weights_a_file_holds():
    names = ["efficientnet-lite0", "clip"]
    assert split_weights(names, None) == {}
    assert split_weights(["vgg16"], "a=b,c") == {"vgg16": "a=b,c"}
    assert split_weights(names, "a,b") == {"clip": "a,b"}
    assert split_weights(names, Path("clip=a.npz")) == {"clip": Path("a.npz")}
    with pytest.raises(ValueError, match="x: is it of vgg16 or clip.*NAME=FILE"):
        split_weights(["vgg16", "clip"], "x")
    with pytest.raises(ValueError, match="names 'vgg16', which is not in the encoder eff"):
        split_weights(names, {"vgg16": "x"})
    check_grid_of("efficientnet-lite0+efficientnet-lite0-288")
    with pytest.raises(ValueError, match="efficientnet-lite0.vgg16 has no spatial grid"):
        check_grid_of("efficientnet-lite0+vgg16")


def without(tensors, part):
    return {name: tensor for name, tensor in tensors.items() if part not in name}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("clip", lambda t: without(t, "patch_emb"), "patch_embedding.weight is missing; expected"),
        ("clip", lambda t: without(t, "visual_proj"), "visual_projection.weight is missing"),
        (
            "clip",
            lambda t: without(t, "layers.1.self_attn.q_proj.b"),
            r"layers.1.*q_proj.bias is m",
        ),
        ("clip", lambda t: without(t, "layers"), r"layers.0.mlp.fc1.weight is missing"),
        ("clip", lambda t: {k: v[:9] if "position" in k else v for k, v in t.items()}, "square"),
        ("resnet50", lambda t: t, "conv1.weight is missing, expected shape .64, 3, 7, 7."),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path, name, change, message):
    file = tmp_path / "weights.safetensors"
    save_file(change(clip_tensors()), file)
    with pytest.raises(ValueError, match=f"weights.safetensors: .*{message}"):
        load_encoder(name, file)


def test_a_deeper_network_is_told(tmp_path, monkeypatch):
    tensors = {
        name: np.broadcast_to(np.float32(1), shape)
        for name, shape in resnet.file_shapes(resnet.RESNET101).items()
    }
    monkeypatch.setattr(resnet, "read_tensors", lambda path, shapes: tensors)
    monkeypatch.setattr(
        resnet, "read_shapes", lambda path: {k: v.shape for k, v in tensors.items()}
    )
    with pytest.raises(ValueError, match="holds layer3.6.conv1.weight, so it is of a deeper"):
        resnet.load("weights.npz", resnet.RESNET50)


def test_shapes_are_read_without_values(tmp_path):
    arrays = {"a": np.zeros((2, 3)), "b": np.zeros(4, np.float16)}
    save_file(arrays, tmp_path / "x.safetensors")
    np.savez(tmp_path / "x.npz", **arrays)
    for name in ("x.safetensors", "x.npz"):
        assert read_shapes(tmp_path / name) == {"a": (2, 3), "b": (4,)}


def test_two_encoders_prepare_a_data_set(tmp_path):
    file = tmp_path / "clip.safetensors"
    save_file(clip_tensors(), file)
    captions = write_tsv(tmp_path / "captions.tsv", draw_all(tmp_path / "photos", 6))
    config = PreparationConfig(
        images=tmp_path / "photos",
        captions=captions,
        output=tmp_path / "data",
        splits=SplitChoice(val_share=0.3),
        min_count=1,
        encoder="clip+clip-gelu",
        encoder_weights=f"clip={file},clip-gelu={file}",
        batch_size=2,
        grid=True,
    )
    prepare(config)
    data = load_data(tmp_path / "data", placement=Placement(grids=True))
    encoder = load_encoder(config.encoder, config.encoder_weights)
    assert data.encoder == encoder.describe()
    photo = open_image(bytes(data.val.urls[0]).decode().removeprefix("file://"))
    pooled, grid = encoder.encode([photo, photo], grid=True, batch_size=2)
    assert_close(data.val.images.pooled[0], pooled[0])
    assert_close(data.val.images.grid[0], grid[0], 1e-2)
