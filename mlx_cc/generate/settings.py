"""What generating chains can be told. The field is the flag and the line in the docs."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

DEFAULT_MODEL = "Qwen/Qwen2.5-7B-Instruct"


class GenerateSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a teacher writes chains."""

    model: Annotated[
        str, Meta(description="The teacher: Hugging Face id, folder, or one `mlx_cc models list` knows.")
    ] = DEFAULT_MODEL
    batch_size: Annotated[int, Meta(ge=1, description="Chains written at once.")] = 32
    blind: Annotated[
        bool,
        Meta(
            description="Let the teacher answer before it sees the labels; where it comes to others, it is told them "
            "and writes once more, and the chain is marked rationalised."
        ),
    ] = False
    form: Annotated[
        Literal["grammar", "free"],
        Meta(description="The structure is guaranteed by a grammar, or free text is put into it."),
    ] = "grammar"
    guide: Annotated[
        bool, Meta(description="Tell the teacher rules and form; a model that was tuned on chains does without them.")
    ] = True
    retries: Annotated[
        int, Meta(ge=0, description="Times a rejected chain is written again, the teacher told what was wrong.")
    ] = 1
    think: Annotated[
        Literal["off", "strip", "keep"],
        Meta(description="Whether an R1-style teacher thinks in <think> first, and whether that is kept."),
    ] = "off"
    think_characters: Annotated[int, Meta(ge=0, description="The most it may think.")] = 4000
    point_characters: Annotated[int, Meta(ge=20, description="The most a single point may take.")] = 160
    max_tokens: Annotated[int, Meta(ge=100, description="The most a chain may take, thoughts left out.")] = 2000
    max_seq_length: Annotated[
        int, Meta(ge=512, description="The most tokens of a question; longer transcripts lose turns from their middle.")
    ] = 4096
    temperature: Annotated[float, Meta(ge=0, description="0 takes the most probable token always.")] = 0.0
    language: Annotated[str, Meta(description="Of the chains, two letters.")] = "en"
    seed: Annotated[int, Meta(ge=0, description="Of the sampling, with a temperature.")] = 0

    @property
    def attempts(self) -> int:
        """The most chains written for a conversation."""
        return self.retries + 1
