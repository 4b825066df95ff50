"""What a training run can be told. The field is the YAML key, the flag and the line in the docs."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from mlx_cc.prompt import PromptSettings

Positive = Annotated[int, Meta(ge=1)]


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model is tuned."""

    name: Annotated[str, Meta(description="Hugging Face id, folder, or a model `mlx_cc models list` knows.")] = (
        "mistralai/Mistral-7B-v0.1"
    )
    max_seq_length: Annotated[
        int, Meta(ge=64, description="Most tokens of one row; longer transcripts lose turns from their middle.")
    ] = 2048
    quantization: Annotated[
        Literal["none", "4bit", "8bit"], Meta(description="Quantise the frozen base weights (QLoRA); GPU only.")
    ] = "none"


class Training(Struct, frozen=True, forbid_unknown_fields=True):
    """How it is tuned."""

    output_dir: Annotated[
        str, Meta(description="Where `fuse` writes; the run itself goes to adapters/ under the same name.")
    ] = "models/mistral-7b-contact-center"
    num_train_epochs: Annotated[float, Meta(gt=0, description="Passes over the train split; fractions allowed.")] = 3
    per_device_train_batch_size: Annotated[
        int, Meta(ge=1, description="Conversations per step, each with all its tasks; of close lengths.")
    ] = 2
    gradient_accumulation_steps: Annotated[int, Meta(ge=1, description="Steps per optimizer update.")] = 8
    learning_rate: Annotated[float, Meta(gt=0, description="Peak learning rate.")] = 2.0e-5
    lr_scheduler_type: Annotated[
        Literal["cosine", "linear", "constant"], Meta(description="Shape of the learning rate after warm-up.")
    ] = "cosine"
    warmup_ratio: Annotated[float, Meta(ge=0, lt=1, description="Share of updates that warm up linearly.")] = 0.03
    weight_decay: Annotated[float, Meta(ge=0, description="AdamW's weight decay.")] = 0.0
    max_grad_norm: Annotated[float, Meta(gt=0, description="Gradients are clipped to this global norm.")] = 1.0
    fp16: Annotated[
        bool, Meta(description="16-bit weights; on MLX that is bfloat16. A CPU computes in float32 all the same.")
    ] = True
    bf16: Annotated[bool, Meta(description="The same as fp16: either asks for bfloat16.")] = False
    gradient_checkpointing: Annotated[
        bool, Meta(description="Recompute activations in the backward pass: less memory, about a third slower.")
    ] = False
    loss: Annotated[
        Literal["tree", "rows"], Meta(description="Share the trunk between a conversation's tasks, or not.")
    ] = "tree"
    objective: Annotated[
        Literal["gold", "soft"],
        Meta(description="Score tasks learn the labelled answer, or a distribution around it and its expected value."),
    ] = "gold"
    soft_width: Annotated[
        float, Meta(ge=0, description="Spread of soft targets in steps between answers; 0: the two nearest answers.")
    ] = 0.0
    soft_error_weight: Annotated[
        float, Meta(ge=0, description="Weight of (E[y] - y)^2 under `soft`, in quarters of the scale.")
    ] = 0.5
    tasks: Annotated[tuple[str, ...], Meta(description="Tasks to train; empty means all six.")] = ()
    task_weights: Annotated[dict[str, float], Meta(description="Weight of a task's loss, 1 where not named.")] = {}
    reasoning_weight: Annotated[
        float, Meta(ge=0, description="Weight of the branch that learns a conversation's reasoning chain; 0: none.")
    ] = 0.25
    reasoning_tokens: Annotated[
        int, Meta(ge=1, description="Most tokens of a chain learned at once; longer ones are learned part by part.")
    ] = 250
    reasoning_place: Annotated[
        Literal["after", "first"],
        Meta(description="The chain explains the answers, or (to compare) stands in front and they are read from it."),
    ] = "after"
    logging_steps: Annotated[int, Meta(ge=1, description="Optimizer updates between lines of metrics.jsonl.")] = 1
    eval_steps: Annotated[int, Meta(ge=0, description="Updates between validations; 0 means once an epoch.")] = 0
    early_stopping_patience: Annotated[
        int, Meta(ge=0, description="Stop after this many validations without a new best; 0 never.")
    ] = 0
    spike_factor: Annotated[
        float,
        Meta(ge=0, description="Stop when three updates on end lose this much more than before training; 0 never."),
    ] = 2.0
    save_steps: Annotated[int, Meta(ge=0, description="Updates between saves; 0 means at each validation.")] = 0
    save_minutes: Annotated[float, Meta(gt=0, description="Save at least this often, in minutes.")] = 10.0
    max_restarts: Annotated[
        int, Meta(ge=0, description="Times a run killed by its GPU or by the system is continued by itself.")
    ] = 3
    eval_conversations: Annotated[
        int, Meta(ge=1, description="Validation conversations used, always the same ones.")
    ] = 64
    seed: Annotated[int, Meta(ge=0, description="Of the data order, LoRA initialisation and dropout.")] = 0


class Lora(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameter-efficient tuning."""

    enabled: Annotated[bool, Meta(description="False tunes all weights.")] = True
    r: Annotated[int, Meta(ge=1, description="Rank.")] = 16
    lora_alpha: Annotated[float, Meta(gt=0, description="Updates are scaled by lora_alpha / r.")] = 32
    lora_dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout on the adapters' input.")] = 0.05
    target_modules: Annotated[tuple[str, ...], Meta(description="Projections that get an adapter.")] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
    )
    num_layers: Annotated[int, Meta(ge=-1, description="Adapt the last N layers; -1 means all.")] = -1
    type: Annotated[Literal["lora", "dora"], Meta(description="LoRA, or DoRA (weight-decomposed).")] = "lora"


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """What it is tuned on. Empty paths are looked for in `dir`."""

    dir: Annotated[str, Meta(description="Folder that `prepare` wrote.")] = "data"
    train: Annotated[
        str, Meta(description="Train file; else train_reasoning, train_temporal or train_chatml.jsonl in the folder.")
    ] = ""
    validation: Annotated[str, Meta(description="Validation file, found likewise.")] = ""


class TrainSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a training run, in the sections of the YAML file."""

    model: Model = msgspec.field(default_factory=Model)
    training: Training = msgspec.field(default_factory=Training)
    lora: Lora = msgspec.field(default_factory=Lora)
    data: Data = msgspec.field(default_factory=Data)
    prompt: PromptSettings = msgspec.field(default_factory=PromptSettings)
