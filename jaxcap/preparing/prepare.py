"""The whole preparation of a data set, with its progress."""

import sys
import time
import warnings
from collections.abc import Sequence

from tqdm import tqdm

from jaxcap.preparing.features import ImageEncoder, grid_shape
from jaxcap.preparing.plan import Plan, PreparationConfig, plan_preparation
from jaxcap.preparing.preparation import Preparation, Prepared, check_output
from jaxcap.preparing.store import FeatureStore
from jaxcap.vision.encoder import load_encoder

_NAMED = 10


def prepare(
    config: PreparationConfig, encoder: ImageEncoder | None = None, *, verbose: bool = False
) -> Prepared:
    """Prepare a data folder from images and captions.

    A stopped preparation resumes. Images that are left out cause a warning.

    Args:
        config: the settings.
        encoder: encoder of the features; None for the one that `config` names.
        verbose: print what is read and written, and show a progress bar on a terminal.

    Returns:
        The data folder, its plan, and the images left out.

    Raises:
        FileNotFoundError: the caption file, the folder of images, or every image is missing; or one
            image is, with `config.strict`.
        FileExistsError: the output exists, and may not be replaced.
        ValueError: a file or a setting is wrong; an image is unreadable, with `config.strict`; or
            the encoder has no grid, with `config.grid`.
        OSError: a file cannot be read, or the output cannot be written.
    """
    check_output(config.output, overwrite=config.overwrite)
    plan = plan_preparation(config)
    if verbose:
        print("\n".join([*plan.notes, *plan.describe()]), flush=True)
    missing = [plan.near.list([name]) for name in plan.missing[:_NAMED]]
    _warn_of("missing", [*missing, *plan.missing[_NAMED:]], verbose)
    encoder = encoder or load_encoder(config.encoder, config.encoder_weights)
    if verbose and config.grid:
        print(_size_of_grids(plan, grid_shape(encoder)), flush=True)
    with Preparation(plan, encoder) as preparation:
        try:
            _encode(preparation, len(plan.images), verbose)
        except KeyboardInterrupt:
            if verbose:
                print("stopped: run the same command again to resume")
            raise
        done = preparation.finish()
    _warn_of("not readable", [*done.unreadable.values()], verbose)
    if verbose:
        if done.unreadable:
            print("\n".join(done.plan.describe()))
        if done.variance is not None:
            print(f"PCA: {config.pca} directions keep {done.variance:.1%} of the variance")
        if done.grid_variance is not None:
            kept = f"{config.grid_pca} directions keep {done.grid_variance:.1%}"
            print(f"PCA of the grids: {kept} of the variance")
    return done


def _size_of_grids(plan: Plan, shape: tuple[int, int]) -> str:
    """Say how much of the disk the grids take while they are encoded, and in the data folder."""
    (places, width), num = shape, len(plan.images)
    kept, note = plan.config.grid_pca or width, ""
    if kept != width:
        note = f", reduced to {kept:,}"
    encoded, written = (_size(2 * num * places * each) for each in (width, kept))
    return (
        f"grids: {num:,} of {places:,} places x {width:,} numbers{note}: {written}, and {encoded} "
        "more until the data set is complete"
    )


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e9:,.2f} GB" if nbytes >= 10**8 else f"{nbytes / 1e6:,.2f} MB"


def _warn_of(what: str, images: Sequence[str], verbose: bool) -> None:
    """Warn about images that are left out, and name some of them."""
    for image in images[:_NAMED] if verbose else ():
        print(f"{what}: {image}", file=sys.stderr)
    if images:
        warnings.warn(
            f"{len(images)} images are {what} and left out with their captions; "
            "report.json in the output lists them",
            stacklevel=3,
        )


def _encode(preparation: Preparation, total: int, verbose: bool) -> None:
    """Encode the remaining images, and print the speed."""
    before = preparation.store.num_done
    if verbose:
        _say_what_is_there(preparation.store, total)
    started = time.perf_counter()
    hidden = not (verbose and sys.stderr.isatty())
    with tqdm(initial=before, total=total, unit="image", disable=hidden) as bar:
        for count in preparation.encode():
            bar.update(count)
    seconds = time.perf_counter() - started
    if verbose and total > before:
        speed = (total - before) / seconds
        print(f"encoded {total - before:,} images in {seconds:.1f} s, {speed:.1f} images/s")


def _say_what_is_there(store: FeatureStore, total: int) -> None:
    if store.begun_again:
        print(
            "the features encoded earlier are of other images, another encoder or other grids: "
            "starting again"
        )
    elif store.num_done:
        print(f"resumed: {store.num_done:,} of {total:,} images are already encoded")
