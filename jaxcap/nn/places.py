"""What attention computes of all places of a grid, with little traffic between cache and memory.

Additive attention takes `tanh(keys + query)` of each place, L A numbers an example and step, and
needs only sums of it. A CPU computes tanh faster than it writes and reads such arrays in memory. So
here they are made for a few examples at a time, whose arrays the cache holds; a step then reads
the keys and nothing else of that size. In the backward pass the tanh is computed again: in the
reverse scan for `pulled_back`, and after it for `keys_gradient`, which would otherwise be read and
written at each step.

Axes: N examples, T steps, L places of the grid, A width of the scores.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_CACHED = 2**19
"""Numbers that the cache of a core holds, about: 2 MiB in float32."""


def in_cache(each: Callable[..., Any], size: int, *examples: Array) -> Any:
    """Compute a function of each of N examples that makes arrays of `size` numbers.

    On a CPU a few examples at a time, else all at once.
    """
    N = len(examples[0])
    few = min(N, max(1, _CACHED // size)) if jax.default_backend() == "cpu" else N
    # With a remainder `lax.map` would copy all that it maps over.
    few = max(few for few in range(1, few + 1) if N % few == 0)
    return lax.map(lambda example: each(*example), examples, batch_size=few)


def scores(
    query: Float[Array, "N A"], w_score: Float[Array, " A"], keys: Float[Array, "N L A"]
) -> Float[Array, "N L"]:
    """Compute additive scores, `tanh(keys + query) @ w_score`."""

    def each(query: Float[Array, " A"], keys: Float[Array, "L A"]) -> Float[Array, " L"]:
        return jnp.tanh(keys + query[None]) @ w_score

    return in_cache(each, keys[0].size, query, keys)


def pulled_back(
    dscores: Float[Array, "N L"],
    query: Float[Array, "N A"],
    w_score: Float[Array, " A"],
    keys: Float[Array, "N L A"],
) -> tuple[Float[Array, "N A"], Float[Array, " A"]]:
    """Compute the gradients of the query and of `w_score` from that of the scores."""

    def each(
        dscores: Float[Array, " L"], query: Float[Array, " A"], keys: Float[Array, "L A"]
    ) -> tuple[Float[Array, " A"], Float[Array, " A"]]:
        turned = jnp.tanh(keys + query[None])
        return dscores @ (1 - turned * turned), dscores @ turned

    dquery, dw_score = in_cache(each, keys[0].size, dscores, query, keys)
    return dquery * w_score[None], dw_score.sum(0)


def keys_gradient(
    dscores: Float[Array, "T N L"],
    queries: Float[Array, "T N A"],
    w_score: Float[Array, " A"],
    keys: Float[Array, "N L A"],
) -> Float[Array, "N L A"]:
    """Compute the gradient of the keys from those of the scores of all steps."""

    def each(
        dscores: Float[Array, "T L"], queries: Float[Array, "T A"], keys: Float[Array, "L A"]
    ) -> Float[Array, "L A"]:
        def add(total: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
            dscores, query = step
            turned = jnp.tanh(keys + query[None])
            return total + dscores[:, None] * (1 - turned * turned), None

        return lax.scan(add, jnp.zeros_like(keys), (dscores, queries))[0]

    examples = dscores.swapaxes(0, 1), queries.swapaxes(0, 1), keys
    return in_cache(each, keys[0].size, *examples) * w_score[None, None]
