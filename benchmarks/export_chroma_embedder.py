"""MiniLM's weights as the ONNX file that Chroma's default embedder runs, where its own download is not to be had.

For `python -m benchmarks.embed`, which never downloads. Needs an environment with torch==2.13.0, onnx and
transformers; writes to the folder in which Chroma looks.

python -m benchmarks.export_chroma_embedder ~/.cache/mlx_cc/models/all-minilm-l6-v2
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.embed import CHROMA_FILES, CHROMA_MODEL

NAMES = ("input_ids", "attention_mask", "token_type_ids")


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

    if CHROMA_MODEL.exists():
        sys.exit(f"{CHROMA_MODEL}: there already. Move it away first.")
    part = CHROMA_MODEL.with_name("onnx.part")
    part.mkdir(parents=True, exist_ok=True)
    example = torch.ones(2, 256, dtype=torch.int64)
    torch.onnx.export(
        states(folder),
        (example, example, torch.zeros_like(example)),
        str(part / "model.onnx"),
        input_names=list(NAMES),
        output_names=["last_hidden_state"],
        dynamic_axes={name: {0: "texts", 1: "tokens"} for name in (*NAMES, "last_hidden_state")},
        dynamo=False,
    )
    for name in CHROMA_FILES[1:]:  # of these it reads the tokenizer alone
        shutil.copy(folder / name, part / name)
    part.rename(CHROMA_MODEL)
    print(CHROMA_MODEL)


if __name__ == "__main__":
    main(Path(sys.argv[1]).expanduser())
