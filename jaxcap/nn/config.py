"""The shape of a captioner: its sizes, its cell and the shapes of its parameters."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from jaxcap.nn.cells import LSTM, Cell
from jaxcap.nn.find_cell import cell_path, find_cell
from jaxcap.nn.regularisation import Regularisation

if TYPE_CHECKING:
    from jaxcap.nn.linen_cell import LinenCell

ATTENTIONS = ("soft", "topdown")
"""Kinds of attention."""


@dataclass(frozen=True)
class CaptionerConfig:
    """Shape of a captioner; hashable, static under `jit`.

    >>> config = CaptionerConfig(vocab_size=1004, feature_dim=512, hidden_dim=64)
    >>> config.parameter_shapes()["W_vocab"]
    (64, 1004)

    Attributes:
        vocab_size: number of words, V.
        feature_dim: length of an image's feature vector, D.
        wordvec_dim: length of a word vector, W.
        hidden_dim: number of hidden units, H.
        cell: "lstm", "rnn", a `jaxcap.nn.cells.Cell`, or the import path of a `Cell` or of a Flax
            Linen cell.
        init_cell: project the features to the initial cell state of the LSTM too.
        feed_features: add the projected features to every word vector.
        attention: how to attend to the grid of an image for each word. "soft" is one cell (Xu et
            al. 2015), "topdown" one to look and one to write (Anderson et al. 2018); None sees the
            features alone.
        grid_dim: length of a vector of the grid, C; 0 without attention.
        dropout: dropout rate in training, of the features, of the word vectors and of the hidden
            states before the last layer.

    Raises:
        ValueError: a size is below 1, `init_cell` is set for a cell other than the LSTM, or
            `dropout` is outside [0, 1).
        CellError: there is no such cell, or a captioner cannot use it.
    """

    vocab_size: int
    feature_dim: int
    wordvec_dim: int = 256
    hidden_dim: int = 512
    cell: str | Cell = "lstm"
    init_cell: bool = False
    dropout: float = 0.0
    feed_features: bool = False
    attention: str | None = None
    grid_dim: int = 0

    def __post_init__(self):
        for name in ("vocab_size", "feature_dim", "wordvec_dim", "hidden_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}")
        if self.found_cell != LSTM and self.init_cell:
            raise ValueError(f"`init_cell` needs `cell=lstm`, got {self.cell}")
        if self.attention not in (None, *ATTENTIONS):
            raise ValueError(
                f"`attention` is {self.attention!r}, expected {', '.join(ATTENTIONS)} or None"
            )
        if self.attention and self.grid_dim < 1:
            raise ValueError(
                "`attention` needs images with a grid: give `grid_dim`, the length of its vectors"
            )
        if self.attention and not isinstance(self.found_cell, Cell):
            raise ValueError(f"`attention` needs a `Cell`, got the Linen cell {self.cell}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must be at least 0 and below 1, got {self.dropout}")

    @classmethod
    def for_data(cls, data: Any, **changes: Any) -> "CaptionerConfig":
        """Make the configuration of a captioner for a data set.

        Args:
            data: a `jaxcap.Dataset`; gives `vocab_size`, `feature_dim` and, with `attention`,
                `grid_dim`.
            **changes: other fields, in place of their defaults.
        """
        if changes.get("attention"):
            changes = {"grid_dim": data.grid_dim, **changes}
        return cls(len(data.vocabulary), data.feature_dim, **changes)

    @property
    def found_cell(self) -> "Cell | LinenCell":
        """The cell that `cell` names, or is."""
        return find_cell(self.cell, self.wordvec_dim, self.hidden_dim)

    @property
    def has_word_table(self) -> bool:
        """Whether the input product depends only on the word, so that it can be looked up."""
        return isinstance(self.found_cell, Cell) and not self.feed_features

    @property
    def regularisation(self) -> Regularisation:
        """The default regularisation of the loss."""
        return Regularisation(dropout=self.dropout or None)

    def to_json(self) -> dict[str, Any]:
        """Convert the fields to plain JSON values; as arguments they make an equal configuration.

        Raises:
            CellError: the cell cannot be found again by its path.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "cell": cell_path(self.cell)}

    def _attention_shapes(self) -> dict[str, tuple[int, ...]]:
        cell, H = self.found_cell, self.hidden_dim
        if self.attention is None or not isinstance(cell, Cell):
            return {}
        G = cell.gates * H
        more: dict[str, tuple[int, ...]] = {"W_gate": (H, 1), "b_gate": (1,)}
        if self.attention == "topdown":
            more = {
                "W_pooled": (self.feature_dim, G),
                "W_above": (H, G),
                "Wx2": (H, G),
                "Wh2": (H, G),
                "b2": (G,),
            }
        return {
            "W_grid": (self.grid_dim, H),
            "b_grid": (H,),
            "W_key": (H, H),
            "b_key": (H,),
            "W_query": (H, H),
            "W_score": (H, 1),
            **more,
            "W_context": (H, G),
        }

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every parameter by its name."""
        D, W, H, V = self.feature_dim, self.wordvec_dim, self.hidden_dim, self.vocab_size
        cell = self.found_cell
        if isinstance(cell, Cell):
            G = cell.gates * H
            of_cell: dict[str, tuple[int, ...]] = {"Wx": (W, G), "Wh": (H, G), "b": (G,)}
        else:
            of_cell = cell.shapes
        first: dict[str, tuple[int, ...]] = {"W_cell": (D, H), "b_cell": (H,)}
        return {
            "W_proj": (D, H),
            "b_proj": (H,),
            **(first if self.init_cell else {}),
            **({"W_feed": (D, W)} if self.feed_features else {}),
            **self._attention_shapes(),
            "W_embed": (V, W),
            **of_cell,
            "W_vocab": (H, V),
            "b_vocab": (V,),
        }
