"""Write a small copy of a trained captioner for sharing, in half precision, without training state.

`python -m jaxcap.export --checkpoint checkpoints/mine --output shared/mine`

`caption`, `sample`, `evaluate` and `--init_from` load the copy like the original run. It contains
no paths of your machine.
"""

from absl import flags

from jaxcap.commands import checkpoint as checkpoint_flags
from jaxcap.commands import run as command
from jaxcap.commands.checkpoint import BEST

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Folder of the run of the captioner.", required=True
)
OUTPUT = flags.DEFINE_string("output", None, "New folder to write.", required=True)
DTYPE = flags.DEFINE_enum(
    "dtype", "float16", ["float16", "float32"], "Precision of the parameters."
)

flags.adopt_module_key_flags(command)
flags.adopt_module_key_flags(checkpoint_flags)


def main() -> None:
    # Imported here to keep --help fast.
    from jaxcap.trained import load_captioner

    path = load_captioner(CHECKPOINT.value, best=BEST.value).export(OUTPUT.value, DTYPE.value)
    size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
    print(f"wrote {path}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    command.run(main)
