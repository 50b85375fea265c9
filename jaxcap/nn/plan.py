"""How a captioner computes: choices that change time and memory, and results only by rounding.

`ComputePlan.choose` and `ComputePlan.looks_up` make these choices, by rules that `benchmarks/`
measured.
"""

import math
from dataclasses import dataclass

import jax

_MANY_LOGITS = 4e6
_BLOCK = 512


@dataclass(frozen=True)
class ComputePlan:
    """Choices for a loss or a decoder; hashable, static under `jit`.

    Attributes:
        block: number of words whose logits are computed at a time, without padding; None for all at
            once. See `jaxcap.nn.blockwise_loss`.
        widths: numbers of columns to which a train step may cut captions, increasing, at most L.
            The step uses the least that holds all words. Each is compiled separately within the
            step. Captions are never cut if it is empty.
        remat: store less for the backward pass and compute more: store the hidden states, and the
            carry once in about sqrt(T) steps.
        table: allow a lookup of the input product of each word of the vocabulary, computed once.
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
        """Choose the fastest plan for minibatches of N captions of L words.

        Args:
            vocab_size: number of words, V.
            rows: captions in a minibatch, N.
            columns: words of a caption with `<START>`, `<END>` and padding, L.
            cut: whether the captions of a minibatch have similar lengths, so that it is faster to
                cut them.
            remat: store less for the backward pass.
            sharded: whether a minibatch is sharded over several devices. XLA's partitioner then
                handles a sharded vocabulary, and word vectors are smaller to send than their
                products.
        """
        block = None
        many = rows * (columns - 1) * vocab_size > _MANY_LOGITS
        if many and not sharded and jax.default_backend() == "cpu":
            block = _BLOCK
        widths = {max(2, math.ceil(columns * part / 8)) for part in range(3, 9)} if cut else ()
        return cls(block, tuple(sorted(widths)), remat, table=not sharded)

    def looks_up(self, words: int, vocab_size: int) -> bool:
        """Whether a table of the whole vocabulary is faster for this number of words."""
        return self.table and vocab_size <= words
