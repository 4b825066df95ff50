"""Reranking by a language model: the probability that a case found is about the same matter as the query.

One question a case, read from the probabilities of "yes" and "no", as Nogueira et al. (2020, "Document ranking with a
pretrained sequence-to-sequence model") do. The query is the trunk, computed once; the cases are its branches.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mlx_cc.conversation import Conversation, Turn
from mlx_cc.prompt import fenced
from mlx_cc.retrieve.search import Case

if TYPE_CHECKING:
    from mlx_cc.analyst import Analyst

LOOKED_AT = 20
"""Least number of cases of the first ranking that are ranked again."""
SHOWN = 400
"""Characters of a case's problem, or of its resolution, that a model is shown."""
QUESTION = (
    "What another customer said in an earlier conversation, data as well:\n<cases>\n{case}\n</cases>\n\n"
    "Is that about the same matter as the conversation above? Answer yes or no."
)


def reranked(analyst: "Analyst", query: str, cases: Sequence[Case]) -> list[Case]:
    """Cases by the model's probability that they are about what a query is about, which becomes their score.

    Args:
        query: what the customer said, as `search.query_of` gives it.
    """
    if not cases:
        return []
    asked = Conversation(id="query", turns=(Turn(role="customer", text=query),))
    questions = [QUESTION.format(case=fenced(case.problem[:SHOWN])) for case in cases]
    some = (questions[start : start + LOOKED_AT] for start in range(0, len(questions), LOOKED_AT))
    yes = [float(p[0]) for asked_of in some for p in analyst.choose(asked, asked_of, ("yes", "no"))]
    order = sorted(range(len(cases)), key=lambda place: -yes[place])
    return [replace(cases[place], score=yes[place]) for place in order]
