"""Settings of generating chains. A field is also the flag and the line in the docs."""

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
            description="Let the teacher answer before it sees the labels. Where its answers differ, it sees them "
            "and writes again, and the chain is marked rationalised."
        ),
    ] = False
    form: Annotated[
        Literal["grammar", "free"],
        Meta(description="A grammar guarantees the structure, or free text is put into it."),
    ] = "grammar"
    guide: Annotated[
        bool, Meta(description="Give the teacher rules and form; a model tuned on chains needs neither.")
    ] = True
    retries: Annotated[
        int, Meta(ge=0, description="Times a rejected chain is written again; the teacher sees what was wrong.")
    ] = 1
    think: Annotated[
        Literal["off", "strip", "keep"],
        Meta(description="Thoughts of an R1-style teacher in <think>: none, removed from the record, or kept in it."),
    ] = "off"
    think_characters: Annotated[int, Meta(ge=0, description="Most characters of such thoughts.")] = 4000
    point_characters: Annotated[int, Meta(ge=20, description="Most characters of a point.")] = 160
    max_tokens: Annotated[int, Meta(ge=100, description="Most tokens of a chain, without thoughts.")] = 2000
    max_seq_length: Annotated[
        int, Meta(ge=512, description="Most tokens of a question; a longer transcript loses turns from its middle.")
    ] = 4096
    temperature: Annotated[float, Meta(ge=0, description="0 always takes the most probable token.")] = 0.0
    language: Annotated[str, Meta(description="Language of the chains, two letters.")] = "en"
    seed: Annotated[int, Meta(ge=0, description="Seed of the sampling, with a temperature.")] = 0

    @property
    def attempts(self) -> int:
        """Most chains written for one conversation."""
        return self.retries + 1
