"""Reasoning chains by a teacher that thinks before it writes, such as DeepSeek-R1; `mlx_cc generate` with its defaults.

python scripts/generate_reasoning_with_r1.py --input data/train_temporal.jsonl --output data/train_reasoning.jsonl \
    --workers 4 --batch-size 10

Its <think> block is taken off (`--think keep` keeps it in the record).
"""

import sys

from mlx_cc.cli import run
from mlx_cc.commands.generate import command

MODEL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"

if __name__ == "__main__":
    given = {argument.partition("=")[0] for argument in sys.argv[1:]}
    sys.argv[1:1] = [] if "--model" in given else ["--model", MODEL]
    sys.argv[1:1] = [] if "--think" in given else ["--think", "strip"]
    run(command)
