"""Train LSTM image captioners in JAX, and caption photos with them.

    import jaxcap
    jaxcap.load_captioner().caption_photos(["photo.jpg"])

The names below are the ones to type. Each is in the module that `_HOMES` gives, which is imported
when the name is first used. The commands (`python -m jaxcap.train` and the others) are modules of
their own.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jaxcap.data.dataset import Dataset as Dataset
    from jaxcap.data.dataset import Split as Split
    from jaxcap.data.image import Image as Image
    from jaxcap.datasets import load_data as load_data
    from jaxcap.decoding.beam import Beam as Beam
    from jaxcap.decoding.captions import Captioner as Captioner
    from jaxcap.decoding.rules import Rules as Rules
    from jaxcap.decoding.sampling import Sampling as Sampling
    from jaxcap.decoding.word_by_word import Greedy as Greedy
    from jaxcap.learning.config import OptimiserConfig as OptimiserConfig
    from jaxcap.learning.config import TrainingConfig as TrainingConfig
    from jaxcap.learning.loop import fit as fit
    from jaxcap.learning.objective import Likelihood as Likelihood
    from jaxcap.learning.optimiser import make_optimiser as make_optimiser
    from jaxcap.learning.run import open_run as open_run
    from jaxcap.learning.step import init_state as init_state
    from jaxcap.learning.step import train_step as train_step
    from jaxcap.nn.captioner import caption_loss as caption_loss
    from jaxcap.nn.cells import Cell as Cell
    from jaxcap.nn.cells import lstm_init as lstm_init
    from jaxcap.nn.cells import rnn_init as rnn_init
    from jaxcap.nn.config import CaptionerConfig as CaptionerConfig
    from jaxcap.nn.gradcheck import gradient_errors as gradient_errors
    from jaxcap.nn.gradcheck import rel_error as rel_error
    from jaxcap.nn.parameters import init_params as init_params
    from jaxcap.nn.unroll import lstm as lstm
    from jaxcap.nn.unroll import lstm_step as lstm_step
    from jaxcap.nn.unroll import rnn as rnn
    from jaxcap.nn.unroll import rnn_step as rnn_step
    from jaxcap.scoring.scores import Scorer as Scorer
    from jaxcap.text.vocabulary import Vocabulary as Vocabulary
    from jaxcap.trained import load_captioner as load_captioner

_HOMES = {
    "Beam": "decoding.beam",
    "Captioner": "decoding.captions",
    "CaptionerConfig": "nn.config",
    "Cell": "nn.cells",
    "Dataset": "data.dataset",
    "Greedy": "decoding.word_by_word",
    "Image": "data.image",
    "Likelihood": "learning.objective",
    "OptimiserConfig": "learning.config",
    "Rules": "decoding.rules",
    "Sampling": "decoding.sampling",
    "Scorer": "scoring.scores",
    "Split": "data.dataset",
    "TrainingConfig": "learning.config",
    "Vocabulary": "text.vocabulary",
    "caption_loss": "nn.captioner",
    "fit": "learning.loop",
    "gradient_errors": "nn.gradcheck",
    "init_params": "nn.parameters",
    "init_state": "learning.step",
    "load_captioner": "trained",
    "load_data": "datasets",
    "lstm": "nn.unroll",
    "lstm_init": "nn.cells",
    "lstm_step": "nn.unroll",
    "make_optimiser": "learning.optimiser",
    "open_run": "learning.run",
    "rel_error": "nn.gradcheck",
    "rnn": "nn.unroll",
    "rnn_init": "nn.cells",
    "rnn_step": "nn.unroll",
    "train_step": "learning.step",
}

__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
