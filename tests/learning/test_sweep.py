"""Sweeps: every member trains as a run of its own would, whatever the others do."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcap.learning.loop import TrainingConfig, fit, init_state
from jaxcap.learning.optimiser import OptimiserConfig
from jaxcap.learning.sweep import (
    Member,
    Program,
    fit_sweep,
    init_states,
    member_state,
    members,
    parse_sweep,
    stack_numbers,
)
from jaxcap.nn.captioner import CaptionerConfig

MODEL = CaptionerConfig(vocab_size=12, feature_dim=6, wordvec_dim=8, hidden_dim=16)
TRAINING = TrainingConfig(batch_size=8, num_epochs=5, log_every=5, val_captions=7)


def sweep(tiny, found, model=MODEL, training=TRAINING, vectorised=False, trains=None):
    """All of a sweep's progress, each member's last state, and the program."""
    program = Program.of(found, model, training, vectorised)
    progress = list(
        fit_sweep(
            init_states(found, program),
            stack_numbers(found),
            program,
            trains or [tiny.train],
            tiny.val,
        )
    )
    states = [member_state(progress[-1].states, program, i, m) for i, m in enumerate(found)]
    return progress, states


def alone(tiny, member, model=MODEL, training=TRAINING, train=None):
    """The progress of the run that a member is to equal."""
    model, training = member.configure(model, training)
    state = init_state(jax.random.split(jax.random.key(member.seed))[1], model, training)
    return list(fit(state, model, training, train or tiny.train, tiny.val))


def assert_equals_a_run(progress, index, run):
    ours = [p.members[index] for p in progress]
    assert [p.iteration for p in ours] == [p.iteration for p in run]
    np.testing.assert_allclose(
        np.concatenate([p.losses for p in ours]),
        np.concatenate([p.losses for p in run]),
        rtol=1e-5,
    )
    for p, q in zip(ours, run, strict=True):
        assert (p.epoch, p.val is None) == (q.epoch, q.val is None)
        if p.val is not None:
            np.testing.assert_allclose(p.val, q.val, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "training"),
    [
        ({"learning_rate": (1e-3, 1e-2), "lr_decay": (0.5, 0.9)}, {}),
        ({"weight_decay": (0.0, 0.1), "clip_norm": (0.5, 5.0)}, {}),
        ({"label_smoothing": (0.0, 0.2), "dropout": (0.0, 0.3)}, {"order": "shuffle"}),
        (
            {"learning_rate": (1e-3, 1e-2)},
            {"optimiser": OptimiserConfig(lr_schedule="cosine", weight_decay=0.1)},
        ),
    ],
)
def test_a_member_equals_a_run_of_its_own(tiny, values, training):
    training = dataclasses.replace(TRAINING, **training)
    found = members(values, 3, 1)
    chosen = {i: alone(tiny, found[i], MODEL, training) for i in (0, len(found) - 1)}
    for vectorised in (False, True):
        progress, states = sweep(tiny, found, MODEL, training, vectorised)
        for i, run in chosen.items():
            assert_equals_a_run(progress, i, run)
            last = run[-1].state
            assert jax.tree.structure(states[i]) == jax.tree.structure(last)
            for ours, theirs in zip(jax.tree.leaves(states[i]), jax.tree.leaves(last), strict=True):
                assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            assert states[i].key == last.key
            np.testing.assert_allclose(states[i].params["Wx"], last.params["Wx"], atol=1e-5)


@pytest.mark.slow
def test_buckets_at_full_width_are_the_same_minibatches(tiny):
    training = dataclasses.replace(TRAINING, order="buckets")
    found = members({}, 0, 2)
    progress, _ = sweep(tiny, found, training=training, vectorised=True)
    assert_equals_a_run(progress, 1, alone(tiny, found[1], training=training))


@pytest.mark.slow
def test_a_seed_is_that_of_the_command(tiny):
    found = members({}, 5, 3)
    assert [member.seed for member in found] == [5, 6, 7]
    program = Program.of(found, MODEL, TRAINING)
    states = init_states(found, program)
    for i, member in enumerate(found):
        key = jax.random.split(jax.random.key(member.seed))[1]
        expected = init_state(key, MODEL, TRAINING)
        jax.tree.map(
            np.testing.assert_array_equal,
            member_state(states, program, i, member).params,
            expected.params,
        )
    progress, _ = sweep(tiny, found)
    for i, member in enumerate(found):
        assert_equals_a_run(progress, i, alone(tiny, member))
    first = [float(member.losses[0]) for member in progress[0].members]
    assert len(set(first)) == 3


@pytest.mark.slow
def test_members_may_have_captions_of_their_own(tiny):
    found = members({}, 0, 2)
    trains = [
        dataclasses.replace(
            tiny.train, captions=tiny.train.captions[rows], image_idxs=tiny.train.image_idxs[rows]
        )
        for rows in (np.arange(20), np.arange(15, 35))
    ]
    progress, _ = sweep(tiny, found, vectorised=True, trains=trains)
    for i, member in enumerate(found):
        assert_equals_a_run(progress, i, alone(tiny, member, train=trains[i]))


@pytest.mark.slow
@pytest.mark.parametrize("vectorised", [False, True])
def test_one_that_diverges_harms_no_other(tiny, vectorised):
    found = members({"learning_rate": (1e-3, 1e38, 1e-2)}, 0, 1)
    progress, _ = sweep(tiny, found, vectorised=vectorised)
    failures = {i: str(error) for p in progress for i, error in p.failures.items()}
    assert list(failures) == [1]
    assert "iteration" in failures[1] and "try a smaller --learning_rate" in failures[1]
    for i in (0, 2):
        assert_equals_a_run(progress, i, alone(tiny, found[i]))


def test_all_that_diverge_are_an_error(tiny):
    with pytest.raises(FloatingPointError, match="iteration .*: try a smaller --learning_rate"):
        sweep(tiny, members({"learning_rate": (1e38, 2e38)}, 0, 2))


def test_members_are_the_product_of_values_and_seeds():
    found = members(parse_sweep(["learning_rate=1e-3,3e-3,1e-2", "dropout=0,0.5"]), 4, 2)
    assert len(found) == len({member.name for member in found}) == 12
    assert found[0] == Member(4, (("learning_rate", 1e-3), ("dropout", 0.0)))
    assert found[-1].name == "learning_rate=0.01,dropout=0.5,seed=5"
    model, training = found[-1].configure(MODEL, TRAINING)
    assert (model.dropout, training.optimiser.learning_rate) == (0.5, 1e-2)
    assert members({}, 0, 1)[0].name == "seed=0"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["hidden_dim=8,16"], "hidden_dim=8,16 cannot be swept: .*one of learning_rate, lr_decay"),
        (["learning_rate"], "learning_rate: expected numbers with commas between them"),
        (["dropout=a,b"], "dropout=a,b: expected numbers"),
        (["dropout=0.1,0.1"], "gives a value twice"),
        (["dropout=0.1", "dropout=0.2"], "gives dropout twice"),
    ],
)
def test_what_cannot_be_swept_is_said(texts, message):
    with pytest.raises(ValueError, match=message):
        parse_sweep(texts)


@pytest.mark.parametrize(
    ("values", "training", "message"),
    [
        ({"dropout": (0.5, 1.0)}, {}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"learning_rate": (-1.0,)}, {}, "learning_rate must be above 0, got -1.0"),
        ({"dropout": (0.5,)}, {"objective": "cider", "batch_size": 10}, "one captioner at a time"),
        ({"lr_decay": (0.5,)}, {"optimiser": OptimiserConfig(lr_schedule="cosine")}, "no lr_decay"),
    ],
)
def test_settings_that_no_run_could_have_are_refused(values, training, message):
    with pytest.raises(ValueError, match=message):
        Program.of(members(values, 0, 1), MODEL, dataclasses.replace(TRAINING, **training))
