"""Find the cell of a captioner by name or import path, and check it before use."""

import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

from jaxcap.nn.cell_checks import check_cell
from jaxcap.nn.cells import CELLS, Cell

if TYPE_CHECKING:
    from jaxcap.nn.linen_cell import LinenCell

_REMEDY = (
    "give lstm, rnn, or the path of a jaxcap.nn.cells.Cell or of a Flax Linen cell, such as "
    "flax.linen.GRUCell"
)


class CellError(ValueError):
    """A cell cannot be found, or a captioner cannot use it; the message names `cell`."""


@cache
def find_cell(cell: str | Cell, wordvec_dim: int, hidden_dim: int) -> "Cell | LinenCell":
    """Find a cell, and check that a captioner can use it.

    Args:
        cell: the cell itself, "lstm", "rnn", or the import path of a `Cell` or of a Linen class,
            `package.module.name` or `package.module:name`. The module is imported, which runs it.
        wordvec_dim: length of a word vector, W.
        hidden_dim: number of hidden units, H.

    Raises:
        CellError: there is no such module or cell, or its carry or output does not fit; the message
            is one sentence with the remedy.
    """
    where = f"`cell={cell}`" if isinstance(cell, str) else "`cell`"
    found = cell
    if isinstance(cell, str):
        found = CELLS[cell] if cell in CELLS else _resolve(cell, where)
    try:
        if isinstance(found, Cell):
            if found not in CELLS.values():
                check_cell(found, hidden_dim)
            return found
        # Imported here: Flax is slow to import, and few captioners need it.
        from jaxcap.nn.linen_cell import make_linen_cell

        return make_linen_cell(found, wordvec_dim, hidden_dim)
    except ValueError as error:
        raise CellError(f"{where}: {error}") from error


def cell_path(cell: str | Cell) -> str:
    """Return the name or import path by which `find_cell` finds a cell again.

    Raises:
        CellError: the cell has no path, or its path is that of another cell.
    """
    if isinstance(cell, str):
        return cell
    remedy = 'put it in a module and give Cell(path="my_cells:cell")'
    if cell.path is None:
        raise CellError(f"`cell` has no path by which a checkpoint could find it again: {remedy}")
    where = f"`cell={cell.path}`"
    found = CELLS[cell.path] if cell.path in CELLS else _resolve(cell.path, where)
    if not isinstance(found, Cell) or found._replace(path=cell.path) != cell:
        raise CellError(f"{where}: another cell is at this path: {remedy}")
    return cell.path


def _resolve(path: str, where: str) -> Any:
    try:
        return pkgutil.resolve_name(path)
    except Exception as error:  # The module may raise anything when it is imported.
        raise CellError(
            f"{where}: cannot be imported ({type(error).__name__}: {error}): {_REMEDY}"
        ) from error
