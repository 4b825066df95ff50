"""All text a model sees is made here: training, evaluation, analysis, chat and exports call the same functions.

settings   what of a conversation is shown
wording    system line, turns, facts, cases and questions in words; `messages` words one question
encoder    words to tokens, whatever the tokenizer and its chat template
tree       several questions about one conversation as a token tree
"""

from mlx_cc.prompt.encoder import Encoder, Tokenizer
from mlx_cc.prompt.settings import PromptSettings
from mlx_cc.prompt.tree import Branch, Scale, Tree, build_task_tree, build_tree, groups, without_middle
from mlx_cc.prompt.wording import (
    END,
    NAMES,
    SYSTEM,
    Cases,
    body,
    fact_line,
    fenced,
    messages,
    question_of,
    turn_lines,
)

plant, plant_tasks = build_tree, build_task_tree  # former names, which scripts of users may import

__all__ = [
    "END",
    "NAMES",
    "SYSTEM",
    "Branch",
    "Cases",
    "Encoder",
    "PromptSettings",
    "Scale",
    "Tokenizer",
    "Tree",
    "body",
    "fact_line",
    "fenced",
    "groups",
    "messages",
    "build_tree",
    "build_task_tree",
    "question_of",
    "turn_lines",
    "without_middle",
]
