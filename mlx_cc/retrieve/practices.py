"""What similar conversations show, counted: how many have a known outcome, how many a good one, and what they share."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from mlx_cc.metrics import wilson
from mlx_cc.retrieve.search import Case
from mlx_cc.tasks.csat import SATISFIED
from mlx_cc.tasks.resolution import RESOLVED


class Share(NamedTuple):
    """A counted share with Wilson's 95% interval."""

    hits: int
    n: int
    """Cases in which it is known."""
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.hits} of {self.n} ({self.hits / self.n:.0%}, 95% interval {self.low:.0%}-{self.high:.0%})"


class Outcomes(NamedTuple):
    """How similar conversations ended; None where no case has the label, or where the search was filtered on it."""

    resolved: Share | None
    satisfied: Share | None
    """A CSAT of 4 or 5."""
    csat: float | None
    """Mean."""
    quality: float | None
    """Mean."""
    sources: tuple[str, ...]
    """Who gave the labels."""


def outcomes(cases: Sequence[Case]) -> Outcomes:
    """Count how cases ended; what the search was filtered on is not counted."""
    status, csat, quality = (_values(cases, field) for field in ("resolution_status", "csat_score", "quality_score"))
    named = (str(case.metadata.get("label_sources", "")).split(",") for case in cases)
    return Outcomes(
        share(sum(value == RESOLVED for value in status), len(status)),
        share(sum(map(SATISFIED.holds, csat)), len(csat)),
        sum(csat) / len(csat) if csat else None,
        sum(quality) / len(quality) if quality else None,
        tuple(sorted({pair.partition(":")[2] for pairs in named for pair in pairs if ":" in pair})),
    )


def extract_best_practices(cases: Sequence[Case]) -> dict[str, Any]:
    """What the cases that ended well have in common. Everything in it is counted, nothing is made up.

    A case ended well when it was resolved, or, where that is not known, when its CSAT was 4 or 5.

    Returns:
        n (cases), filtered_on (fields that the search was filtered on), outcomes (resolved and satisfied: hits, n, low,
        high of Wilson's 95% interval; mean_csat and mean_quality; None for what the search was filtered on), issues and
        queues (name -> cases, most frequent first), ended_well (how many), examples (of those that ended well, most
        similar first: conversation_id, problem, resolution) and label_sources.
    """
    found = outcomes(cases)
    good = [case for case in cases if _ended_well(case)]
    return {
        "n": len(cases),
        "filtered_on": sorted({field for case in cases for field in case.filtered_on}),
        "outcomes": {
            "resolved": found.resolved._asdict() if found.resolved else None,
            "satisfied": found.satisfied._asdict() if found.satisfied else None,
            "mean_csat": found.csat,
            "mean_quality": found.quality,
        },
        "issues": _counted(cases, "issue"),
        "queues": _counted(cases, "queue"),
        "ended_well": len(good),
        "examples": [
            {"conversation_id": case.conversation_id, "problem": case.problem, "resolution": case.resolution}
            for case in good
        ],
        "label_sources": list(found.sources),
    }


def in_words(found: Outcomes, n: int) -> str:
    """Outcomes as sentences; empty when nothing is known."""
    said = []
    if found.resolved:
        said.append(f"resolved in the contact: {found.resolved}")
    if found.satisfied:
        said.append(f"CSAT 4 or 5: {found.satisfied}")
    if not said:
        return ""
    return f"Of {n} similar earlier conversations, {'; '.join(said)}. Labels: {', '.join(found.sources)}."


def share(hits: int, n: int) -> Share | None:
    """A share with its interval; None when n is 0."""
    return Share(hits, n, *wilson(hits, n)) if n else None


def _ended_well(case: Case) -> bool:
    if "resolution_status" in case.metadata:
        return case.metadata["resolution_status"] == RESOLVED
    return SATISFIED.holds(float(case.metadata.get("csat_score", 0)))


def _values(cases: Sequence[Case], field: str) -> list[Any]:
    return [case.metadata[field] for case in cases if field in case.metadata and field not in case.filtered_on]


def _counted(cases: Sequence[Case], field: str) -> dict[str, int]:
    return dict(Counter(str(case.metadata[field]) for case in cases if field in case.metadata).most_common())
