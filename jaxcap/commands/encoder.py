"""The flags of the commands that look at pictures."""

from absl import flags

from jaxcap.vision.encoder import DEFAULT_ENCODER, ENCODERS

ENCODER = flags.DEFINE_enum(
    "encoder",
    None,
    ENCODERS,
    f"Network that makes features of pictures. The default is {DEFAULT_ENCODER} where features are "
    "made to train on, and the captioner's own where it captions.",
)
ENCODER_WEIGHTS = flags.DEFINE_string(
    "encoder_weights",
    None,
    "Safetensors or npz file with the encoder's weights; vgg16 and vgg16-caffe need one.",
)
