"""Flags of the commands that encode pictures."""

from absl import flags

from jaxcap.vision.encoder import DEFAULT_ENCODER, ENCODERS, check_name


class _EncoderParser(flags.ArgumentParser[str]):
    """Takes the names of encoders, with + between several."""

    def parse(self, argument: str) -> str:
        check_name(argument)
        return argument

    def flag_type(self) -> str:
        return "string"


ENCODER = flags.DEFINE(
    _EncoderParser(),
    "encoder",
    None,
    f"Network that encodes pictures: {', '.join(ENCODERS)}; or several with + between them, whose "
    f"features are put beside each other. The default is {DEFAULT_ENCODER} to prepare features, "
    "and the encoder of the captioner to caption.",
    serializer=flags.ArgumentSerializer(),
)
ENCODER_WEIGHTS = flags.DEFINE_string(
    "encoder_weights",
    None,
    "Safetensors or npz file with the encoder's weights, for those that do not come with jaxcap; "
    "of several encoders NAME=FILE,NAME=FILE.",
)
