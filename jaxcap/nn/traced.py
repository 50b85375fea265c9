"""Numbers that may be traced, as those of a sweep are: what is known of them while compiling."""

from jaxtyping import Array


def is_zero(number: float | Array) -> bool:
    """Whether a number is surely 0; one that is traced may be any."""
    return isinstance(number, (int, float)) and number == 0
