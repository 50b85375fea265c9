"""The layout of training over devices: a mesh with an axis for the batch and one for the words.

    axis     sharded over it
    batch    a minibatch's captions; the captions, image indices and features of the training split
    vocab    W_vocab by columns, b_vocab and W_embed by rows, and what the optimiser keeps of them

All else is on every device. The batch is sharded by hand (`jax.shard_map`), so that each device
runs the same program as one alone would, on its captions, and a step exchanges what is written
here and nothing else: the minibatch's rows, gathered from the devices that hold them, and the mean
of the gradients. The vocabulary is left to XLA's partitioner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int

from jaxcap.data.batches import Batch, CaptionSet
from jaxcap.learning.config import TrainingConfig

BATCH, VOCAB = "batch", "vocab"
_PARAMETER_SPECS = {"W_vocab": P(None, VOCAB), "b_vocab": P(VOCAB), "W_embed": P(VOCAB, None)}

T = TypeVar("T")


@dataclass(frozen=True)
class Layout:
    """A mesh of devices with the axes "batch" and "vocab"; hashable, static under `jit`."""

    mesh: Mesh

    @classmethod
    def of(cls, array: Any) -> "Layout | None":
        """Read the layout of an array that `place` or `rows` laid out; None for any other."""
        mesh = getattr(getattr(array, "sharding", None), "mesh", None)
        return cls(mesh) if isinstance(mesh, Mesh) and mesh.axis_names == (BATCH, VOCAB) else None

    @property
    def batch_shards(self) -> int:
        """How many parts a minibatch and the training split are in."""
        return self.mesh.shape[BATCH]

    @property
    def rows(self) -> NamedSharding:
        """Of arrays whose rows are split over the batch axis."""
        return NamedSharding(self.mesh, P(BATCH))

    @property
    def everywhere(self) -> NamedSharding:
        """Of arrays that every device holds whole."""
        return NamedSharding(self.mesh, P())

    def check_vocabulary(self, words: int) -> None:
        """Refuse a vocabulary that does not divide over its axis.

        Raises:
            ValueError: it does not; the message names both numbers.
        """
        shards = self.mesh.shape[VOCAB]
        if words % shards:
            raise ValueError(
                f"`vocab_shards={shards}` does not divide the vocabulary of {words} words: give a "
                f"divisor of both it and the number of devices, or leave it out"
            )

    def shardings(self, tree: T) -> T:
        """Give the sharding of each array of a `TrainState`, parameters or optimiser state."""

        def sharding(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
            del leaf
            names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
            return NamedSharding(self.mesh, _PARAMETER_SPECS.get(names[-1] if names else "", P()))

        return jax.tree_util.tree_map_with_path(sharding, tree)

    def place(self, tree: T) -> T:
        """Lay out such a tree; every process holds the same values."""
        return jax.tree.map(put, tree, self.shardings(tree))

    def pin(self, tree: T) -> T:
        """Keep the layout of such a tree within a jitted function."""
        return jax.tree.map(lax.with_sharding_constraint, tree, self.shardings(tree))

    def whole(self, tree: T) -> T:
        """Gather each array whole on this process's default device; all processes call it."""
        everywhere = jax.tree.map(lambda _: self.everywhere, tree)
        gathered = jax.jit(_same, out_shardings=everywhere)(tree)
        return jax.tree.map(lambda x: x.addressable_data(0), gathered)

    def over_batch(
        self, function: Callable[..., Any], in_specs: tuple[Any, ...]
    ) -> Callable[..., Any]:
        """Run a function on every part of the batch axis, within `jit`; there are several parts.

        Args:
            function: of arrays; what it returns must be the same on all parts.
            in_specs: `P("batch")` for arguments whose rows it gets a part of, `P()` for others.
        """
        # Values that vary over the batch are brought together by hand, as `mean_over_batch` does.
        return jax.shard_map(
            function,
            mesh=self.mesh,
            in_specs=in_specs,
            out_specs=P(),
            axis_names={BATCH},
            check_vma=False,
        )


def make_layout(
    training: TrainingConfig,
    *,
    batch_shards: int | None = None,
    vocab_shards: int = 1,
) -> Layout | None:
    """Lay training out over the devices of all processes.

    Args:
        training: how to train; `objective="cider"` takes one device of several.
        batch_shards: parts of the batch axis; None for as many as there are devices for.
        vocab_shards: parts of the vocabulary axis.

    Returns:
        The layout, or None where it is one device, which needs none.

    Raises:
        ValueError: the batch or the devices do not divide; the message names both numbers.
    """
    batch_size = training.batch_size
    if training.objective == "cider" and jax.process_count() == 1:
        batch_shards = batch_shards or 1
    devices = jax.devices()
    found = f"{len(devices)} devices" if len(devices) > 1 else "1 device"
    if len(devices) % vocab_shards:
        raise ValueError(
            f"`vocab_shards={vocab_shards}` does not divide the {found}: give one of "
            f"{_divisors(len(devices))}"
        )
    room = len(devices) // vocab_shards
    asked = batch_shards is not None
    batch_shards = batch_shards or room
    used = batch_shards * vocab_shards
    if used > len(devices):
        raise ValueError(
            f"`batch_shards={batch_shards}` times `vocab_shards={vocab_shards}` is {used}, but JAX "
            f"has {found}: give `batch_shards={room}` or less"
        )
    if used < len(devices) and jax.process_count() > 1:
        raise ValueError(
            f"`batch_shards={batch_shards}` times `vocab_shards={vocab_shards}` is {used}, but "
            f"{jax.process_count()} processes have {found}, and all must be used: leave out "
            "`batch_shards` or start fewer processes"
        )
    if batch_size % batch_shards:
        fewer = max(n for n in _divisors(batch_size) if n <= batch_shards)
        more = -(-batch_size // batch_shards) * batch_shards
        over = f"`batch_shards={batch_shards}`" if asked else f"{batch_shards} shards of {found}"
        raise ValueError(
            f"`batch_size={batch_size}` does not divide over {over}: give `batch_size={more}`"
            + ("" if jax.process_count() > 1 else f", or `batch_shards={fewer}`")
        )
    if used == 1:
        return None
    mesh = jax.make_mesh(
        (batch_shards, vocab_shards),
        (BATCH, VOCAB),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices[:used],
    )
    return Layout(mesh)


def put(x: Array | np.ndarray, sharding: NamedSharding) -> Array:
    """Lay out an array; every process holds the same values."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = put(jax.random.key_data(x), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    value = np.asarray(x)
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])


def gather_over_batch(data: CaptionSet, rows: Int[Array, " N"]) -> Batch:
    """Gather this part's share of a minibatch from a data set split over the batch axis.

    Each part gives the rows that it holds and zeros for the others, and their sum is scattered
    over the parts.

    Args:
        data: this part's rows.
        rows: of the whole minibatch, in the whole data set; the same on all parts.

    Returns:
        N / parts captions and their images.
    """
    images = lax.psum(_held(data.image_idxs, rows), BATCH)

    def scatter(values: Array) -> Array:
        return lax.psum_scatter(values, BATCH, scatter_dimension=0, tiled=True)

    return Batch(
        image=jax.tree.map(lambda part: scatter(_held(part, images)), data.images),
        captions=scatter(_held(data.captions, rows)),
    )


def _held(part: Array, rows: Int[Array, " N"]) -> Array:
    """Take the rows that this part holds, zeros elsewhere."""
    at = rows - lax.axis_index(BATCH) * len(part)
    held = (at >= 0) & (at < len(part))
    values = part[jnp.clip(at, 0, len(part) - 1)]
    return jnp.where(held.reshape(-1, *[1] * (part.ndim - 1)), values, jnp.zeros_like(values))


def all_over_batch(part: Array) -> Array:
    """Concatenate the parts of all devices of the batch axis."""
    return lax.all_gather(part, BATCH, tiled=True)


def mean_over_batch(tree: T) -> T:
    """Average what the parts of the batch axis hold."""
    return lax.pmean(tree, BATCH)


def _same(tree: T) -> T:
    return tree


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]
