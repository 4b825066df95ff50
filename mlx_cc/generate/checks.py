"""Checks that a written chain must pass before a model learns from it; each fault has a code.

unfinished     cut off at the token limit
structure      not the form of `reasoning.LINES`
scores         scores differ from those of the answers
citations      cites a turn that does not exist, or none
unsupported    most points that cite a turn share no word with it
instructions   repeats its instructions, or leaves a placeholder in brackets
loops          repeats itself
language       not the language of the settings
length         too many points of one word, or a point that is too long
disagrees      a blind answer of the teacher is too far from the label
boilerplate    most points stand word for word in the chain of another conversation
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.reasoning import CITATION, SCORES, Point, points
from mlx_cc.tasks import all_tasks

CODES = (
    "unfinished",
    "structure",
    "scores",
    "citations",
    "unsupported",
    "instructions",
    "loops",
    "language",
    "length",
    "disagrees",
    "boilerplate",
)

# These limits are set by hand. What passes them is measured in docs/reasoning.md.
SUPPORTED = 0.5
"""Smallest share of the citing points that have a word in common with the turn they cite."""
SHORTEST, LONGEST = 2, 120
"""Fewest and most words of a point."""
ONE_WORD = 0.2
"""Largest share of points with fewer words than SHORTEST."""
COPIED = 7
"""Number of consecutive words of the instructions that counts as copied."""
REPEATED = 4, 4
"""Words of a phrase, and times it occurs in one point, that count as a loop."""
DUPLICATES = 0.25
"""Largest share of points that repeat another point of the same chain word for word."""
SHARED = 0.6
"""Largest share of points that another conversation's chain has word for word."""
LANGUAGES = ("en", "es", "fr", "de", "pt", "zh", "it", "nl")

_WORD = re.compile(r"[^\W\d_]{2,}|[\u4e00-\u9fff]")


def faults(
    text: str, finished: bool, conversation: Conversation, values: Mapping[str, Any], instructions: str, language: str
) -> list[str]:
    """The faults of a chain, each "code: details"; empty for a chain that passes.

    Args:
        values: the answers it explains, task name -> value.
        instructions: the teacher's prompt without the transcript.
        language: two-letter code of the chain's language.
    """
    if not finished:
        return ["unfinished: cut off at the token limit"]
    try:
        chain = points(text)
    except ValueError as fault:
        return [f"structure: {fault}"]
    checks = (
        _scores(chain, values),
        _citations(chain, conversation, language),
        _instructions(chain, instructions),
        _loops(chain),
        _language(chain, language),
        _length(chain),
    )
    return [fault for check in checks for fault in check]


def code(fault: str) -> str:
    """The code of a fault."""
    return fault.partition(":")[0]


def disagreements(answered: Mapping[str, Any], conversation: Conversation, centre: Centre) -> list[str]:
    """A fault for each blind answer that is too far from the label: `disagrees: quality 40, not 85`."""
    disagreeing = []
    for name, value in answered.items():
        label, task = conversation.label(name), all_tasks()[name]
        if label is None:
            continue
        if task.scale and task.number:
            apart = abs(task.number(value) - task.number(label)) > task.scale.tolerance
        else:
            apart = task.write(value, centre) != task.write(label, centre)
        if apart:
            disagreeing.append(f"disagrees: {name} {task.write(value, centre)}, not {task.write(label, centre)}")
    return disagreeing


class Boilerplate:
    """Finds chains that repeat an earlier one; call it with each chain in turn."""

    def __init__(self) -> None:
        self._seen: defaultdict[int, list[int]] = defaultdict(list)
        self._chains = 0

    def __call__(self, text: str) -> list[str]:
        """The fault of a chain that repeats an earlier one; a chain without it is remembered."""
        hashes = {hash(_plain(point.text)) for point in points(text) if point.line.slot == "text"}
        shared = Counter(chain for point in hashes for chain in self._seen.get(point, ()))
        most = max(shared.values(), default=0)
        if most > SHARED * len(hashes):
            return [f"boilerplate: {most} of {len(hashes)} points are another conversation's"]
        for point in hashes:
            self._seen[point].append(self._chains)
        self._chains += 1
        return []


def _scores(chain: Sequence[Point], values: Mapping[str, Any]) -> Iterable[str]:
    for point in chain:
        number = all_tasks()[point.line.slot].number if point.line.slot in SCORES else None
        if number and point.line.slot in values:
            score = f"{number(values[point.line.slot]):.0f}"
            if point.value != score:
                yield f"scores: {point.line.slot} {point.value}, not {score}"


def _citations(chain: Sequence[Point], conversation: Conversation, language: str) -> Iterable[str]:
    cited = [(point, {int(n) for n in CITATION.findall(point.text)}) for point in chain]
    turns = {n for _, numbers in cited for n in numbers}
    if not turns:
        yield "citations: cites no turn"
    missing = sorted(n for n in turns if not 1 <= n <= len(conversation.turns))
    if missing:
        yield f"citations: T{missing[0]} does not exist"
    if missing or (conversation.language or language).split("-")[0].lower() != language:
        return  # words of two languages can't be compared
    citing = [(point, numbers) for point, numbers in cited if numbers]
    supported = sum(
        not _stems(point.text).isdisjoint(_stems(" ".join(conversation.turns[n - 1].text for n in numbers)))
        for point, numbers in citing
    )
    if citing and supported < SUPPORTED * len(citing):
        yield f"unsupported: {len(citing) - supported} of {len(citing)} points share no word with the turn they cite"


def _instructions(chain: Sequence[Point], instructions: str) -> Iterable[str]:
    phrases = _phrases(instructions, COPIED)
    for point in chain:
        if re.search(r"\[(?!T\d+\])[^\]]{3,}\]", point.text):
            yield f"instructions: a placeholder is left under '{point.line.fixed.strip()}'"
            return
        if not phrases.isdisjoint(_phrases(point.text, COPIED)):
            yield f"instructions: repeats them under '{point.line.fixed.strip()}'"
            return


def _loops(chain: Sequence[Point]) -> Iterable[str]:
    repeats = len(chain) - len({_plain(point.text) for point in chain})
    if repeats > DUPLICATES * len(chain):
        yield f"loops: {repeats} of {len(chain)} points repeat another"
        return
    size, times = REPEATED
    for point in chain:
        words = _plain(point.text).split()
        for phrase, count in Counter(zip(*(words[n:] for n in range(size)), strict=False)).most_common(1):
            if count >= times:
                yield f"loops: '{' '.join(phrase)}' {count} times"
                return


def _language(chain: Sequence[Point], language: str) -> Iterable[str]:
    guessed = _identifier(language)(" ".join(CITATION.sub(" ", point.text) for point in chain))[0]
    if guessed != language:
        yield f"language: {guessed}, not {language}"


@cache
def _identifier(language: str) -> Callable[[str], tuple[str, float]]:
    from py3langid import langid

    langid.set_languages(sorted({*LANGUAGES, language}))
    return langid.classify


def _length(chain: Sequence[Point]) -> Iterable[str]:
    lengths = [len(_WORD.findall(point.text)) for point in chain]
    short = sum(length < SHORTEST for length in lengths)
    if short > ONE_WORD * len(chain):
        yield f"length: {short} of {len(chain)} points have one word or none"
    if max(lengths) > LONGEST:
        yield f"length: a point of {max(lengths)} words"


def _plain(text: str) -> str:
    """The words in lower case, without citations, numbers and punctuation."""
    return " ".join(_WORD.findall(CITATION.sub(" ", text).lower()))


def _phrases(text: str, size: int) -> set[tuple[str, ...]]:
    words = _plain(text).split()
    return set(zip(*(words[n:] for n in range(size)), strict=False))


def _stems(text: str) -> set[str]:
    """First five letters of the longer words, so that endings don't count; Chinese characters."""
    return {
        word[:5] for word in _plain(text).split() if (len(word) > 3 and word not in _FREQUENT) or not word.isascii()
    }


_FREQUENT = frozenset(
    re.findall(
        r"\w+",
        """that this with from have been were they them then than there their what when where which while would could
        should about after before because into over under more most some such only also very will your yours customer
        agent call caller contact conversation turn""",
    )
)
