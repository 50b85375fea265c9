"""Each file of a checkpoint damaged in turn: what is restored is what was saved, or it is said.

Restoring gives exactly what was saved, or an older checkpoint, exactly and with a warning that
names the newer.
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
OLDER, NEWEST = 4, 8
LOSSES = {OLDER: 5.25, NEWEST: 4.125}


@pytest.fixture(autouse=True)
def dropped_reads():
    """Let go of those reads here, and not within whatever test comes next."""
    yield
    gc.collect()


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


class Saved:
    """Checkpoints of a run, or of an exported captioner of half precision.

    The latter is restored as the float32 of the same values.
    """

    def __init__(self, kind, folder):
        self.folder, self.is_run = folder / kind, kind == "run"
        self.newest = self.folder / str(NEWEST)
        checkpoints = Checkpoints(self.folder, create=True)
        for step, loss in LOSSES.items():
            state, validation = state_at(step, seed=step), Validation(loss)
            if self.is_run:
                checkpoints.save(state, INFO, validation)
            else:
                half = {name: x.astype(jnp.float16) for name, x in state.params.items()}
                checkpoints.save_captioner(step, half, INFO, validation)

    def load(self, step):
        checkpoints = Checkpoints(self.folder)
        if self.is_run:
            arrays = checkpoints.load_state(step, state_at(0))
        else:
            arrays, _ = checkpoints.load_params(step)
        return arrays, checkpoints.load_info(step), checkpoints.load_validation(step)

    def expected(self, step):
        state = state_at(step, seed=step)
        half = jax.tree.map(lambda x: x.astype(jnp.float16).astype(jnp.float32), state.params)
        return state if self.is_run else half

    def restored(self):
        """The iteration that is restored where the newest is asked for, which is the best."""
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = Checkpoints(self.folder).first_readable(self.load, "best")
        step, (arrays, *described) = found
        assert_same(arrays, self.expected(step))
        assert described == [INFO, Validation(LOSSES[step])]
        texts = [str(warning.message) for warning in warned]
        assert step == NEWEST or any(f"{self.newest}: " in text for text in texts), texts
        return step

    def damage(self, damage, rng):
        """Damage each file of the newest in turn, and list what is restored."""
        found = []
        for path in sorted(path for path in self.newest.rglob("*") if path.is_file()):
            whole = path.read_bytes()
            content = DAMAGES[damage](whole, rng)
            path.unlink()
            if content is not None:
                path.write_bytes(content)
            try:
                found.append(self.restored())
            except Exception as error:
                error.add_note(str(path))
                raise
            path.write_bytes(whole)
        assert self.restored() == NEWEST
        return found


@pytest.fixture(params=["run", "captioner"])
def saved(request, tmp_path):
    return Saved(request.param, tmp_path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_restored_was_saved(saved, damage):
    assert saved.damage(damage, random.Random(0)).count(OLDER) > 3


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 9))
def test_wherever_a_file_is_cut_or_flipped(saved, seed):
    rng = random.Random(seed)
    for damage in ("cut", "flipped in a bit"):
        saved.damage(damage, rng)


@pytest.mark.nightly
@pytest.mark.parametrize("item", ["info", "validation"])
def test_every_byte_of_the_json_counts(saved, item):
    """A bit of each byte, so that neither a word nor a number changes unseen."""
    path, rng = saved.newest / item / "metadata", random.Random(0)
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = whole[place] ^ 1 << rng.randrange(8)
        path.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
        try:
            _, *found = saved.load(NEWEST)
        except Exception:  # noqa: BLE001  What is refused is not loaded.
            continue
        assert found == [INFO, Validation(LOSSES[NEWEST])], place


@pytest.mark.parametrize(
    ("item", "before", "after"), [("validation", "4.125", "3.125"), ("info", '"cat"', '"cot"')]
)
def test_what_is_whole_and_changed_is_refused_by_its_checksum(saved, item, before, after):
    path = saved.newest / item / "metadata"
    path.write_text(path.read_text().replace(before, after))
    with pytest.warns(UserWarning, match=f"/8: .*the item {item} is not what was saved"):
        assert Checkpoints(saved.folder).load("best").path.name == str(OLDER)
    ours, others = (saved.folder / str(step) / "params" for step in (NEWEST, OLDER))
    path.write_text(path.read_text().replace(after, before))
    ours.rename(saved.folder / "aside")
    others.rename(ours)
    with pytest.raises(ValueError, match="the item params is not what was saved"):
        saved.load(NEWEST)


def test_a_checkpoint_without_checksums_is_read(saved):
    """As those are that were written before there were any."""
    path = saved.newest / "info" / "metadata"
    described, _, _ = path.read_text().partition(', "checksums"')
    path.write_text(described + "}")
    assert saved.restored() == NEWEST
