"""Several models with one vocabulary that decode as one."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcap.decoding.rows import Step


def average_steps(steps: Sequence[Step]) -> Step:
    """Make one step of several models, whose next word has the average of their probabilities.

        p(word) = (p_1(word) + ... + p_M(word)) / M

    Args:
        steps: `step(carry, words) -> (carry, logits)` of M models with the same words under the
            same ids.

    Returns:
        A step over a tuple of the M carries; its logits are log-probabilities.

    Raises:
        ValueError: there is no step, or, when it is called, vocabularies differ in size.
    """
    if not steps:
        raise ValueError("an ensemble needs at least one model")

    def step(
        carries: tuple[Any, ...], words: Int[Array, " R"]
    ) -> tuple[tuple[Any, ...], Float[Array, "R V"]]:
        pairs = [one(carry, words) for one, carry in zip(steps, carries, strict=True)]
        sizes = [logits.shape[1] for _, logits in pairs]
        if len(set(sizes)) > 1:
            raise ValueError(f"the models of an ensemble have vocabularies of {sizes} words")
        each = jnp.stack([jax.nn.log_softmax(logits, axis=1) for _, logits in pairs])
        return tuple(carry for carry, _ in pairs), _log_mean_exp(each)

    return step


def _log_mean_exp(x: Float[Array, "M R V"]) -> Float[Array, "R V"]:
    return jax.nn.logsumexp(x, axis=0) - jnp.log(jnp.array(len(x), x.dtype))
