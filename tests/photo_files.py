"""Small pictures, caption files and an encoder for the tests of preparing and captioning."""

import json
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from jaxcap.vision.encoder import Features

COLOURS = ["red", "green", "blue", "white", "black", "yellow", "orange", "purple"]


def draw(path, colour, size=(12, 8)):
    """Write a picture of one colour with some noise, so that no two are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    base = np.asarray(Image.new("RGB", size, colour)).astype(int)
    noise = np.random.default_rng(list(path.name.encode())).integers(-40, 40, base.shape)
    Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8)).save(path)


def draw_all(folder, count, size=(12, 8)):
    """Write `count` pictures, and give their names and captions by name."""
    captions = {}
    for i in range(count):
        colour, name = COLOURS[i % len(COLOURS)], f"{i:03}.png"
        draw(folder / name, colour, size)
        captions[name] = [f"A {colour} picture.", f"a picture, all {colour}"]
    return captions


def write_karpathy(path, captions, splits):
    """Write Karpathy's form; `splits` is a function of an image's place."""
    images = [
        {"filename": name, "split": splits(i), "sentences": [{"raw": text} for text in texts]}
        for i, (name, texts) in enumerate(captions.items())
    ]
    path.write_text(json.dumps({"images": images}), encoding="utf-8")
    return path


def write_tsv(path, captions):
    lines = [f"{name}\t{text}\n" for name, texts in captions.items() for text in texts]
    path.write_text("".join(lines), encoding="utf-8")
    return path


@dataclass
class TinyEncoder:
    """Means and deviations of the colours, counted in `pictures`; fails on batch `fails_at`.

    Its grid has them of each quarter, times `scale`.
    """

    version: str = "1"
    fails_at: int | None = None
    pictures: int = 0
    batches: list = field(default_factory=list)
    feature_dim: int = 6
    grid_cells: int = 4
    grid_dim: int = 6
    scale: float = 1.0

    def describe(self):
        return {"name": "tiny", "version": self.version, "preprocessing": {"size": 4}}

    def prepare(self, image):
        return np.array(Image.fromarray(image).resize((4, 4)))

    def encode_prepared(self, images, *, grid=False, batch_size=32):
        if len(self.batches) == self.fails_at:
            raise RuntimeError("the lights went out")
        assert len(images) <= batch_size
        self.batches.append(len(images))
        self.pictures += len(images)
        pixels = images.astype(np.float32) / 255
        pooled = np.hstack([pixels.mean((1, 2)), pixels.std((1, 2))])
        quarters = [pixels[:, i : i + 2, j : j + 2] for i in (0, 2) for j in (0, 2)]
        vectors = [np.hstack([q.mean((1, 2)), q.std((1, 2))]) for q in quarters]
        return Features(pooled, np.stack(vectors, 1) * np.float32(self.scale) if grid else None)
