"""Small real things: a random two-layer model with a byte tokenizer, the sample conversations, data and a run."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Before MLX is imported; processes that tests start inherit both
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the same to the last bit, whatever else the machine does
os.environ["MLX_DISABLE_COMPILE"] = "1"  # MLX starts g++ for every fused kernel; test_compiled.py compares the two

import pytest

from mlx_cc.conversation import Conversation

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample"


def run_python(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, with the package of this checkout; it has five minutes."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, **{"capture_output": True, "text": True, "timeout": 300, **options})


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test marked `own_process` in a pytest of its own: what a large model takes is given back."""
    if not pyfuncitem.get_closest_marker("own_process") or os.environ.get("PYTEST_OWN_PROCESS"):
        return None
    alone = run_python(
        "-m", "pytest", "-p", "no:cacheprovider", f"{pyfuncitem.path}::{pyfuncitem.name}", "-m", "own_process", cwd=ROOT,
        env={**os.environ, "PYTEST_OWN_PROCESS": "1"},
    )  # fmt: skip
    assert alone.returncode == 0, alone.stdout + alone.stderr
    return True


VOCABULARY = 1000
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "max_position_embeddings": 8192,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": True,
}


def byte_tokenizer(
    folder: Path,
    template: str | None = CHATML,
    specials: Sequence[str] = SPECIALS,
    eos: str = "<|im_end|>",
    learn_from: Sequence[str] = (),
    list_specials: bool = True,
) -> Any:
    """A byte-level tokenizer, saved into a folder and read back as mlx-lm does.

    Digits are single tokens; so is everything else unless there are texts to learn merges from.
    """
    from mlx_lm.utils import load_tokenizer
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(learn_from, trainer)
    saved = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=eos,
        pad_token=specials[0],
        additional_special_tokens=list(specials) if list_specials else [],
        clean_up_tokenization_spaces=False,
    )
    saved.chat_template = template
    saved.save_pretrained(folder)
    return load_tokenizer(folder)


def random_model(config: dict[str, Any], seed: int = 0) -> Any:
    """A model of a mlx-lm class with random weights large enough that its answers differ."""
    import mlx.core as mx
    from mlx.utils import tree_map
    from mlx_lm.utils import _get_classes

    from mlx_cc.model import machine

    machine.prepare()
    kind, arguments = _get_classes(config)
    mx.random.seed(seed)
    model = kind(arguments.from_dict(config))
    model.update(tree_map(lambda p: p + 0.1 * mx.random.normal(p.shape), model.parameters()))
    mx.eval(model.parameters())
    model.eval()
    return model


def save_tiny(folder: Path, config: dict[str, Any] = LLAMA, seed: int = 0) -> Path:
    """A model's folder as mlx-lm writes it."""
    from mlx_lm.utils import save_config, save_model

    texts = [path.read_text(encoding="utf-8") for path in sorted((SAMPLE / "transcripts").glob("*.txt"))]
    tokenizer = byte_tokenizer(folder, learn_from=texts)
    save_model(folder, random_model(config, seed))
    save_config({**config, "eos_token_id": tokenizer.eos_token_id}, folder / "config.json")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random llama: two layers, hidden size 64, a thousand tokens, ChatML."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


BERT: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}


BERT_EMBEDDINGS = {
    "words": "word_embeddings",
    "positions": "position_embeddings",
    "types": "token_type_embeddings",
    "norm": "LayerNorm",
}
BERT_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}
"""Module here -> its name in sentence-transformers' checkpoints."""


def save_bert(folder: Path, seed: int = 0, hidden: int = 32) -> Path:
    """The folder of a sentence encoder with random weights, named as sentence-transformers' checkpoints name them."""
    import json

    import mlx.core as mx
    from mlx.utils import tree_flatten
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    from mlx_cc.model.minilm import Encoder

    texts = [path.read_text(encoding="utf-8") for path in sorted((SAMPLE / "transcripts").glob("*.txt"))]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=1500, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {**BERT, "hidden_size": hidden, "vocab_size": tokenizer.get_vocab_size()}
    mx.random.seed(seed)
    weights = {}
    for name, value in tree_flatten(Encoder(config).parameters()):
        *outer, module, kind = name.split(".")
        start = f"encoder.layer.{outer[1]}.{BERT_LAYER[module]}" if outer else f"embeddings.{BERT_EMBEDDINGS[module]}"
        weights[f"{start}.{kind}"] = value + 0.05 * mx.random.normal(value.shape)
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64}))
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random sentence encoder: two layers, hidden size 32."""
    return save_bert(tmp_path_factory.mktemp("encoders") / "bert")


@pytest.fixture(scope="session")
def sample_conversations() -> list[Conversation]:
    """The sample set with its labels."""
    from mlx_cc.ingest import read_folder
    from mlx_cc.ingest.analyses import Analyses
    from mlx_cc.ingest.format import Reading

    rejected: list[Any] = []
    analyses = Analyses(SAMPLE / "analyses", rejects=rejected.append)
    conversations = list(analyses.attach(read_folder([SAMPLE / "transcripts"], Reading(), rejects=rejected.append)))
    assert not rejected
    return conversations


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, sample_conversations: list[Conversation]) -> Path:
    """A data folder that `prepare` wrote from a handful of the sample conversations."""
    from mlx_cc.centre import read_centre
    from mlx_cc.prepare import prepare

    folder = tmp_path_factory.mktemp("data")
    prepare(sample_conversations[:24], folder, read_centre(ROOT / "configs" / "centre.yaml"))
    return folder


def tiny_settings(model: Path, data: Path, **training: Any) -> Any:
    """Settings of a run on the tiny model."""
    from mlx_cc.train.settings import Data, Lora, Model, Training, TrainSettings

    defaults = {
        "output_dir": str(data.parent / "models" / "tiny-run"),
        "num_train_epochs": 0.1,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-2,
        "warmup_ratio": 0.0,
        "eval_conversations": 2,
    }
    return TrainSettings(
        model=Model(name=str(model), max_seq_length=1024),
        training=Training(**{**defaults, **training}),
        lora=Lora(r=4, lora_alpha=8, lora_dropout=0.0),
        data=Data(dir=str(data)),
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, prepared: Path) -> Path:
    """The folder of a finished run of two updates."""
    from mlx_cc.train.session import train

    folder = tmp_path_factory.mktemp("adapters") / "tiny-run"
    report = train(tiny_settings(tiny_model, prepared, num_train_epochs=0.1), folder)
    assert report.updates == 2
    return folder
