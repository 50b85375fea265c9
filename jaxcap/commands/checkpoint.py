"""Flag of the commands that use a trained captioner."""

from absl import flags

BEST = flags.DEFINE_bool(
    "best",
    True,
    "Use the checkpoint with the best validation metric; with --nobest, the newest checkpoint.",
)
