"""What a configuration trains and what trains it, alone or stacked for the members of a sweep."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from jaxcap.data.dataset import Dataset
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.objective import Likelihood
from jaxcap.learning.optimiser import Hyper, make_optimiser
from jaxcap.learning.reward import CiderD, CiderReward
from jaxcap.learning.scheduled_sampling import sampling_schedule
from jaxcap.learning.step import Loss, TrainState, init_state
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import Params


class Learner(NamedTuple):
    """The first arguments of `fit`: `fit(*learner, data.train, training)`."""

    state: TrainState
    loss: Loss
    optimiser: optax.GradientTransformation


def make_learner(
    model: CaptionerConfig,
    training: TrainingConfig,
    data: Dataset,
    key: Array,
    *,
    hyper: Hyper | None = None,
    params: Params | None = None,
) -> Learner:
    """Make what a run of these configurations starts with.

    Args:
        model: shape of the captioner.
        training: how to train.
        data: the data set; its training captions are counted, and are the references of
            `objective="cider"`.
        key: random key of the state.
        hyper: hyperparameters, if they are not those of the configurations.
        params: parameters to start from; drawn from `key` if left out.
    """
    hyper = hyper or Hyper.of(model, training)
    steps_per_epoch = training.steps_per_epoch(data.train.num_captions)
    optimiser = make_optimiser(
        training.optimiser,
        hyper,
        steps_per_epoch=steps_per_epoch,
        num_epochs=training.num_epochs,
    )
    # Its dropout is in `hyper`, so that the program does not depend on it.
    model = replace(model, dropout=0.0)
    if training.objective == "cider":
        loss = CiderReward(
            model, data.vocabulary, CiderD(data), training.samples, hyper.regularisation
        )
    else:
        loss = Likelihood(model, hyper.regularisation)
        if training.scheduled_sampling and hyper.sampling_rate is not None:
            num_steps, rate = training.num_epochs * steps_per_epoch, float(hyper.sampling_rate)
            schedule = sampling_schedule(training.scheduled_sampling, rate, num_steps)
            loss = replace(loss, sampling=schedule)
    return Learner(init_state(key, model, optimiser, params), loss, optimiser)


def stack(learners: Sequence[Learner]) -> Learner:
    """Stack K learners, so that `fit` trains them together.

    They may differ in arrays and numbers, and in nothing else.
    """
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(x) for x in leaves]), *learners)


def member_state(states: TrainState, index: int, like: TrainState) -> TrainState:
    """Take the state of one of K members, with the structure of `like`.

    A sweep's optimiser may have terms without a state that a run of the member alone has not.
    """
    leaves = [leaf[index] for leaf in jax.tree.leaves(states)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
