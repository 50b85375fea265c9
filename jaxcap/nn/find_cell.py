"""A captioner's cell by its name, its import path, or itself; checked before it is used."""

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
    """A cell that cannot be found or that a captioner cannot use; the message names `cell`."""


@cache
def find_cell(cell: str | Cell, wordvec_dim: int, hidden_dim: int) -> "Cell | LinenCell":
    """Find a cell, and check that a captioner can use it.

    Args:
        cell: the cell itself, "lstm", "rnn", or an import path, `package.module.name` or
            `package.module:name`, of a `Cell` or of a Linen class. The module is imported, which
            runs it.
        wordvec_dim: length of a word vector, W.
        hidden_dim: number of hidden units, H.

    Raises:
        CellError: there is no such module or cell, or its carry or output does not fit; the message
            is one sentence with what to do.
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
        # Flax takes a while to import, and few captioners need it.
        from jaxcap.nn.linen_cell import make_linen_cell

        return make_linen_cell(found, wordvec_dim, hidden_dim)
    except ValueError as error:
        raise CellError(f"{where}: {error}") from error


def cell_path(cell: str | Cell) -> str:
    """The name or import path by which `find_cell` finds a cell again.

    Raises:
        CellError: it has no path, or there is another cell under it.
    """
    if isinstance(cell, str):
        return cell
    remedy = 'put it in a module and give Cell(path="my_cells:cell")'
    if cell.path is None:
        raise CellError(f"`cell` has no path by which a checkpoint could find it again: {remedy}")
    where = f"`cell={cell.path}`"
    found = CELLS[cell.path] if cell.path in CELLS else _resolve(cell.path, where)
    if not isinstance(found, Cell) or found._replace(path=cell.path) != cell:
        raise CellError(f"{where}: is another cell than the one that has this path: {remedy}")
    return cell.path


def _resolve(path: str, where: str) -> Any:
    try:
        return pkgutil.resolve_name(path)
    except Exception as error:  # Whatever the module raises when it is imported.
        raise CellError(
            f"{where}: cannot be imported ({type(error).__name__}: {error}): {_REMEDY}"
        ) from error
