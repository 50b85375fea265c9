"""How a captioner computes: choices that change time and memory, and results by rounding only.

`ComputePlan.choose` and `ComputePlan.looks_up` hold every rule for them, as measured by
`benchmarks/`.
"""

import math
from dataclasses import dataclass

import jax

_MANY_LOGITS = 4e6
_BLOCK = 512


@dataclass(frozen=True)
class ComputePlan:
    """Choices for a loss or a decoder; hashable, so that they can be static under `jit`.

    Attributes:
        block: words whose logits are computed at a time, without those of padding; None for all at
            once. See `jaxcap.nn.blockwise_loss`.
        widths: numbers of columns to which a train step may cut captions, growing and up to L: it
            computes with the least that holds all words. Each is a program of its own within the
            step. Empty: captions are never cut.
        remat: keep less for the backward pass and compute more: the carry once in about sqrt(T)
            steps, and the hidden states.
        table: allow looking up the input product of each word of the vocabulary, computed once.
    """

    block: int | None = None
    widths: tuple[int, ...] = ()
    remat: bool = False
    table: bool = True

    @classmethod
    def choose(
        cls,
        vocab_size: int,
        rows: int,
        columns: int,
        *,
        cut: bool = False,
        remat: bool = False,
        sharded: bool = False,
    ) -> "ComputePlan":
        """Choose what is fastest for minibatches of N captions of L words.

        Args:
            vocab_size: number of words, V.
            rows: captions in a minibatch, N.
            columns: words of a caption, `<START>`, `<END>` and padding included, L.
            cut: whether captions of a minibatch are of like length, so that cutting them pays.
            remat: keep less for the backward pass.
            sharded: whether a minibatch lies over several devices. The vocabulary may then lie over
                several too, which XLA's partitioner sees to; and word vectors are less to send than
                their products.
        """
        block = None
        many = rows * (columns - 1) * vocab_size > _MANY_LOGITS
        if many and not sharded and jax.default_backend() == "cpu":
            block = _BLOCK
        widths = {max(2, math.ceil(columns * part / 8)) for part in range(3, 9)} if cut else ()
        return cls(block, tuple(sorted(widths)), remat, table=not sharded)

    def looks_up(self, words: int, vocab_size: int) -> bool:
        """Whether so many words are worth a table of a whole vocabulary."""
        return self.table and vocab_size <= words
