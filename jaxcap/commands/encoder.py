"""Flags of the commands that encode pictures."""

from absl import flags

from jaxcap.vision.encoder import DEFAULT_ENCODER, ENCODERS

ENCODER = flags.DEFINE_enum(
    "encoder",
    None,
    ENCODERS,
    f"Network that encodes pictures. The default is {DEFAULT_ENCODER} to prepare features, and the "
    "encoder of the captioner to caption.",
)
ENCODER_WEIGHTS = flags.DEFINE_string(
    "encoder_weights",
    None,
    "Safetensors or npz file with the encoder's weights; vgg16 and vgg16-caffe need one.",
)
