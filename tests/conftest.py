"""Every test runs with shapes checked at run time and with JAX's strict promotion rules."""

import gc
import mmap
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import jaxlib
import pytest
from jaxtyping import install_import_hook

# Before anything imports jaxcap; the fixtures do so when they run, so that the process that only
# hands out tests starts at once.
install_import_hook("jaxcap", "beartype.beartype")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


QUICKLY_COMPILED = ("xla_cpu_use_fusion_emitters=false", "xla_cpu_parallel_codegen_split_count=1")
"""What XLA needs besides little optimisation to compile in an eighth of the time."""
LARGEST_CACHE = 1 << 29


def pytest_addoption(parser):
    parser.addoption("--minutes", type=float, default=30, help="of training, in the soak test")
    parser.addoption(
        "--optimised", action="store_true", help="compile programs as they are for users"
    )


def pytest_configure(config):
    """Say how programs are compiled and kept, here and in all processes that tests start."""
    if not hasattr(config, "workerinput"):
        if not config.getoption("optimised"):
            os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
            os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *known_to_xla()])
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ and hasattr(config, "cache"):
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(program_folder(config))
        if "JAXCAP_CACHE" not in os.environ:
            os.environ["JAXCAP_CACHE"] = folder = tempfile.mkdtemp()
            config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))
    jax.config.update("jax_disable_most_optimizations", not config.getoption("optimised"))
    jax.config.update("jax_compilation_cache_dir", os.environ.get("JAX_COMPILATION_CACHE_DIR"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def known_to_xla():
    """The flags in QUICKLY_COMPILED; XLA aborts the process at one that it does not know."""
    library = Path(jaxlib.__file__).with_name("libjax_common.so")
    with open(library, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code:
        return [
            f"--{flag}" for flag in QUICKLY_COMPILED if code.find(flag.split("=")[0].encode()) > 0
        ]


def program_folder(config):
    """Where compiled programs are kept from one run of the tests to the next."""
    folder = config.cache.mkdir("programs")
    if sum(path.stat().st_size for path in folder.iterdir()) > LARGEST_CACHE:
        shutil.rmtree(folder)
    return folder


def pytest_collection_modifyitems(items):
    # Stories and documents first, lest a worker is left with one of them when all else is done.
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


def pytest_collection_finish():
    # What the imports left would be looked through again by each of many collections.
    gc.collect()
    gc.freeze()


@pytest.fixture
def x64():
    """Run the test in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def without_heif(monkeypatch):
    """Where `pillow-heif` is not installed."""
    from PIL import Image

    from jaxcap.vision import formats

    Image.init()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    known = {suffix: name for suffix, name in Image.EXTENSION.items() if name != "HEIF"}
    monkeypatch.setattr(Image, "EXTENSION", known)
    kept = formats.read_formats, formats.image_suffixes
    for function in kept:
        function.cache_clear()
    yield
    for function in kept:
        function.cache_clear()


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory):
    """A folder in the course's layout that trains in a second."""
    from tiny_data import tiny_splits

    from jaxcap.data.coco import write_coco

    folder = tmp_path_factory.mktemp("tiny")
    vocabulary, splits = tiny_splits()
    write_coco(folder, vocabulary, splits, name="tiny")
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_dir):
    """The data of `tiny_dir`."""
    from jaxcap.data.coco import load_coco

    return load_coco(tiny_dir)


@pytest.fixture(scope="session")
def info(tiny):
    """Of a run of 20 iterations."""
    from jaxcap.learning.checkpoint_info import RunInfo
    from jaxcap.learning.config import TrainingConfig
    from jaxcap.nn.config import CaptionerConfig

    model = CaptionerConfig.for_data(tiny, wordvec_dim=8, hidden_dim=16, dropout=0.2)
    training = TrainingConfig(batch_size=8, num_epochs=4, log_every=2, order="shuffle")
    return RunInfo.of(tiny, model, training, 0)
