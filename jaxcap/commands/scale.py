"""The flags that say over how many devices and processes training is spread."""

from functools import partial

from absl import flags

from jaxcap.commands.messages import in_flags
from jaxcap.learning import processes

BATCH_SHARDS = flags.DEFINE_integer(
    "batch_shards",
    None,
    "Parts that a minibatch and the training captions are split into, one a device; by default as "
    "many as there are devices for. 1 is one device.",
    lower_bound=1,
)
VOCAB_SHARDS = flags.DEFINE_integer(
    "vocab_shards",
    1,
    "Parts that the vocabulary's matrices are split into; each part of the batch then takes as "
    "many devices.",
    lower_bound=1,
)
COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT at which process 0 can be reached; with --num_processes and --process_id it makes "
    "this process one of several.",
)
NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Processes that train together.", lower_bound=1
)
PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Which of --num_processes this one is, from 0.", lower_bound=0
)
DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "Be one of the processes that SLURM, Open MPI or a TPU pod started; JAX finds out which.",
)


def connect() -> None:
    """Join the other processes that the flags speak of, if any.

    Raises:
        ValueError: one of the flags is missing or wrong.
        ConnectionError: the others cannot be found.
    """
    switches = {"distributed": True, "resume": True, "coordinator": False}
    switches |= {"num_processes": False, "process_id": False}
    spell = partial(in_flags, flags=switches)
    given = {flag.name: flag.value for flag in (COORDINATOR, NUM_PROCESSES, PROCESS_ID)}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if DISTRIBUTED.value:
        if len(missing) < len(given):
            raise ValueError(
                "--distributed finds --coordinator, --num_processes and --process_id itself: give "
                "either it or those three"
            )
        processes.connect(spell=spell)
        return
    if len(missing) == len(given):
        return
    if missing:
        raise ValueError(
            "--coordinator, --num_processes and --process_id are needed together: "
            f"{', '.join(missing)} missing"
        )
    coordinator, num, number = COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value
    assert coordinator is not None and num is not None and number is not None
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"--coordinator={coordinator}: expected HOST:PORT, such as node1:29500")
    if number >= num:
        raise ValueError(
            f"--process_id={number}: expected 0 to {num - 1}, for --num_processes={num}"
        )
    processes.connect(coordinator, num, number, spell=spell)
