"""How a run or sweep may start, and what is refused before anything is deleted."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from jaxcap.files import AnyPath
from jaxcap.learning import processes
from jaxcap.learning.checkpoint_info import RunInfo
from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.run_folder import holds_run, holds_sweep
from jaxcap.learning.sharding import Layout
from jaxcap.learning.step import TrainState
from jaxcap.learning.word_vectors import start_words
from jaxcap.nn.parameters import Params
from jaxcap.text.word_vectors import WordVectors


class Start(TypedDict, total=False):
    """How a run starts.

    resume: continue the run that the folder holds, as if it had never stopped.
    overwrite: delete the run that the folder holds.
    init_from: folder of another run whose parameters a new run starts with; a run that is resumed
        has them behind it.
    word_vectors: vectors that `W_embed` starts with, likewise; see `jaxcap.learning.word_vectors`.
    flags: what `run.json` records of the settings that a command was given.
    """

    resume: bool
    overwrite: bool
    init_from: AnyPath | None
    word_vectors: WordVectors | None
    flags: Mapping[str, Any]


def initial_params(start: Start, info: RunInfo) -> Params | None:
    """Load the parameters of another run; None if a new run draws its own, or is resumed.

    Raises:
        ValueError: `info` needs other parameters, or word vectors are given as well.
    """
    init_from = start.get("init_from")
    if start.get("resume") or init_from is None:
        return None
    if start.get("word_vectors") is not None:
        raise ValueError(
            "`init_from` starts with the word vectors of its run: leave out `word_vectors`"
        )
    loaded = Checkpoints(init_from).load("newest")
    loaded.info.check_vocabulary(info.vocabulary, info.source.folder, init_from)
    ours, theirs = info.model.parameter_shapes(), loaded.info.model.parameter_shapes()
    for name in theirs | ours:
        if ours.get(name) != theirs.get(name):
            had, needed = (
                f"{name} of shape {shapes[name]}" if name in shapes else f"no {name}"
                for shapes in (theirs, ours)
            )
            raise ValueError(
                f"{init_from}: has {had}, this run needs {needed}: give the same `cell`, "
                "`init_cell`, `feed_features`, `attention`, `hidden_dim`, `wordvec_dim`, features "
                "and grids"
            )
    return loaded.params


def with_words(state: TrainState, start: Start) -> TrainState:
    """Put the word vectors that a new run is given into its state."""
    found = start.get("word_vectors")
    return state if found is None or start.get("resume") else start_words(state, found)


def check_start(folder: Path, info: RunInfo, layout: Layout | None, start: Start) -> None:
    """Refuse what cannot be started, before anything is deleted."""
    resume, overwrite = start.get("resume", False), start.get("overwrite", False)
    given = start.get("init_from") is not None
    if resume and overwrite:
        raise ValueError("`resume` keeps the run that `overwrite` deletes: give one of the two")
    if layout is not None:
        if info.training.objective == "cider":
            raise ValueError(
                "`objective=cider` trains on one device: start one process, with `batch_shards=1` "
                "if it has several"
            )
        layout.check_vocabulary(info.model.vocab_size)
    vectors = start.get("word_vectors")
    words = vectors and [vectors.ids.tolist(), float(vectors.vectors.sum())]
    alike = json.dumps([info.digest, resume, overwrite, given, words])
    processes.check_same(zlib.crc32(alike.encode()) >> 1, "flags or data")
    if not resume:
        if info.training.objective == "cider" and not given:
            raise ValueError(
                "`objective=cider` fine-tunes a captioner that can write: name its run by "
                "`init_from`"
            )
    elif not holds_run(folder):
        raise FileNotFoundError(
            f"{folder}: holds no run to resume: leave out `resume` to start one"
        )
    elif holds_sweep(folder):
        raise ValueError(
            f"{folder}: holds a sweep, which cannot be resumed: train its best captioner further "
            "by `init_from` and another `checkpoint_dir`"
        )
