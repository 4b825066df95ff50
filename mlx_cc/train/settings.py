"""The settings of a training run. A field is the YAML key, the flag, the line in the docs and in the JSON schema."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from mlx_cc.prompt import PromptSettings

OFTEN = (
    "name",
    "max_seq_length",
    "output_dir",
    "num_train_epochs",
    "per_device_train_batch_size",
    "learning_rate",
    "r",
    "dir",
)
"""Settings that people change; `--help` lists these flags alone."""
UNPLANNED = tuple(
    f"training.{name}"
    for name in (
        "output_dir",
        "learning_rate",
        "lr_scheduler_type",
        "warmup_ratio",
        "weight_decay",
        "max_grad_norm",
        "soft_width",
        "soft_error_weight",
        "logging_steps",
        "early_stopping_patience",
        "spike_factor",
        "save_steps",
        "save_minutes",
        "max_restarts",
        "seed",
    )
) + ("lora.lora_alpha",)
"""Settings that change nothing in a plan."""


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """The base model."""

    name: Annotated[str, Meta(description="Hugging Face id, folder, or a model `mlx_cc models list` knows.")] = (
        "mistralai/Mistral-7B-v0.1"
    )
    max_seq_length: Annotated[
        int,
        Meta(
            ge=64,
            description="Maximum tokens of a transcript with a question and its answer; longer "
            "transcripts lose turns from their middle.",
        ),
    ] = 2048
    quantization: Annotated[
        Literal["none", "4bit", "8bit"],
        Meta(
            description="Round the frozen base weights to 4 or 8 bits (QLoRA): less memory on a GPU, "
            "none saved on a CPU."
        ),
    ] = "none"


class Training(Struct, frozen=True, forbid_unknown_fields=True):
    """How the model is trained."""

    output_dir: Annotated[
        str, Meta(description="Where `fuse` writes; the run itself goes to adapters/ under the same name.")
    ] = "models/mistral-7b-contact-center"
    num_train_epochs: Annotated[float, Meta(gt=0, description="Passes over the train split; may be a fraction.")] = 3
    per_device_train_batch_size: Annotated[
        int, Meta(ge=1, description="Conversations per step, each with all its tasks.")
    ] = 2
    gradient_accumulation_steps: Annotated[int, Meta(ge=1, description="Steps per optimizer update.")] = 8
    learning_rate: Annotated[float, Meta(gt=0, description="Peak learning rate.")] = 2.0e-5
    lr_scheduler_type: Annotated[
        Literal["cosine", "linear", "constant"], Meta(description="Learning rate after the warm-up.")
    ] = "cosine"
    warmup_ratio: Annotated[
        float, Meta(ge=0, lt=1, description="Share of the updates in which the learning rate rises from 0 to its peak.")
    ] = 0.03
    weight_decay: Annotated[float, Meta(ge=0, description="AdamW's weight decay.")] = 0.0
    max_grad_norm: Annotated[float, Meta(gt=0, description="Gradients are clipped to this global norm.")] = 1.0
    fp16: Annotated[
        bool, Meta(description="16-bit weights, which on MLX are bfloat16. A CPU always computes in float32.")
    ] = True
    bf16: Annotated[bool, Meta(description="The same as fp16.")] = False
    gradient_checkpointing: Annotated[
        bool, Meta(description="Recompute activations in the backward pass: less memory, about a third slower.")
    ] = False
    loss: Annotated[
        Literal["tree", "rows"],
        Meta(description="Compute a transcript once for all its tasks (tree), or again for each task (rows)."),
    ] = "tree"
    objective: Annotated[
        Literal["gold", "soft"],
        Meta(
            description="Score tasks learn the labelled answer (gold), or a distribution around it and "
            "its expected value (soft)."
        ),
    ] = "gold"
    soft_width: Annotated[
        float,
        Meta(
            ge=0,
            description="Standard deviation of soft targets, in steps between answers (0: the two nearest answers).",
        ),
    ] = 0.0
    soft_error_weight: Annotated[
        float, Meta(ge=0, description="Weight of (E[y] - y)^2 for soft targets, with y in quarters of the scale.")
    ] = 0.5
    tasks: Annotated[tuple[str, ...], Meta(description="Tasks to train; empty: all that are not optional.")] = ()
    task_weights: Annotated[
        dict[str, float], Meta(description="Weight of a task's loss; 1 for a task that is not named.")
    ] = {}
    reasoning_weight: Annotated[
        float,
        Meta(ge=0, description="Weight of the loss on a conversation's reasoning chain (0: chains are not learned)."),
    ] = 0.25
    reasoning_tokens: Annotated[
        int,
        Meta(
            ge=1,
            description="Maximum tokens of a chain per epoch; a longer chain is learned in parts, one in each epoch.",
        ),
    ] = 250
    reasoning_place: Annotated[
        Literal["after", "first"],
        Meta(description="Put the chain after the answers that it explains, or (to compare) before them."),
    ] = "after"
    logging_steps: Annotated[int, Meta(ge=1, description="Optimizer updates between lines of metrics.jsonl.")] = 1
    eval_steps: Annotated[int, Meta(ge=0, description="Optimizer updates between validations (0: once an epoch).")] = 0
    early_stopping_patience: Annotated[
        int, Meta(ge=0, description="Stop after this many validations without a new best (0: never).")
    ] = 0
    spike_factor: Annotated[
        float,
        Meta(
            ge=0,
            description="Stop after 3 consecutive updates with a loss above this multiple of the first "
            "validation loss (0: never).",
        ),
    ] = 2.0
    save_steps: Annotated[int, Meta(ge=0, description="Optimizer updates between saves (0: at each validation).")] = 0
    save_minutes: Annotated[float, Meta(gt=0, description="Minutes after which the state is saved in any case.")] = 10.0
    max_restarts: Annotated[
        int, Meta(ge=0, description="Restart a run that the GPU or the system killed, at most this many times.")
    ] = 3
    eval_conversations: Annotated[
        int, Meta(ge=1, description="Number of validation conversations: always the first by id.")
    ] = 64
    seed: Annotated[int, Meta(ge=0, description="Seed of the data order, the LoRA initialisation and dropout.")] = 0


class Lora(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameter-efficient tuning."""

    enabled: Annotated[bool, Meta(description="false: train the layers' own weights.")] = True
    r: Annotated[int, Meta(ge=1, description="Rank of the adapters.")] = 16
    lora_alpha: Annotated[float, Meta(gt=0, description="Updates are scaled by lora_alpha / r.")] = 32
    lora_dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout on the adapters' input.")] = 0.05
    target_modules: Annotated[tuple[str, ...], Meta(description="Names of the projections that get an adapter.")] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
    )
    num_layers: Annotated[int, Meta(ge=-1, description="Adapt the last N layers (-1: all).")] = -1
    type: Annotated[Literal["lora", "dora"], Meta(description="LoRA, or DoRA (weight-decomposed).")] = "lora"


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """The training data."""

    dir: Annotated[str, Meta(description="Folder that `prepare` wrote.")] = "data"
    train: Annotated[
        str,
        Meta(
            description="Train file; empty: train_reasoning, train_temporal or train_chatml.jsonl in "
            "`dir`, the first that exists."
        ),
    ] = ""
    validation: Annotated[
        str, Meta(description="Validation file; empty: validation_temporal or validation_chatml.jsonl in `dir`.")
    ] = ""


class TrainSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a training run, in the sections of the YAML file."""

    model: Model = msgspec.field(default_factory=Model)
    training: Training = msgspec.field(default_factory=Training)
    lora: Lora = msgspec.field(default_factory=Lora)
    data: Data = msgspec.field(default_factory=Data)
    prompt: PromptSettings = msgspec.field(default_factory=PromptSettings)
