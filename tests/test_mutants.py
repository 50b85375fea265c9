"""Faults put into the code on purpose: the test that holds a guarantee fails where it is broken.

python -m pytest -n 0 -m nightly tests/test_mutants.py
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest
from command_calls import ROOT


@dataclass(frozen=True)
class Fault:
    """A text in a module that stands there once, what replaces it, and a test that must fail."""

    path: str
    old: str
    new: str
    test: str


FAULTS = {
    "gates in another order": Fault(
        "jaxcap/nn/cells.py",
        "i, f, o, g = jnp.split(a, 4, axis=-1)",
        "i, o, f, g = jnp.split(a, 4, axis=-1)",
        "tests/golden/test_notebook_digits.py::test_a_step",
    ),
    "the forget gate's gradient reads the new cell state": Fault(
        "jaxcap/nn/cells.py",
        "dc * before.c * f * (1 - f)",
        "dc * after.c * f * (1 - f)",
        "tests/nn/test_cell_laws.py::test_the_backward_pass_equals_differences",
    ),
    "gradients leak through padding": Fault(
        "jaxcap/nn/scan.py",
        "da = _zeros_where_not(keep, da)",
        "da = _zeros_where_not(None, da)",
        "tests/nn/test_cell_laws.py::test_masked_is_sliced",
    ),
    "a beam grows from another beam": Fault(
        "jaxcap/decoding/beam_steps.py",
        "parent = choice.parent + jnp",
        "parent = 0 * choice.parent + jnp",
        "tests/decoding/test_captions.py::test_log_probabilities_are_those_of_teacher_forcing",
    ),
    "forbidden words are said": Fault(
        "jaxcap/decoding/rules.py",
        "jnp.where(forbidden, -jnp.inf, logits)",
        "jnp.where(forbidden, logits, logits)",
        "tests/decoding/test_captions.py::test_no_special_words_are_shown",
    ),
    "a sample depends on the images beside it": Fault(
        "jaxcap/decoding/sampling.py",
        "jnp.take(own, caption, axis=0",
        "jnp.take(own, caption % samples, axis=0",
        "tests/decoding/test_decoders.py::test_a_batch_of_edges_and_each_alone",
    ),
    "CIDEr-D weighs frequent words more": Fault(
        "jaxcap/scoring/cider.py",
        "np.log(len(references)) - np.log(frequency)",
        "np.log(len(references)) + np.log(frequency)",
        "tests/scoring/test_scores.py::test_stored_scores_from_raw_captions",
    ),
    "a word of two stays one": Fault(
        "jaxcap/text/token_rules.py",
        '("can", "not")',
        '("cann", "ot")',
        "tests/text/test_tokenizer.py::test_words_are_the_reference_tokenizers",
    ),
    "a link in an HDF5 file is followed": Fault(
        "jaxcap/files/hdf5.py",
        ".type != h5l.TYPE_HARD",
        ".type is None",
        "tests/files/test_bad_files.py::test_a_bad_file_is_one_sentence_with_its_place",
    ),
    "a locked folder is written": Fault(
        "jaxcap/files/lock.py",
        "self._lock.acquire(timeout=0)",
        "self._lock.is_locked",
        "tests/faults/test_two_runs.py::test_a_folder_in_use_is_refused_and_left_alone",
    ),
    "an address of the own network is reached": Fault(
        "jaxcap/vision/download.py",
        "return ip.is_global and",
        "return ip.is_private or ip.is_global and",
        "tests/vision/test_download.py::test_only_public_addresses_are_reached",
    ),
    "the two keys of a seed are swapped": Fault(
        "jaxcap/data/seeds.py",
        "SeedKeys(data_key, state_key)",
        "SeedKeys(state_key, data_key)",
        "tests/data/test_dataset.py::test_max_train_draws_captions_with_replacement",
    ),
    "a resumed epoch is shuffled anew": Fault(
        "jaxcap/data/batches.py",
        "jax.random.fold_in(key, first // per_epoch)",
        "jax.random.fold_in(key, first)",
        "tests/data/test_batches.py"
        "::test_an_epoch_sees_every_caption_at_most_once_however_calls_are_cut",
    ),
    "a resumed run forgets the optimiser's state": Fault(
        "jaxcap/learning/run.py",
        "run.learner._replace(state=state)",
        "run.learner._replace(state=state._replace(opt_state=like.opt_state))",
        "tests/learning/test_run.py::test_cut_anywhere_and_resumed_equals_never_cut",
    ),
    "a resumed run forgets its best": Fault(
        "jaxcap/learning/run.py",
        "standing.best, standing.best_at = checkpoints.load_validation(best[0]), best[0]",
        "standing.best_at = best[0]",
        "tests/learning/test_run.py::test_patience_ends_training_however_it_was_cut",
    ),
    "dropout is the same in every step": Fault(
        "jaxcap/learning/step.py",
        "jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)",
        "jax.random.fold_in(state.key, 1)",
        "tests/learning/test_loop.py::test_every_step_has_a_key_of_its_own",
    ),
    "a checksum is ignored": Fault(
        "jaxcap/learning/checkpoint_items.py",
        "processes.largest(checksums.of_arrays(found) != sums.get(item))",
        "False",
        "tests/faults/test_corruption.py::test_what_is_whole_and_changed_is_refused_by_its_checksum",
    ),
    "metrics that are trained anew stay": Fault(
        "jaxcap/learning/metrics.py",
        'if row["iteration"] <= after',
        "if row",
        "tests/learning/test_metrics.py::test_resuming_drops_what_lies_behind_the_checkpoint",
    ),
    "an ignored signal ends the run": Fault(
        "jaxcap/learning/interrupts.py",
        "!= signal.SIG_IGN",
        "is not None",
        "tests/learning/test_interrupts.py::test_one_that_is_ignored_at_the_start_stays_ignored",
    ),
}


def run(tests, folder):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *tests], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout[-3000:]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of what the tests read, in which the tests below pass."""
    folder = tmp_path_factory.mktemp("copy")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    code, said = run({fault.test for fault in FAULTS.values()}, folder)
    assert code == 0, said
    return folder


@pytest.mark.parametrize("name", FAULTS)
def test_the_code_can_be_spoilt_so(name):
    fault = FAULTS[name]
    assert (ROOT / fault.path).read_text(encoding="utf-8").count(fault.old) == 1
    path, name = fault.test.split("::")
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.nightly
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_noticed(name, copy):
    fault = FAULTS[name]
    path = copy / fault.path
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
    try:
        code, said = run([fault.test], copy)
    finally:
        path.write_text(text, encoding="utf-8")
    assert code == 1, f"{fault.test} does not notice it\n{said}"
