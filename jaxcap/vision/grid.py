"""Features without a trained network: the colours and edges of a picture, by region.

512 numbers for a picture of any size, in three parts:

- colour, 9 regions x 16: soft histograms of the hue of strongly coloured pixels (12 bins) and of
  the lightness of the others (4 bins);
- edges, 5 regions x 8: the amount of edges in each direction;
- contours, 5 regions x 64, and the whole picture x 8: the share of edges by their turn along the
  contour over a thirty-second of the picture. The regions have bins of direction and turn, the
  whole picture has bins of turn only.

Colour features are independent of shapes. Edges are those of the strongest of the three channels,
clipped where a pixel is no longer dark, so a dark outline gives the same edges around every colour:
shape features are independent of colours. Only the region links the two. A linear read-out trained
on some colours of some shapes therefore generalises to other colours of these shapes. The contour
statistics follow Kobayashi and Otsu, "Image feature extraction using gradient local
auto-correlations" (ECCV 2008), with the offset rotated to the direction of the edge.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

VERSION = "grid-1"
FEATURES = 512

_HUES = 12
_GREYS = 4
_DIRECTIONS = 8
_BLOCKS = 12
_BATCH = 128

# Centres of the regions down and across, and their width, all in sides of the picture.
_NINE = ([(y, x) for y in (1 / 6, 1 / 2, 5 / 6) for x in (1 / 6, 1 / 2, 5 / 6)], 0.12)
_FIVE = ([(0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75), (0.5, 0.5)], 0.14)

_TRACE = 0.01
_VIVID = (0.3, 0.5)
_NO_LONGER_DARK = 0.62
_EDGE = (0.06, 0.26)
_STEP = 1 / 32


# Typical values of the bins, measured once on drawn scenes and rounded. They give every feature
# a mean of about 0 and a spread of about 1, which speeds up training. Hues come first, red to pink,
# then lightness, dark to light. Turns are in eighths of a circle.
_Constants = float | tuple[float, ...]
_COLOUR_MEANS = (*(0.2,) * _HUES, 1.1, 1.6, 3.0, 3.2)
_COLOUR_SPREADS = (*(0.5,) * _HUES, 0.8, 1.4, 1.0, 1.4)
_EDGE_MEAN, _EDGE_SPREAD = 0.09, 0.044
_TURN_MEANS = (0.15, 0.075, 0.05, 0.095, 0.065, 0.025, 0.03, 0.065)
_TURN_SPREADS = (0.09, 0.045, 0.04, 0.05, 0.05, 0.03, 0.03, 0.04)
_WHOLE_MEANS = (0.5, 0.24, 0.18, 0.3, 0.23, 0.11, 0.12, 0.22)
_WHOLE_SPREAD = 0.05


def grid_features(images: UInt8[np.ndarray, "N S S 3"]) -> Float[np.ndarray, "N 512"]:
    """Describe pictures by colour, edge and contour statistics on a grid.

    The features of a picture are a fixed function of it: nothing is fitted, and other pictures in
    the call have no effect. The same picture at two sizes has nearly equal features.

    Args:
        images: (N, S, S, 3) uint8, square RGB pictures of 24 pixels or more a side.

    Returns:
        (N, 512) float32, one row a picture, with values of about unit size.

    Raises:
        ValueError: the pictures have another shape or dtype.
    """
    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise ValueError(f"images have the shape {images.shape}, expected (N, S, S, 3)")
    if images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype}, expected uint8")
    if images.shape[1] < 2 * _BLOCKS:
        raise ValueError(f"images have {images.shape[1]} pixels a side, expected 24 or more")
    features = np.empty((len(images), FEATURES), np.float32)
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        features[start : start + _BATCH] = np.concatenate(list(_parts(batch)), axis=1)
    return features


def _parts(images: np.ndarray) -> Iterator[np.ndarray]:
    colours = np.log1p(_regions(_colours(images), *_NINE) / _TRACE)
    yield _scaled(colours, _COLOUR_MEANS, _COLOUR_SPREADS)
    edges, turns = _contours(images)
    yield _scaled(np.sqrt(_regions(edges, *_FIVE)), _EDGE_MEAN, _EDGE_SPREAD)
    shares = np.sqrt(_shares(_regions(turns, *_FIVE)))
    by_turn = (len(images), -1, _DIRECTIONS, _DIRECTIONS)
    yield _scaled(shares.reshape(by_turn), _TURN_MEANS, _TURN_SPREADS)
    whole = np.sqrt(_shares(turns.mean(1).reshape(by_turn).sum((1, 2))))
    yield _scaled(whole, _WHOLE_MEANS, _WHOLE_SPREAD)


def _shares(amounts: np.ndarray) -> np.ndarray:
    """Divide by the sum, so that the number and the size of things have no effect."""
    return amounts / (amounts.sum(-1, keepdims=True) + 0.02)


def _scaled(features: np.ndarray, mean: _Constants, spread: _Constants) -> np.ndarray:
    scaled = (features - np.asarray(mean, np.float32)) / np.asarray(spread, np.float32)
    return scaled.reshape(len(features), -1)


def _colours(images: np.ndarray) -> np.ndarray:
    """Return the share of every block's pixels in each of 16 colours, (N, blocks, 16)."""
    stride = max(1, images.shape[1] // 64)
    x = images[:, ::stride, ::stride].astype(np.float32) / 255
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    chroma = high - low
    safe = np.maximum(chroma, 1e-6)
    hue = np.where(
        high == red,
        (green - blue) / safe % 6,
        np.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    vivid = _ramp(chroma, *_VIVID)
    places = _block_numbers(*x.shape[:3])
    hues = _soft_histogram(places, hue * (_HUES / 6), _HUES, vivid, cyclic=True)
    lightness = np.clip((high + low) / 2 * _GREYS - 0.5, 0, _GREYS - 1)
    greys = _soft_histogram(places, lightness, _GREYS, 1 - vivid, cyclic=False)
    shares = np.concatenate([hues, greys], axis=1) / (x.shape[1] ** 2 / _BLOCKS**2)
    return shares.reshape(len(images), _BLOCKS**2, _HUES + _GREYS).astype(np.float32)


def _contours(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return edges by direction and contours by direction and turn, (N, blocks, 8 or 64)."""
    count, side = images.shape[:2]
    red, green, blue = np.moveaxis(images, -1, 0)
    highest = np.maximum(np.maximum(red, green), blue)
    value = np.minimum(highest.astype(np.float32) / 255, _NO_LONGER_DARK)
    across, down = np.zeros_like(value), np.zeros_like(value)
    across[:, :, 1:-1] = value[:, :, 2:] - value[:, :, :-2]
    down[:, 1:-1] = value[:, 2:] - value[:, :-2]
    strength = _ramp(np.hypot(across, down), *_EDGE)
    n, y, x = np.nonzero(strength)
    angle = np.arctan2(down[n, y, x], across[n, y, x])
    direction = np.round(angle * (_DIRECTIONS / (2 * np.pi))).astype(np.int64) % _DIRECTIONS
    directions = np.zeros(value.shape, np.int64)
    directions[n, y, x] = direction

    turned = 2 * np.pi / _DIRECTIONS * np.arange(_DIRECTIONS)
    step = max(1, round(side * _STEP))
    ahead_y = np.clip(y + np.round(step * np.cos(turned)).astype(np.int64)[direction], 0, side - 1)
    ahead_x = np.clip(x - np.round(step * np.sin(turned)).astype(np.int64)[direction], 0, side - 1)
    turn = (directions[n, ahead_y, ahead_x] - direction) % _DIRECTIONS
    both = np.minimum(strength[n, y, x], strength[n, ahead_y, ahead_x])

    blocks = count * _BLOCKS**2
    place = _block_numbers(count, side, side)[n, y, x]
    edges = _histogram(place * _DIRECTIONS + direction, strength[n, y, x], blocks * _DIRECTIONS)
    bins = (place * _DIRECTIONS + direction) * _DIRECTIONS + turn
    turns = _histogram(bins, both, blocks * _DIRECTIONS**2)
    area = side**2 / _BLOCKS**2
    return (
        edges.reshape(count, _BLOCKS**2, -1) / area,
        turns.reshape(count, _BLOCKS**2, -1) / area,
    )


def _ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 below `low`, 1 above `high` and a straight line between."""
    return np.clip((x - low) / (high - low), 0, 1)


def _block_numbers(count: int, height: int, width: int) -> np.ndarray:
    """Return the block number of each pixel, counted across all pictures, (N, H, W)."""
    rows = np.arange(height) * _BLOCKS // height
    columns = np.arange(width) * _BLOCKS // width
    within = rows[:, None] * _BLOCKS + columns
    return np.arange(count)[:, None, None] * _BLOCKS**2 + within


def _histogram(bins: np.ndarray, weights: np.ndarray, length: int) -> np.ndarray:
    return np.bincount(bins.ravel(), weights.ravel(), length).astype(np.float32)


def _soft_histogram(
    places: np.ndarray, position: np.ndarray, bins: int, weights: np.ndarray, *, cyclic: bool
) -> np.ndarray:
    """Split each pixel's weight between the two bins next to its position, (places, bins)."""
    below = np.floor(position).astype(np.int64)
    part = position - below
    above = (below + 1) % bins if cyclic else np.minimum(below + 1, bins - 1)
    length = (int(places.max()) + 1) * bins
    total = _histogram(places * bins + below % bins, weights * (1 - part), length)
    total += _histogram(places * bins + above, weights * part, length)
    return total.reshape(-1, bins)


def _regions(blocks: np.ndarray, centres: list[tuple[float, float]], width: float) -> np.ndarray:
    """Average blocks under a Gaussian window around each centre, (N, regions, K)."""
    middles = (np.arange(_BLOCKS) + 0.5) / _BLOCKS
    windows = []
    for centre in centres:
        down, across = (np.exp(-0.5 * ((middles - at) / width) ** 2) for at in centre)
        window = np.outer(down, across)
        windows.append((window / window.sum()).ravel())
    return np.matmul(np.array(windows, np.float32), blocks)
