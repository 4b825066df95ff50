"""Settings of `mlx_cc generate`. A field is also the flag and the line in the docs."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

DEFAULT_MODEL = "Qwen/Qwen2.5-7B-Instruct"


class GenerateSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a teacher writes chains."""

    model: Annotated[
        str, Meta(description="Teacher: Hugging Face id, folder, or a name from `mlx_cc models list`.")
    ] = DEFAULT_MODEL
    batch_size: Annotated[int, Meta(ge=1, description="Chains written at once.")] = 32
    blind: Annotated[
        bool,
        Meta(
            description="Let the teacher answer before it sees the labels. Where its answers differ, it sees the "
            "labels, writes again, and the chain is marked rationalised."
        ),
    ] = False
    form: Annotated[
        Literal["grammar", "free"],
        Meta(description="Write under a grammar that guarantees the structure, or write freely and convert the text."),
    ] = "grammar"
    guide: Annotated[
        bool, Meta(description="Show the teacher the rules and the form. A model tuned on chains needs neither.")
    ] = True
    retries: Annotated[
        int, Meta(ge=0, description="How often a rejected chain is written again. The teacher sees the faults.")
    ] = 1
    think: Annotated[
        Literal["off", "strip", "keep"],
        Meta(description="<think> block of an R1-style teacher: none, removed, or kept in the record."),
    ] = "off"
    think_characters: Annotated[int, Meta(ge=0, description="Most characters of the <think> block.")] = 4000
    point_characters: Annotated[int, Meta(ge=20, description="Most characters of a point.")] = 160
    max_tokens: Annotated[int, Meta(ge=100, description="Most tokens of a chain, <think> block not counted.")] = 2000
    max_seq_length: Annotated[
        int, Meta(ge=512, description="Most tokens of a prompt. A longer transcript loses turns from its middle.")
    ] = 4096
    temperature: Annotated[float, Meta(ge=0, description="Sampling temperature; 0: the most probable token.")] = 0.0
    language: Annotated[str, Meta(description="Language of the chains, a two-letter code.")] = "en"
    seed: Annotated[int, Meta(ge=0, description="Seed of the sampling; without effect at temperature 0.")] = 0

    @property
    def attempts(self) -> int:
        """Most chains written for one conversation."""
        return self.retries + 1
