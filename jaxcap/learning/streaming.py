"""Training on grids that are read from a file while the device computes.

The captions and pooled features are on the device. The grids of the next minibatches are read by a
background thread, which puts them on the device: each process reads only the part of its devices.
A few minibatches are one program. What they hold is drawn for a whole epoch, by the same keys as in
memory, so that neither reading ahead nor a resumed run changes the order.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from jaxcap.data.batches import Batch, CaptionSet, draw_rows, ordered_by, shared_images
from jaxcap.data.grids import Grids
from jaxcap.data.sharded import read_sharded
from jaxcap.learning.call import Call, as_pytree
from jaxcap.learning.sharding import BATCH, gather_over_batch
from jaxcap.learning.step import Loss, Steps, StepsResult, TrainState, all_finite, train_step
from jaxcap.nn.products import matmul_precision

_AHEAD = 2
"""Minibatches that are read before they are asked for."""
_TOGETHER = 4
"""Minibatches of a program at most. Its working memory is allocated anew each time that it runs,
which took a tenth of a step with attention where each minibatch was a program."""

NEEDS_MEMORY = (
    "`sweep` and `seeds` need the grids of the images in memory: give a `grid_memory` that holds "
    "them, or train one captioner at a time"
)


class Drawn(NamedTuple):
    """What a minibatch holds; or what those of an epoch hold, on a first axis."""

    images: Int[Array | np.ndarray, "*S U"]
    """Rows of the images whose grids are read."""
    captions: Int[Array | np.ndarray, "*S N"] | None = None
    """Rows of the captions."""
    places: Int[Array | np.ndarray, "*S N"] | None = None
    """The place among `images` of each caption's; None if caption n is of image n."""


class Minibatch(NamedTuple):
    """A minibatch and the grids of its images, which are on the device."""

    drawn: Drawn
    grid: Float[Array, "U L C"]


class Stream:
    """The minibatches of a run, whose grids are read ahead, to the end of an epoch.

    Args:
        grids: the grids in their file.
        call: of a whole epoch; where it has a layout, minibatches are split as that says.

    Attributes:
        per_epoch: minibatches of an epoch.
    """

    def __init__(self, grids: Grids, call: Call):
        self.per_epoch = call.count
        self._grids = grids
        self._sharding = None if call.layout is None else call.layout.rows
        self._ahead: Any = None

    def shape(self, images: int) -> jax.ShapeDtypeStruct:
        """Describe the grids of a minibatch of so many images."""
        shape = (images, *self._grids.shape[1:])
        return jax.ShapeDtypeStruct(shape, self._grids.dtype, sharding=self._sharding)

    def minibatches(
        self, first: int, count: int, draw: Callable[[int], Drawn]
    ) -> Iterator[Minibatch]:
        """Give the next minibatches.

        Args:
            first: number of the first one, from the begin of the run.
            count: how many, all of one epoch.
            draw: gives what the minibatches of the epoch hold that begins with the given number.

        Raises:
            ValueError: a grid holds NaN or infinity; the message names the row.
            OSError: the file is broken.
        """
        # Where jaxcap is imported for anything else, this would cost seconds.
        import grain

        done = first % self.per_epoch
        if self._ahead is None or done == 0:
            self.close()
            epoch = jax.tree.map(np.asarray, draw(first - done))
            numbers = grain.MapDataset.source(range(done, self.per_epoch))
            options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=_AHEAD)
            self._ahead = iter(numbers.map(partial(self._read, epoch)).to_iter_dataset(options))
        for _ in range(count):
            yield next(self._ahead)

    def _read(self, epoch: Drawn, number: int) -> Minibatch:
        drawn = jax.tree.map(lambda rows: rows[number], epoch)
        images = drawn.images
        if self._sharding is None:
            return Minibatch(drawn, jax.device_put(self._grids.read(images), may_alias=True))
        shape = self.shape(len(images))
        read = read_sharded(
            shape.shape, shape.dtype, self._sharding, lambda a, b: self._grids.read(images[a:b])
        )
        return Minibatch(drawn, read)

    def close(self) -> None:
        """Stop reading."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None


def compile_steps(
    state: TrainState,
    data: CaptionSet,
    loss: Loss,
    optimiser: optax.GradientTransformation,
    call: Call,
    stream: Stream,
) -> Steps:
    """Compile what trains on the next `call.count` minibatches, with grids from a stream.

    Arguments and result are those of `jaxcap.learning.loop.compile_steps`.

    Raises:
        ValueError: there are several members.
    """
    if state.step.ndim:
        raise ValueError(NEEDS_MEMORY)
    learner = as_pytree((loss, optimiser))
    whole_epoch = partial(_draw, state.key, data, call=call, count=stream.per_epoch)
    drawn = jax.tree.map(
        lambda rows: jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype),
        jax.eval_shape(whole_epoch, 0),
    )
    minibatch: Any = Minibatch(*(drawn, stream.shape(drawn.images.shape[0])))  # pyright: ignore
    compiled = {
        num: _train_on.lower(state, data, (minibatch,) * num, *learner, call=call).compile()
        for num in {min(_TOGETHER, call.count), call.count % _TOGETHER} - {0}
    }

    def steps(state: TrainState, data: CaptionSet) -> tuple[TrainState, StepsResult]:
        losses = []
        draw = partial(_draw, state.key, data, call=call, count=stream.per_epoch)
        minibatches = stream.minibatches(int(state.step), call.count, draw)
        while some := tuple(islice(minibatches, _TOGETHER)):
            # None waits for the device, for all that wait take memory.
            for before in losses[-1:]:
                before.block_until_ready()
            state, values = compiled[len(some)](state, data, some, *learner)
            losses.append(values)
        return state, _result(losses, state.params, call=call)

    return steps


@partial(jax.jit, static_argnames=("call", "count"))
def _draw(key: Array, data: CaptionSet, first: int | Array, *, call: Call, count: int) -> Drawn:
    """Draw what the minibatches of an epoch hold, whole on every device."""
    order, image_idxs = ordered_by(data, call.order), data.image_idxs
    if call.layout is not None:
        order, image_idxs = call.layout.pin((order, image_idxs))
    order = order[: call.num_captions]
    first = jnp.asarray(first, jnp.int32)
    key = jax.random.fold_in(key, 0)
    captions = draw_rows(key, order, call.batch_size, first, count, call.order)
    images, places = image_idxs[captions], None
    if call.most_images is not None:
        shared = partial(shared_images, most_images=call.most_images)
        images, places = jax.vmap(shared)(images)
    drawn = Drawn(images, captions, places)
    return drawn if call.layout is None else call.layout.pin(drawn)


@partial(jax.jit, static_argnames="call", donate_argnames="state")
def _train_on(
    state: TrainState,
    data: CaptionSet,
    minibatches: tuple[Minibatch, ...],
    loss: Loss,
    optimiser: optax.GradientTransformation,
    *,
    call: Call,
) -> tuple[TrainState, Float[Array, " S"]]:
    scan, layout = partial(_scan, call=call), call.layout
    if layout is None:
        return scan(state, data, minibatches, loss, optimiser)
    if layout.batch_shards > 1:
        each: Any = (Minibatch(P(), P(BATCH)),) * len(minibatches)  # pyright: ignore[reportArgumentType]
        scan = layout.over_batch(partial(scan, axis=BATCH), (P(), P(BATCH), each, P(), P()))
    state, values = scan(layout.pin(state), data, minibatches, loss, optimiser)
    return layout.pin(state), layout.pin(values)


def _scan(
    state: TrainState,
    data: CaptionSet,
    minibatches: tuple[Minibatch, ...],
    loss: Loss,
    optimiser: optax.GradientTransformation,
    *,
    call: Call,
    axis: str | None = None,
) -> tuple[TrainState, Float[Array, " S"]]:
    """Train on minibatches; with an axis, on the parts whose grids these are."""
    loss = call.computed(loss, data.captions.shape[1], axis)

    def body(state: TrainState, minibatch: Any) -> tuple[TrainState, Array]:
        drawn, grid = minibatch
        if axis is None:
            captions = data.captions[drawn.captions]
            batch = Batch(data.images.at(drawn.images), captions, rows=drawn.places)
        else:
            batch = gather_over_batch(data, drawn.captions)
        batch = batch._replace(image=batch.image._replace(grid=grid))
        return train_step(state, batch, loss, optimiser, axis=axis)

    with matmul_precision(call.matmul_precision):
        return lax.scan(body, state, jax.tree.map(lambda *each: jnp.stack(each), *minibatches))


@partial(jax.jit, static_argnames="call")
def _result(losses: list[Array], params: Any, *, call: Call) -> StepsResult:
    result = StepsResult(jnp.concatenate(losses), all_finite(params))
    return result if call.layout is None else call.layout.pin(result)
