"""Flags of training, and the run that they open."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from absl import flags

from jaxcap.commands import data as data_flags
from jaxcap.commands import run as command
from jaxcap.commands import scale as scale_flags
from jaxcap.commands.data import DATA_DIR, DATASET
from jaxcap.commands.run import SEED
from jaxcap.data.batches import ORDERS
from jaxcap.data.dataset import Dataset
from jaxcap.data.seeds import split_seed
from jaxcap.datasets import Placement, load_data
from jaxcap.learning.config import (
    MEASURES,
    OBJECTIVES,
    SAMPLING_SCHEDULES,
    SCHEDULES,
    OptimiserConfig,
    TrainingConfig,
)
from jaxcap.learning.run import Run, open_run
from jaxcap.learning.sharding import make_layout
from jaxcap.learning.start import Start
from jaxcap.learning.sweep import SWEPT, members, open_sweep, parse_sweep
from jaxcap.nn.config import ATTENTIONS, CaptionerConfig
from jaxcap.nn.products import PRECISIONS
from jaxcap.text.word_vectors import read_word_vectors

PCA_FEATURES = flags.DEFINE_bool(
    "pca_features",
    None,
    "Read the features that PCA reduced, or with --nopca_features the unreduced features. The "
    "default is the reduced ones if they exist.",
)
MAX_TRAIN = flags.DEFINE_integer(
    "max_train",
    None,
    "Keep this many training captions, drawn with replacement as in the notebook.",
    lower_bound=1,
)
GRID_MEMORY = flags.DEFINE_float(
    "grid_memory",
    4.0,
    "GiB of grids to hold in memory, for a captioner that attends; more are read from their files "
    "while it trains.",
    lower_bound=0.0,
)

CELL = flags.DEFINE_string(
    "cell",
    "lstm",
    "Recurrent cell: lstm, rnn, or the import path of a jaxcap.nn.cells.Cell or of a Flax Linen "
    "cell, such as my_module:my_cell or flax.linen.GRUCell; see jaxcap.nn.cells.",
)
HIDDEN_DIM = flags.DEFINE_integer("hidden_dim", 512, "Number of hidden units.", lower_bound=1)
WORDVEC_DIM = flags.DEFINE_integer("wordvec_dim", 256, "Length of a word vector.", lower_bound=1)
INIT_CELL = flags.DEFINE_bool(
    "init_cell", False, "Project the features to the initial cell state of the LSTM too."
)
FEED_FEATURES = flags.DEFINE_bool(
    "feed_features", False, "Add the projected features to every word vector."
)
ATTENTION = flags.DEFINE_enum(
    "attention",
    None,
    ATTENTIONS,
    "Attend to the grids of the images, which jaxcap.prepare --grid makes, for each word: with one "
    "cell, or with one that looks and one that writes.",
)
DROPOUT = flags.DEFINE_float(
    "dropout", 0.0, "Dropout rate of features, word vectors and hidden states.", 0.0, 1.0
)

NUM_EPOCHS = flags.DEFINE_integer(
    "num_epochs", 50, "Passes over the training captions.", lower_bound=1
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 25, "Captions in a minibatch.", lower_bound=1)
ORDER = flags.DEFINE_enum(
    "order",
    "replacement",
    ORDERS,
    "Draw each minibatch with replacement, as the notebook does, or shuffle in every epoch; "
    "buckets shuffles and groups captions of similar length, which is faster; images shuffles the "
    "images and takes all captions of each together, which computes less where there is attention.",
)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 5e-3, "Initial learning rate of Adam.")
LR_SCHEDULE = flags.DEFINE_enum(
    "lr_schedule",
    "exponential",
    SCHEDULES,
    "Multiply the learning rate by --lr_decay after every epoch, or decay it to 0 as a cosine.",
)
LR_DECAY = flags.DEFINE_float("lr_decay", 0.995, "Factor on the learning rate after every epoch.")
OBJECTIVE = flags.DEFINE_enum(
    "objective",
    "likelihood",
    OBJECTIVES,
    "Maximise the likelihood of the captions, or the CIDEr-D of captions that the captioner "
    "samples. cider fine-tunes the captioner of --init_from.",
)
SAMPLES = flags.DEFINE_integer(
    "samples", 5, "Captions sampled for each image of a minibatch, for --objective=cider.", 2
)
LABEL_SMOOTHING = flags.DEFINE_float(
    "label_smoothing", 0.0, "Share of the target probability spread over all words.", 0.0, 1.0
)
ATTENTION_PENALTY = flags.DEFINE_float(
    "attention_penalty",
    0.0,
    "Factor on the doubly stochastic penalty, for places that no word attends to.",
    lower_bound=0.0,
)
SCHEDULED_SAMPLING = flags.DEFINE_enum(
    "scheduled_sampling",
    None,
    SAMPLING_SCHEDULES,
    "Let the captioner read words that it drew itself in place of those of the captions, at a rate "
    "that grows from 0 to --sampling_rate over the run: by this function.",
)
SAMPLING_RATE = flags.DEFINE_float(
    "sampling_rate", 0.25, "Rate of own words at the end of --scheduled_sampling.", 0.0, 1.0
)
MATMUL_PRECISION = flags.DEFINE_enum(
    "matmul_precision",
    "float32",
    PRECISIONS,
    "Precision of the factors of matmuls in training; sums and all other operations are float32.",
)
REMAT = flags.DEFINE_bool(
    "remat", False, "Store less for the backward pass and compute more; for long captions."
)
CLIP_NORM = flags.DEFINE_float("clip_norm", None, "Clip the gradient to this global norm.")
WEIGHT_DECAY = flags.DEFINE_float("weight_decay", 0.0, "Decoupled weight decay.")

CHECKPOINT_DIR = flags.DEFINE_string(
    "checkpoint_dir",
    None,
    "Folder of the run: checkpoints, metrics and loss curve.",
    required=True,
)
RESUME = flags.DEFINE_bool(
    "resume", False, "Resume the run in --checkpoint_dir; the result is the same as without a stop."
)
INIT_FROM = flags.DEFINE_string(
    "init_from", None, "Start a new run with the parameters of the run in this folder."
)
WORD_VECTORS = flags.DEFINE_string(
    "word_vectors",
    None,
    "Start a new run with the word vectors of this file: GloVe's text, or FILE.npy beside FILE.txt "
    "with a word a line.",
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Delete the run in --checkpoint_dir first.")
SAVE_EVERY = flags.DEFINE_integer(
    "save_every", 1, "Epochs between checkpoints; the best one is always kept.", lower_bound=1
)
LOG_EVERY = flags.DEFINE_integer("log_every", 10, "Iterations between log lines.", lower_bound=1)
VAL_CAPTIONS = flags.DEFINE_integer(
    "val_captions",
    1000,
    "Validation captions to compute the loss of after every epoch.",
    lower_bound=1,
)
VAL_IMAGES = flags.DEFINE_integer(
    "val_images",
    0,
    "Validation images to caption greedily and score by CIDEr-D after every epoch.",
    lower_bound=0,
)
BEST_BY = flags.DEFINE_enum(
    "best_by", "loss", MEASURES, "Validation metric that selects the best checkpoint."
)
PATIENCE = flags.DEFINE_integer(
    "patience", None, "Stop after this many epochs without a better checkpoint.", lower_bound=1
)
TENSORBOARD = flags.DEFINE_bool(
    "tensorboard", True, "Write TensorBoard events, if the extra tensorboard is installed."
)
SWEEP = flags.DEFINE_multi_string(
    "sweep",
    [],
    "Train a captioner for each of these values in one program: NAME=VALUE,VALUE,... where NAME is "
    f"one of {', '.join(SWEPT)}. Give it several times to train every combination.",
)
SEEDS = flags.DEFINE_integer(
    "seeds",
    1,
    "Train this many captioners of each combination in one program, with the seeds from --seed on.",
    lower_bound=1,
)

flags.adopt_module_key_flags(command)
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(scale_flags)


def opened_run() -> AbstractContextManager[Run]:
    """Load the data and open the run or sweep of the flags; see `open_run`."""
    training = _training()
    if not SWEEP.value and SEEDS.value == 1:
        data = _load(training)
        return open_run(
            CHECKPOINT_DIR.value, data, _model(data), training, seed=SEED.value, **_start(data)
        )
    found = members(parse_sweep(SWEEP.value), SEED.value, SEEDS.value)
    data = _load(None)
    return open_sweep(CHECKPOINT_DIR.value, data, _model(data), training, found, **_start(data))


def _load(training: TrainingConfig | None) -> Dataset:
    """Load the data; for a run, with the training split sharded over devices."""
    layout = training and make_layout(
        training,
        batch_shards=scale_flags.BATCH_SHARDS.value,
        vocab_shards=scale_flags.VOCAB_SHARDS.value,
    )
    return load_data(
        DATA_DIR.value,
        dataset=DATASET.value,
        pca_features=PCA_FEATURES.value,
        max_train=MAX_TRAIN.value,
        key=split_seed(SEED.value).data_key,
        placement=Placement(
            sharding=layout and layout.rows,
            grids=ATTENTION.value is not None,
            grid_memory=int(GRID_MEMORY.value * 2**30),
        ),
    )


def _model(data: Dataset) -> CaptionerConfig:
    return CaptionerConfig.for_data(
        data,
        wordvec_dim=WORDVEC_DIM.value,
        hidden_dim=HIDDEN_DIM.value,
        cell=CELL.value,
        init_cell=INIT_CELL.value,
        dropout=DROPOUT.value,
        feed_features=FEED_FEATURES.value,
        attention=ATTENTION.value,
    )


def _training() -> TrainingConfig:
    return TrainingConfig(
        batch_size=BATCH_SIZE.value,
        num_epochs=NUM_EPOCHS.value,
        order=ORDER.value,
        log_every=LOG_EVERY.value,
        objective=OBJECTIVE.value,
        samples=SAMPLES.value,
        label_smoothing=LABEL_SMOOTHING.value,
        attention_penalty=ATTENTION_PENALTY.value,
        scheduled_sampling=SCHEDULED_SAMPLING.value,
        sampling_rate=SAMPLING_RATE.value,
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
    )


def _start(data: Dataset) -> Start:
    vectors = None
    if WORD_VECTORS.value is not None and not RESUME.value:
        vectors = read_word_vectors(Path(WORD_VECTORS.value).expanduser(), data.vocabulary)
        print(f"word vectors: {vectors.coverage}")
    return Start(
        resume=RESUME.value,
        overwrite=OVERWRITE.value,
        init_from=INIT_FROM.value,
        word_vectors=vectors,
        flags=flag_values(),
    )


def flag_values() -> dict[str, object]:
    """Return the value of every flag that jaxcap defines."""
    modules = flags.FLAGS.flags_by_module_dict()
    return {
        flag.name: flag.value
        for module, found in sorted(modules.items())
        if module.startswith("jaxcap") or module == sys.argv[0]
        for flag in found
    }
