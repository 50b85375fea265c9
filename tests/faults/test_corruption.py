"""Each file of a checkpoint damaged in turn: what is restored is what was saved, or it is said.

Restoring gives exactly what was saved, or an older checkpoint, exactly and with a warning that
names the newer, or one error that names the folder.
"""

import gc
import random
import warnings

import jax
import jax.numpy as jnp
import pytest
from tiny_checkpoints import INFO, assert_same, state_at

from jaxcap.learning.checkpoint_info import Validation
from jaxcap.learning.checkpoints import Checkpoints

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


def flip_a_bit(content, rng):
    flipped = bytearray(content)
    flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


DAMAGES = {
    "cut": lambda content, rng: content[: rng.randrange(len(content))],
    "emptied": lambda content, rng: b"",
    "flipped in a bit": flip_a_bit,
    "deleted": lambda content, rng: None,
}


def half(params):
    return {name: value.astype(jnp.float16) for name, value in params.items()}


@pytest.fixture(params=["run", "captioner"])
def saved(request, tmp_path):
    """A folder, what loads an iteration from it, and what that is to give.

    Of a run whole states; of an exported captioner parameters of half precision, which are restored
    as the float32 of the same value.
    """
    folder, is_run = tmp_path / request.param, request.param == "run"
    checkpoints = Checkpoints(folder, create=True)
    for step, loss in LOSSES.items():
        state, validation = state_at(step, seed=step), Validation(loss)
        if is_run:
            checkpoints.save(state, INFO, validation)
        else:
            checkpoints.save_captioner(step, half(state.params), INFO, validation)

    def load(checkpoints, step):
        if is_run:
            arrays = checkpoints.load_state(step, state_at(0))
        else:
            arrays, _ = checkpoints.load_params(step)
        return arrays, checkpoints.load_info(step), checkpoints.load_validation(step)

    def expected(step):
        state = state_at(step, seed=step)
        params = jax.tree.map(lambda x: x.astype(jnp.float32), half(state.params))
        return state if is_run else params

    return folder, load, expected


def restored(folder, load, expected):
    """What became of the newest checkpoint, the best: exact, older or refused; else it fails."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        checkpoints = Checkpoints(folder)
        try:
            step, (arrays, *described) = checkpoints.first_readable(
                lambda step: load(checkpoints, step), "best"
            )
        except (OSError, ValueError) as error:
            assert str(folder) in str(error)
            return "refused"
    assert_same(arrays, expected(step))
    assert described == [INFO, Validation(LOSSES[step])]
    texts = [str(warning.message) for warning in warned]
    assert step == NEWEST or any(f"{folder / str(NEWEST)}: " in text for text in texts), texts
    return "exact" if step == NEWEST else "older"


def damaged(saved, damage, rng):
    """Damage each file of the newest checkpoint in turn, and list what became of it."""
    found = []
    files = (path for path in (saved[0] / str(NEWEST)).rglob("*") if path.is_file())
    for path in sorted(files):
        whole = path.read_bytes()
        content = damage(whole, rng)
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        try:
            found.append(restored(*saved))
        except Exception as error:
            error.add_note(str(path))
            raise
        path.write_bytes(whole)
    assert restored(*saved) == "exact"
    return found


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_restored_was_saved(saved, damage):
    found = damaged(saved, DAMAGES[damage], random.Random(0))
    assert "refused" not in found
    assert found.count("older") > 3


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 9))
def test_wherever_a_file_is_cut_or_flipped(saved, seed):
    rng = random.Random(seed)
    for damage in ("cut", "flipped in a bit"):
        damaged(saved, DAMAGES[damage], rng)


@pytest.fixture
def folder(saved):
    return saved[0]


@pytest.mark.nightly
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


@pytest.mark.parametrize(
    ("item", "before", "after"), [("validation", "4.125", "3.125"), ("info", '"cat"', '"cot"')]
)
def test_a_changed_value_is_refused_by_its_checksum(folder, item, before, after):
    """The JSON is whole, and something else stands in it."""
    path = folder / str(NEWEST) / item / "metadata"
    path.write_text(path.read_text().replace(before, after))
    with pytest.warns(UserWarning, match=f"/8: .*the item {item} is not what was saved"):
        assert Checkpoints(folder).load("best").path.name == str(OLDER)


def test_changed_arrays_are_refused_by_their_checksum(saved):
    """A whole and readable item in the place of another."""
    folder, load, _ = saved
    ours, others = (folder / str(step) / "params" for step in (NEWEST, OLDER))
    ours.rename(folder / "aside")
    others.rename(ours)
    with pytest.raises(ValueError, match="the item params is not what was saved"):
        load(Checkpoints(folder), NEWEST)


def test_a_checkpoint_without_checksums_is_read(saved):
    """As those are that were written before there were any."""
    path = saved[0] / str(NEWEST) / "info" / "metadata"
    described, _, _ = path.read_text().partition(', "checksums"')
    path.write_text(described + "}")
    assert restored(*saved) == "exact"
