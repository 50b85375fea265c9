"""The flag of the commands that use a trained captioner."""

from absl import flags

BEST = flags.DEFINE_bool(
    "best", True, "Use the checkpoint that did best on validation; --nobest is the newest."
)
