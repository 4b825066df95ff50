"""MiniLM's weights as the ONNX file that Chroma's default embedder runs, where its own download is not to be had.

For `mlx_cc bench embed`, which never downloads. Needs an environment with torch==2.13.0, onnx and transformers; writes
to the folder in which Chroma looks.

python scripts/export_chroma_embedder.py ~/.cache/mlx_cc/models/all-minilm-l6-v2
"""

import shutil
import sys
from pathlib import Path
from typing import Any

CHROMA = Path.home() / ".cache/chroma/onnx_models/all-MiniLM-L6-v2/onnx"
NAMES = ("input_ids", "attention_mask", "token_type_ids")
BESIDE = ("config.json", "special_tokens_map.json", "tokenizer_config.json", "tokenizer.json", "vocab.txt")
"""Files that Chroma looks for, of which it reads the tokenizer alone."""


def states(folder: Path) -> Any:
    """A torch module that gives the encoder's last states (B, L, hidden), which Chroma pools itself."""
    import torch  # type: ignore[import-not-found]
    from transformers import AutoModel

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder: Any = AutoModel.from_pretrained(folder, attn_implementation="eager")

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            return self.encoder(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    return States().eval()


def main(folder: Path) -> None:
    import torch  # type: ignore[import-not-found]

    CHROMA.mkdir(parents=True, exist_ok=True)
    example = torch.ones(2, 256, dtype=torch.int64)
    torch.onnx.export(
        states(folder),
        (example, example, torch.zeros_like(example)),
        str(CHROMA / "model.onnx"),
        input_names=list(NAMES),
        output_names=["last_hidden_state"],
        dynamic_axes={name: {0: "texts", 1: "tokens"} for name in (*NAMES, "last_hidden_state")},
        dynamo=False,
    )
    for name in BESIDE:
        if (folder / name).exists():
            shutil.copy(folder / name, CHROMA / name)
        else:
            (CHROMA / name).write_text("")
    print(CHROMA / "model.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]).expanduser())
