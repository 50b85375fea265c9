"""Each file of a checkpoint damaged in turn: what is restored is what was saved, or it is said.

Restoring gives exactly what was saved, or an older checkpoint, exactly and with a warning that
names the newer, or one error that names the folder.
"""

import gc
import random
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_checkpoints import INFO, assert_same, state_at

from jaxcap.learning.checkpoints import Checkpoints, Validation

# Where one array cannot be read, Orbax drops the reads of the others without awaiting them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def dropped_reads():
    """Let go of those reads here, and not within whatever test comes next."""
    yield
    gc.collect()


OLDER, NEWEST = 4, 8
LOSSES = {OLDER: 5.25, NEWEST: 4.125}


def truncate(content, rng):
    return content[: rng.randrange(len(content))]


def empty(content, rng):
    del content, rng
    return b""


def flip(content, rng):
    """One bit."""
    flipped = bytearray(content)
    flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def delete(content, rng):
    del content, rng


def params_at(step, dtype):
    return {name: value.astype(dtype) for name, value in state_at(step, seed=step).params.items()}


@pytest.fixture
def folder(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", create=True)
    for step, loss in LOSSES.items():
        checkpoints.save(state_at(step, seed=step), INFO, Validation(loss))
    return tmp_path / "run"


@pytest.fixture
def exported(tmp_path):
    checkpoints = Checkpoints(tmp_path / "exported", create=True)
    for step, loss in LOSSES.items():
        params = params_at(step, jnp.float16)
        checkpoints.save_captioner(step, params, INFO, Validation(loss))
    return tmp_path / "exported"


def load_state(checkpoints, step):
    state = checkpoints.load_state(step, state_at(0))
    return state, checkpoints.load_info(step), checkpoints.load_validation(step)


def load_captioner(checkpoints, step):
    params, info = checkpoints.load_params(step)
    return params, info, checkpoints.load_validation(step)


def expected_state(step):
    return state_at(step, seed=step)


def expected_captioner(step):
    # As they are restored: the float32 of the same value.
    return {name: x.astype(jnp.float32) for name, x in params_at(step, jnp.float16).items()}


def restored(folder, load, expected, best):
    """What became of the newest checkpoint: exact, older or refused; anything else fails."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        checkpoints = Checkpoints(folder)
        try:
            step, (arrays, info, validation) = checkpoints.load_newest(
                lambda step: load(checkpoints, step), best=best
            )
        except (OSError, ValueError) as error:
            assert str(folder) in str(error)
            return "refused"
    assert_same(arrays, expected(step))
    assert (info, validation) == (INFO, Validation(LOSSES[step]))
    if step == NEWEST:
        return "exact"
    assert step == OLDER
    texts = [str(warning.message) for warning in warned]
    assert any(f"{folder / str(NEWEST)}: " in text for text in texts), texts
    return "older"


def damaged(folder, damage, rng, load, expected, *, best=False):
    """Damage each file of the newest checkpoint in turn, and count what became of it."""
    counts = {"exact": 0, "older": 0, "refused": 0}
    files = sorted(path for path in (folder / str(NEWEST)).rglob("*") if path.is_file())
    for path in files:
        whole = path.read_bytes()
        content = damage(whole, rng)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        try:
            counts[restored(folder, load, expected, best)] += 1
        except Exception as error:
            error.add_note(f"{damage.__name__} {path.relative_to(folder)}")
            raise
        path.write_bytes(whole)
    assert restored(folder, load, expected, best) == "exact"
    return counts


@pytest.mark.parametrize(
    "damage",
    [pytest.param(truncate, marks=pytest.mark.slow), empty, flip, delete],
)
def test_a_run_goes_on_from_what_was_saved(folder, damage):
    counts = damaged(folder, damage, random.Random(0), load_state, expected_state)
    assert counts["refused"] == 0
    assert counts["older"] > 5


@pytest.mark.parametrize(
    "damage",
    [truncate, *(pytest.param(damage, marks=pytest.mark.slow) for damage in (empty, flip, delete))],
)
def test_the_best_captioner_is_one_that_was_saved(exported, damage):
    counts = damaged(
        exported, damage, random.Random(0), load_captioner, expected_captioner, best=True
    )
    assert counts["refused"] == 0
    assert counts["older"] > 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_wherever_a_file_is_cut_or_flipped(folder, exported, seed):
    rng = random.Random(seed)
    for damage in (truncate, flip):
        damaged(folder, damage, rng, load_state, expected_state)
        damaged(exported, damage, rng, load_captioner, expected_captioner, best=True)


@pytest.mark.slow
@pytest.mark.parametrize("item", ["info", "validation"])
def test_every_byte_of_the_json_counts(folder, item):
    """A bit of each byte, so that neither a word nor a number changes unseen."""
    path = folder / str(NEWEST) / item / "metadata"
    whole, rng = path.read_bytes(), random.Random(0)
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            checkpoints = Checkpoints(folder)
            found = checkpoints.load_info(NEWEST), checkpoints.load_validation(NEWEST)
        except Exception:  # noqa: BLE001  What is refused is not loaded.
            continue
        assert found == (INFO, Validation(LOSSES[NEWEST])), place


def test_a_changed_number_is_refused_by_its_checksum(folder):
    """The JSON is whole, and another number stands in it."""
    path = folder / str(NEWEST) / "validation" / "metadata"
    path.write_text(path.read_text().replace("4.125", "3.125"))
    with pytest.warns(UserWarning, match="run/8: .*the item validation is not what was saved"):
        assert Checkpoints(folder).best() == (OLDER, LOSSES[OLDER])


def test_a_changed_word_is_refused_by_its_checksum(folder):
    path = folder / str(NEWEST) / "info" / "metadata"
    path.write_text(path.read_text().replace('"cat"', '"cot"'))
    checkpoints = Checkpoints(folder)
    with pytest.warns(UserWarning, match="run/8: .*the item info is not what was saved"):
        step, info = checkpoints.load_newest(checkpoints.load_info)
    assert (step, info) == (OLDER, INFO)


def test_changed_arrays_are_refused_by_their_checksum(folder):
    """A whole and readable item in the place of another."""
    ours, others = (folder / str(step) / "params" for step in (NEWEST, OLDER))
    ours.rename(folder / "aside")
    others.rename(ours)
    checkpoints = Checkpoints(folder)
    with pytest.raises(ValueError, match="the item params is not what was saved"):
        checkpoints.load_params(NEWEST)
    with pytest.raises(ValueError, match="the item params is not what was saved"):
        checkpoints.load_state(NEWEST, state_at(0))


def test_a_checkpoint_without_checksums_is_read(folder):
    """As those are that were written before there were any."""
    path = folder / str(NEWEST) / "info" / "metadata"
    described, _, _ = path.read_text().partition(', "checksums"')
    path.write_text(described + "}")
    checkpoints = Checkpoints(folder)
    assert_same(checkpoints.load_state(NEWEST, state_at(0)), expected_state(NEWEST))
    assert checkpoints.load_info(NEWEST) == INFO
    assert checkpoints.best() == (NEWEST, LOSSES[NEWEST])


def test_half_precision_is_restored_exactly(exported):
    params, _ = Checkpoints(exported).load_params(NEWEST)
    for name, value in params_at(NEWEST, jnp.float16).items():
        np.testing.assert_array_equal(params[name], value.astype(jnp.float32))
