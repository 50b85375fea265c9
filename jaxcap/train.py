"""Train a captioner: `python -m jaxcap.train --flagfile launch/small.flags`."""

import json
import os
import sys
import zlib
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import jax
from absl import flags
from jax.sharding import NamedSharding
from tqdm import tqdm

from jaxcap.commands import data as data_flags
from jaxcap.commands import run as command
from jaxcap.commands import scale as scale_flags
from jaxcap.commands import sweep as sweep_command
from jaxcap.commands.data import DATA_DIR, DATASET
from jaxcap.commands.run import SEED
from jaxcap.commands.sweep import SEEDS, SWEEP, sweep
from jaxcap.data.batches import ORDERS
from jaxcap.data.dataset import SPLITS, Dataset, Split
from jaxcap.data.projection import carry_projection
from jaxcap.data.seeds import split_seed
from jaxcap.datasets import Placement, load_data
from jaxcap.decoding.captions import Captioner
from jaxcap.learning import processes
from jaxcap.learning.checkpoints import CheckpointInfo
from jaxcap.learning.interrupts import catch_interrupts
from jaxcap.learning.loop import MEASURES, OBJECTIVES, Progress, TrainingConfig
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.optimiser import SCHEDULES, OptimiserConfig
from jaxcap.learning.run import CURVE_FILE, Run, open_run, record_start
from jaxcap.learning.sharding import make_layout
from jaxcap.nn.captioner import CaptionerConfig
from jaxcap.nn.products import PRECISIONS
from jaxcap.scoring.split_images import knows_truth
from jaxcap.trained import scene_truth

PCA_FEATURES = flags.DEFINE_bool(
    "pca_features",
    None,
    "Read the features that PCA reduced, or with --nopca_features the encoder's own; by default "
    "the reduced ones if they are there.",
)
MAX_TRAIN = flags.DEFINE_integer(
    "max_train",
    None,
    "Keep this many training captions, drawn with replacement as the notebook draws them.",
    lower_bound=1,
)

CELL = flags.DEFINE_string(
    "cell",
    "lstm",
    "Recurrent cell: lstm, rnn, or the import path of a jaxcap.nn.cells.Cell or of a Flax Linen "
    "cell, such as my_module:my_cell or flax.linen.GRUCell; see jaxcap.nn.cells.",
)
HIDDEN_DIM = flags.DEFINE_integer("hidden_dim", 512, "Hidden units.", lower_bound=1)
WORDVEC_DIM = flags.DEFINE_integer("wordvec_dim", 256, "Length of a word vector.", lower_bound=1)
INIT_CELL = flags.DEFINE_bool(
    "init_cell", False, "Start the LSTM's cell state from the features too, not from zero."
)
FEED_FEATURES = flags.DEFINE_bool(
    "feed_features", False, "Add the features, projected, to every word vector."
)
DROPOUT = flags.DEFINE_float(
    "dropout", 0.0, "Share dropped of features, word vectors and hidden states.", 0.0, 1.0
)

NUM_EPOCHS = flags.DEFINE_integer("num_epochs", 50, "Passes over the captions.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 25, "Captions in a minibatch.", lower_bound=1)
ORDER = flags.DEFINE_enum(
    "order",
    "replacement",
    ORDERS,
    "Draw each minibatch with replacement, as the notebook does, or shuffle once an epoch; buckets "
    "shuffles too, but puts captions of like length together, which is faster.",
)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 5e-3, "Adam's step size at the start.")
LR_SCHEDULE = flags.DEFINE_enum(
    "lr_schedule",
    "exponential",
    SCHEDULES,
    "Cut the step size by --lr_decay after every epoch, or let it fall to 0 as a cosine.",
)
LR_DECAY = flags.DEFINE_float("lr_decay", 0.995, "Factor on the step size after every epoch.")
OBJECTIVE = flags.DEFINE_enum(
    "objective",
    "likelihood",
    OBJECTIVES,
    "Maximise the likelihood of the captions, or the CIDEr-D of captions that the captioner draws "
    "itself; the latter goes on from --init_from.",
)
SAMPLES = flags.DEFINE_integer(
    "samples", 5, "Captions drawn for each image of a minibatch, for --objective=cider.", 2
)
LABEL_SMOOTHING = flags.DEFINE_float(
    "label_smoothing", 0.0, "Probability that the targets spread over all words.", 0.0, 1.0
)
MATMUL_PRECISION = flags.DEFINE_enum(
    "matmul_precision",
    "float32",
    PRECISIONS,
    "Precision of the factors of matrix products in training; their sums and all else are float32.",
)
REMAT = flags.DEFINE_bool(
    "remat", False, "Keep less memory for the backward pass and compute more; for long captions."
)
CLIP_NORM = flags.DEFINE_float("clip_norm", None, "Largest global norm of the gradient.")
WEIGHT_DECAY = flags.DEFINE_float("weight_decay", 0.0, "Decoupled weight decay.")

CHECKPOINT_DIR = flags.DEFINE_string(
    "checkpoint_dir", None, "Folder of the run: checkpoints, metrics, curve.", required=True
)
RESUME = flags.DEFINE_bool(
    "resume", False, "Go on with the run in --checkpoint_dir as if it had never stopped."
)
INIT_FROM = flags.DEFINE_string(
    "init_from", None, "Start a new run with the parameters of the run in this folder."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Delete the run in --checkpoint_dir first.")
SAVE_EVERY = flags.DEFINE_integer(
    "save_every", 1, "Epochs between checkpoints; a best one is always kept.", lower_bound=1
)
LOG_EVERY = flags.DEFINE_integer("log_every", 10, "Iterations between log lines.", lower_bound=1)
VAL_CAPTIONS = flags.DEFINE_integer(
    "val_captions", 1000, "Validation captions measured after every epoch.", lower_bound=1
)
VAL_IMAGES = flags.DEFINE_integer(
    "val_images",
    0,
    "Validation images to caption greedily and score by CIDEr-D after every epoch.",
    lower_bound=0,
)
BEST_BY = flags.DEFINE_enum(
    "best_by", "loss", MEASURES, "Which measure on validation says which checkpoint is the best."
)
PATIENCE = flags.DEFINE_integer(
    "patience", None, "Stop after this many epochs without a better checkpoint.", lower_bound=1
)
TENSORBOARD = flags.DEFINE_bool(
    "tensorboard", True, "Write TensorBoard events, if the extra is installed."
)


flags.adopt_module_key_flags(command)
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(scale_flags)
flags.adopt_module_key_flags(sweep_command)


def main() -> int:
    if SWEEP.value or SEEDS.value > 1:
        return _sweep()
    if processes.is_first():
        return _train_one()
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        return _train_one()


def _train_one() -> int:
    layout = make_layout(
        BATCH_SIZE.value,
        batch_shards=_batch_shards(),
        vocab_shards=scale_flags.VOCAB_SHARDS.value,
    )
    data = _load(SEED.value, sharding=layout and layout.rows)
    processes.check_same(_digest(data), "flags or data")
    run = open_run(
        Path(CHECKPOINT_DIR.value).expanduser(),
        _describe(data),
        split_seed(SEED.value).state_key,
        resume=RESUME.value,
        overwrite=OVERWRITE.value,
        init_from=Path(INIT_FROM.value).expanduser() if INIT_FROM.value else None,
        layout=layout,
    )
    if processes.is_first():
        record_start(run, _flag_values())
        carry_projection(data.folder, run.folder, used=data.pca_features)
    _print_data(data)
    _print_start(run)
    with catch_interrupts() as interrupt:
        try:
            last = _train(run, data, stop=interrupt.anywhere)
        finally:
            if processes.is_first():
                _draw_curve(run.folder)
    if interrupt:
        left = last.num_iterations - last.iteration
        remedy = "the same command with --resume goes on" if left else "it was the last"
        print(f"stopped after iteration {last.iteration}: {remedy}")
        return interrupt.exit_code
    if last.iteration < last.num_iterations:
        print(
            f"stopped after iteration {last.iteration}: no better checkpoint for "
            f"--patience={PATIENCE.value} epochs"
        )
    if knows_truth(data):
        params = last.state.params if layout is None else layout.whole(last.state.params)
        if processes.is_first():
            print("claims in the captions of the validation scenes:")
            print(scene_truth(Captioner(params, run.info.model, data.vocabulary), data.val))
    return 0


def _load(
    seed: int, splits: Sequence[str] = SPLITS, sharding: NamedSharding | None = None
) -> Dataset:
    """The data of a run with that seed."""
    return load_data(
        DATA_DIR.value,
        dataset=DATASET.value,
        pca_features=PCA_FEATURES.value,
        max_train=MAX_TRAIN.value,
        key=split_seed(seed).data_key,
        placement=Placement(splits, sharding),
    )


def _sweep() -> int:
    """Train many captioners on the data, or for --max_train on what each one's seed draws of it."""
    if jax.process_count() > 1:
        raise ValueError(
            "--sweep and --seeds train on one device: start one process, or one run a value"
        )
    data = _load(SEED.value)
    _print_data(data)

    def train_split(seed: int) -> Split:
        drawn = _load(seed, ["train"]).train
        return replace(drawn, images=data.train.images)

    return sweep(
        Path(CHECKPOINT_DIR.value).expanduser(),
        _describe(data),
        data,
        train_split if MAX_TRAIN.value else None,
        _flag_values(),
        resume=RESUME.value,
        overwrite=OVERWRITE.value,
        init_from=Path(INIT_FROM.value).expanduser() if INIT_FROM.value else None,
        tensorboard=TENSORBOARD.value,
    )


def _batch_shards() -> int | None:
    """As the flag says; the objective that trains on one device takes one of several."""
    if OBJECTIVE.value == "cider" and jax.process_count() == 1:
        return scale_flags.BATCH_SHARDS.value or 1
    return scale_flags.BATCH_SHARDS.value


def _digest(data: Dataset) -> int:
    """Of what all processes must be given alike: the data, and the flags but for paths."""
    own = ("process_id", "data_dir", "checkpoint_dir", "init_from")
    flags = {name: value for name, value in _flag_values().items() if name not in own}
    return zlib.crc32(json.dumps([flags, data.identity.to_json()]).encode()) >> 1


def _describe(data: Dataset) -> CheckpointInfo:
    """What the flags ask for, on this data."""
    return CheckpointInfo(
        model=CaptionerConfig(
            vocab_size=len(data.vocabulary),
            feature_dim=data.feature_dim,
            wordvec_dim=WORDVEC_DIM.value,
            hidden_dim=HIDDEN_DIM.value,
            cell=CELL.value,
            init_cell=INIT_CELL.value,
            dropout=DROPOUT.value,
            feed_features=FEED_FEATURES.value,
        ),
        training=TrainingConfig(
            batch_size=BATCH_SIZE.value,
            num_epochs=NUM_EPOCHS.value,
            order=ORDER.value,
            log_every=LOG_EVERY.value,
            objective=OBJECTIVE.value,
            samples=SAMPLES.value,
            label_smoothing=LABEL_SMOOTHING.value,
            matmul_precision=MATMUL_PRECISION.value,
            remat=REMAT.value,
            val_captions=VAL_CAPTIONS.value,
            val_images=VAL_IMAGES.value,
            best_by=BEST_BY.value,
            patience=PATIENCE.value,
            optimiser=OptimiserConfig(
                learning_rate=LEARNING_RATE.value,
                lr_schedule=LR_SCHEDULE.value,
                lr_decay=LR_DECAY.value,
                clip_norm=CLIP_NORM.value,
                weight_decay=WEIGHT_DECAY.value,
            ),
        ),
        vocabulary=data.vocabulary,
        data=data.identity,
        source=data.source,
        seed=SEED.value,
    )


def _flag_values() -> dict[str, object]:
    """Value of every flag that jaxcap defines."""
    modules = flags.FLAGS.flags_by_module_dict()
    return {
        flag.name: flag.value
        for module, found in sorted(modules.items())
        if module.startswith("jaxcap") or module == sys.argv[0]
        for flag in found
    }


def _print_data(data: Dataset) -> None:
    counts = ", ".join(
        f"{split}: {arrays.num_captions:,} captions of {arrays.num_images:,} images"
        for split, arrays in data.splits.items()
    )
    print(f"data: {data.name}, {counts}, {len(data.vocabulary):,} words")


def _print_start(run: Run) -> None:
    if run.layout is not None:
        shards = ", ".join(f"{size} {axis}" for axis, size in run.layout.mesh.shape.items())
        print(f"devices: {run.layout.mesh.size} of {jax.process_count()} processes ({shards})")
    if RESUME.value:
        print(f"resumed {run.folder} at iteration {int(run.state.step)}")


def _train(run: Run, data: Dataset, stop: Callable[[], bool]) -> Progress:
    """Train, print the notebook's log lines, and show a progress bar on a terminal."""
    start = int(run.state.step)
    progress = None
    hidden = not (processes.is_first() and sys.stderr.isatty())
    with tqdm(initial=start, unit="it", disable=hidden) as bar:
        for progress, saved in run.train(
            data, save_every=SAVE_EVERY.value, tensorboard=TENSORBOARD.value, stop=stop
        ):
            bar.total = progress.num_iterations
            bar.update(progress.iteration - bar.n)
            for line in _log_lines(progress, saved):
                bar.write(line, file=sys.stdout)
            sys.stdout.flush()
    assert progress is not None
    return progress


def _log_lines(progress: Progress, saved: Path | None) -> list[str]:
    total = progress.num_iterations
    first = progress.iteration - len(progress.losses) + 1
    speed = f"{progress.captions_per_second:.0f} captions/s"
    lines = [
        f"(Iteration {iteration} / {total}) loss: {loss:.6f}  ({speed})"
        for iteration, loss in enumerate(progress.losses, start=first)
        if (iteration - 1) % LOG_EVERY.value == 0
    ]
    if progress.val is not None:
        lines.append(
            f"(Epoch {progress.epoch} / {NUM_EPOCHS.value}) "
            f"val loss: {progress.val.per_caption:.6f}, {progress.val.per_word:.6f} per word"
            + ("" if progress.cider is None else f", CIDEr {progress.cider:.4f}")
        )
    if saved is not None:
        lines.append(f"saved {saved}")
    return lines


def _draw_curve(folder: Path) -> None:
    """Draw what there is, without hiding how training ended."""
    try:
        from jaxcap.plots import loss_curve, save_figure

        rows = read_metrics(folder)
        if rows:
            save_figure(loss_curve({folder.name: rows}), folder / CURVE_FILE)
            print(f"drew {folder / CURVE_FILE}")
    except (ImportError, OSError) as error:
        print(f"warning: no loss curve: {error}", file=sys.stderr)


if __name__ == "__main__":
    command.run(main, connect=scale_flags.connect)
