"""A llama-type GGUF file -> a model folder that mlx-lm loads.

The weights are stored as float32: a quantised GGUF's values are scale x whole number + bias with
16-bit scales, and 42 % of those of SmolLM2-135M have no exact float16.
"""

from pathlib import Path
from typing import Any

from mlx_cc import files
from mlx_cc.errors import UserError
from mlx_cc.folders import ModelFolder

GROUP_SIZE = 32
"""Weights per scale in the GGUF types that MLX reads packed (Q4_0, Q4_1, Q8_0)."""

SPECIAL_TOKEN = 3
"""llama.cpp's `token_type` of a control token."""

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(gguf: Path | str, folder: Path | str) -> None:
    """Write `folder` with `model.safetensors` (float32), `config.json` and the tokenizer from the metadata.

    Raises:
        UserError: not a GGUF file, or not of a llama architecture with a byte-level BPE tokenizer.
    """
    import mlx.core as mx

    try:
        loaded: Any = mx.load(str(gguf), format="gguf", return_metadata=True)
    except (RuntimeError, ValueError) as fault:
        raise UserError(f"{gguf}: not a GGUF file that MLX reads ({fault}). Download it again.") from fault
    tensors, raw = loaded
    metadata = {key: value.item() if _is_scalar(value) else value for key, value in raw.items()}
    types = [metadata.get(key) for key in ("general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre")]
    if types != ["llama", "gpt2", "smollm"]:
        raise UserError(
            f"{gguf}: architecture and tokenizer are {types}; only llama with SmolLM's BPE can be converted."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(metadata, tied="output.weight" not in tensors)
    with mx.stream(mx.cpu):
        _save(ModelFolder(folder).weights, _weights(tensors, config))
    files.write_json(ModelFolder(folder).config, config)
    _write_tokenizer(metadata, folder)


def _is_scalar(value: Any) -> bool:
    import mlx.core as mx

    return isinstance(value, mx.array) and value.size == 1


def _config(metadata: dict[str, Any], tied: bool) -> dict[str, Any]:
    """The `config.json` of a Hugging Face llama."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": metadata["llama.embedding_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "rms_norm_eps": metadata["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": metadata["llama.rope.freq_base"],
        "max_position_embeddings": metadata["llama.context_length"],
        "vocab_size": metadata["llama.vocab_size"],
        "tie_word_embeddings": tied,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"],
        "torch_dtype": "float32",
    }


def _weights(tensors: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Tensors under mlx-lm's names, unpacked to float32, with the rows of q and k in mlx-lm's order."""
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    weights = {}
    for name in [n for n in tensors if n.endswith(".weight")]:
        *block, part = name.removesuffix(".weight").split(".")
        weight = _unpacked(tensors, name.removesuffix(".weight"))
        if part in heads:
            weight = unpermuted(weight, heads[part])
        layer = f"model.layers.{block[1]}." if block else ""
        weights[f"{layer}{NAMES[part]}.weight"] = weight
    return weights


def _unpacked(tensors: dict[str, Any], name: str) -> Any:
    """One tensor as float32; a packed one (uint32, with `scales` and `biases`) is dequantised."""
    import mlx.core as mx

    weight, scales = tensors[f"{name}.weight"], tensors.get(f"{name}.scales")
    if scales is None:
        return weight.astype(mx.float32)
    bits = 32 * weight.shape[1] // (GROUP_SIZE * scales.shape[1])
    biases = tensors[f"{name}.biases"]
    return mx.dequantize(weight, scales.astype(mx.float32), biases.astype(mx.float32), group_size=GROUP_SIZE, bits=bits)


def unpermuted(weight: Any, heads: int) -> Any:
    """Rows of a q or k projection (heads * head_size, hidden), from llama.cpp's order back to the original.

    llama.cpp rotates neighbours (0, 1), (2, 3), …; the original rotates (0, n/2), (1, n/2 + 1), …, so the
    GGUF interleaves the halves of each head.
    """
    rows, hidden = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, hidden).swapaxes(1, 2).reshape(rows, hidden)


def _save(path: Path, weights: dict[str, Any]) -> None:
    import mlx.core as mx

    try:
        mx.save_safetensors(str(path), weights, metadata={"format": "mlx"})
    except RuntimeError as fault:
        raise UserError(f"{path}: can't be written ({fault}). Free space or choose another folder.") from fault


def _write_tokenizer(metadata: dict[str, Any], folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`: byte-level BPE that splits digits, with the chat template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    types = metadata["tokenizer.ggml.token_type"].tolist()
    special = [token for token, type_ in zip(tokens, types, strict=True) if type_ == SPECIAL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    files.write_text(ModelFolder(folder).tokenizer, tokenizer.to_str(pretty=True))
    name = {role: tokens[metadata[f"tokenizer.ggml.{role}_token_id"]] for role in ("bos", "eos", "unknown", "padding")}
    files.write_json(
        ModelFolder(folder).tokenizer_config,
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": name["bos"],
            "eos_token": name["eos"],
            "unk_token": name["unknown"],
            "pad_token": name["padding"],
            "additional_special_tokens": special,
            "chat_template": metadata["tokenizer.chat_template"],
            "model_max_length": metadata["llama.context_length"],
            "clean_up_tokenization_spaces": False,
        },
    )
