"""Make a trained captioner small, to be shared: parameters in half precision, nothing to train on.

`python -m jaxcap.export --checkpoint checkpoints/mine --output shared/mine`

What it writes is loaded like the run it came from by `caption`, `sample`, `evaluate` and
`--init_from`; paths of this machine are left out of it.
"""

from absl import flags

from jaxcap.commands import checkpoint as checkpoint_flags
from jaxcap.commands import run as command
from jaxcap.commands.checkpoint import BEST

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Folder of the run whose captioner to export.", required=True
)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write, a new one.", required=True)
DTYPE = flags.DEFINE_enum(
    "dtype", "float16", ["float16", "float32"], "Precision of the parameters."
)

flags.adopt_module_key_flags(command)
flags.adopt_module_key_flags(checkpoint_flags)


def main() -> None:
    # Here, so that --help need not wait for it.
    from jaxcap.trained import load_captioner

    path = load_captioner(CHECKPOINT.value, best=BEST.value).export(OUTPUT.value, DTYPE.value)
    size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
    print(f"wrote {path}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    command.run(main)
