"""Flags of training on several devices and processes."""

from functools import partial

from absl import flags

from jaxcap.commands.messages import in_flags
from jaxcap.learning import processes

BATCH_SHARDS = flags.DEFINE_integer(
    "batch_shards",
    None,
    "Number of shards of a minibatch and of the training captions, one per device. The default "
    "uses all devices; 1 uses one device.",
    lower_bound=1,
)
VOCAB_SHARDS = flags.DEFINE_integer(
    "vocab_shards",
    1,
    "Number of shards of the vocabulary's matrices. Each shard of the batch then takes this number "
    "of devices.",
    lower_bound=1,
)
COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "HOST:PORT of process 0, to train in several processes; needs --num_processes and "
    "--process_id.",
)
NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Number of processes that train together.", lower_bound=1
)
PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Number of this process, from 0 to --num_processes - 1.", lower_bound=0
)
DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "Train in the processes that SLURM, Open MPI or a TPU pod started; JAX finds the coordinator "
    "and the number of this process.",
)


def connect() -> None:
    """Connect to the other processes if the flags give any.

    Raises:
        ValueError: one of the flags is missing or wrong.
        ConnectionError: the other processes cannot be reached.
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
                "only --distributed, or only those three"
            )
        processes.connect(spell=spell)
        return
    if len(missing) == len(given):
        return
    if missing:
        raise ValueError(
            "--coordinator, --num_processes and --process_id are needed together: "
            f"give {' and '.join(missing)} too"
        )
    coordinator, num, number = COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value
    assert coordinator is not None and num is not None and number is not None
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"--coordinator={coordinator}: expected HOST:PORT, such as node1:29500")
    if number >= num:
        raise ValueError(
            f"--process_id={number}: expected 0 to {num - 1}, since --num_processes={num}"
        )
    processes.connect(coordinator, num, number, spell=spell)
