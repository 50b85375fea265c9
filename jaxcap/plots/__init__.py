"""Figures: loss curves, captioned pictures, probabilities of words, gates and maps of attention.

Each function returns a Matplotlib figure and needs no display. Install the extra `plots`.
"""

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError("figures need Matplotlib: pip install 'jaxcap[plots]'") from error

from jaxcap.plots.attention import attention_maps
from jaxcap.plots.curves import loss_curve, sweep_curves
from jaxcap.plots.figures import save_figure
from jaxcap.plots.gates import gate_maps
from jaxcap.plots.grids import caption_grid, sheet_grid
from jaxcap.plots.words import probability_strip

__all__ = [
    "attention_maps",
    "caption_grid",
    "gate_maps",
    "loss_curve",
    "probability_strip",
    "save_figure",
    "sheet_grid",
    "sweep_curves",
]
