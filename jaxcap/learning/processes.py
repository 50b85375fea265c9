"""Several processes that train together, one or more a host, through `jax.distributed`.

All of them run the same program. Where one of them decides, all learn of it here. If one dies, the
others stop as soon as JAX notices: at once where a connection to it breaks, and within
`HEARTBEAT_SECONDS` where it only falls silent. JAX may then abort the process, which nothing in
the process can catch; so a shell waits beside it to say why in one line.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

CONNECT_SECONDS = 300
"""After which a process gives up waiting for the others at the start."""
HEARTBEAT_SECONDS = 30
"""After which a silent process counts as dead."""
_FAREWELL_SECONDS = 5
_REMEDY = "start all of them again, with `resume=True` to continue from the last checkpoint"
_LOST = re.compile(
    r"\b(gloo|nccl|coordination|heartbeat|barrier|peer|DEADLINE_EXCEEDED|UNAVAILABLE)\b", re.I
)

_name = "this process"
_watcher: subprocess.Popen[bytes] | None = None


def connect(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    seconds: int = CONNECT_SECONDS,
    spell: Callable[[str], str] = str,
) -> None:
    """Join the other processes, before JAX touches a device.

    Args:
        coordinator: host and port at which process 0 can be reached; None, as are the other two,
            to let JAX find all three from SLURM, Open MPI or a TPU pod.
        num_processes: how many there are.
        process_id: which of them this one is, from 0.
        seconds: how long to wait for the others.
        spell: writes a message, which names arguments in backticks, as the user knows them; for
            what is said where JAX aborts the process.

    Raises:
        ConnectionError: they, or the three values, cannot be found.
    """
    # Its handler of SIGTERM would take the place of ours.
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    if coordinator is None:
        name = "this process"
        missed = (
            "`distributed` finds no SLURM, Open MPI or TPU pod that it could join: give "
            "`coordinator`, `num_processes` and `process_id`"
        )
    else:
        name = f"process {process_id} of {num_processes}"
        missed = (
            f"{name} found no others at `coordinator={coordinator}` within {seconds} s: start as "
            "many as `num_processes` says, and see that process 0 runs on that host with the port "
            "free"
        )
    # Whether JAX raises an error or aborts depends on what is missing.
    _watch(spell(missed))
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            cluster_detection_method=None if coordinator is None else "deactivate",
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (RuntimeError, ValueError, KeyError) as error:
        _dismiss()
        raise ConnectionError(f"{missed} ({_first_line(error)})") from error
    _dismiss()
    _watch(spell(f"{name} was killed, or another one stopped or cannot be reached: {_REMEDY}"))
    global _name
    _name = name


def is_first() -> bool:
    """Tell whether this is the process that prints and writes for all."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Barrier across processes; `name` is of the place in the program."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def largest(value: int) -> int:
    """Give the largest of the processes' values; each must call it."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.process_allgather(np.int32(value)).max())


def of_first(value: float) -> float:
    """Give the value of process 0; each must call it."""
    if jax.process_count() == 1:
        return value
    # As words, since JAX has no float64 by default.
    words = multihost_utils.broadcast_one_to_all(np.array([value]).view(np.uint32))
    return float(np.asarray(words).view(np.float64)[0])


def check_same(digest: int, what: str) -> None:
    """Refuse to start where processes differ.

    Args:
        digest: of what must be the same, below 2^31.
        what: its name.

    Raises:
        ValueError: another process has another.
    """
    if jax.process_count() == 1:
        return
    digests = multihost_utils.process_allgather(np.int32(digest))
    other = np.flatnonzero(digests != digests[0])
    if other.size:
        raise ValueError(
            f"process {other[0]} was started with {what} other than process 0's: give all "
            "processes the same flags and data"
        )


def joined() -> bool:
    """Tell whether this is one of several processes."""
    return _watcher is not None


def explain_loss(error: BaseException) -> str | None:
    """Explain an error that another process's end has caused; None for any other."""
    while error.__cause__ is not None:
        error = error.__cause__
    if not joined() or not _LOST.search(str(error)):
        return None
    return (
        f"{_name} lost another one, which stopped or cannot be reached: {_REMEDY} "
        f"({_first_line(error)})"
    )


def part() -> None:
    """End training together; each process waits for the others."""
    if joined():
        jax.distributed.shutdown()
        _dismiss()


def leave(code: int) -> None:
    """End a process of several after an error, without waiting for those that wait for it."""
    if not jax.distributed.is_initialized():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if joined() and is_first():
        # The others find out by themselves what happened, unless their coordinator goes first.
        time.sleep(_FAREWELL_SECONDS)
    _dismiss()
    os._exit(code)


def _watch(said: str) -> None:
    """Start what says this error if JAX aborts the process."""
    global _watcher
    _watcher = subprocess.Popen(
        ["/bin/sh", "-c", 'read -r word || echo "$1" >&2', "sh", f"error: {said}"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _dismiss() -> None:
    global _watcher
    if _watcher is not None:
        _watcher.communicate(b"done\n")
        _watcher = None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
