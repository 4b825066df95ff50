"""Checks that a written chain must pass before a model learns from it; each fault has a code.

unfinished     cut off at the most tokens
structure      not the form of `reasoning.LINES`
scores         other scores than the answers it explains
citations      cites a turn that does not exist, or none at all
unsupported    points that cite a turn share no word with it
instructions   repeats its instructions, or leaves a placeholder in brackets
loops          says the same again and again
language       not in the language asked for
length         points of one word, or too long
disagrees      asked blind, the teacher answers otherwise than the labels
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

SUPPORTED = 0.5
"""Least share of the points citing a turn that must share a word with it."""
SHORTEST, LONGEST = 2, 120
"""Least and most words of a point."""
ONE_WORD = 0.2
"""Share of points that may be shorter."""
COPIED = 7
"""Words in a row from the instructions that count as copied."""
REPEATED = 4, 4
"""A loop: a run of 4 words that occurs 4 times in a point."""
DUPLICATES = 0.25
"""Share of points that may repeat another one word for word."""
SHARED = 0.6
"""Share of points that another conversation's chain may have word for word."""
LANGUAGES = ("en", "es", "fr", "de", "pt", "zh", "it", "nl")

_WORD = re.compile(r"[^\W\d_]{2,}|[\u4e00-\u9fff]")


def faults(
    text: str, finished: bool, conversation: Conversation, values: Mapping[str, Any], instructions: str, language: str
) -> list[str]:
    """What is wrong with a chain: codes, each with what was found behind a colon; empty when nothing is.

    Args:
        values: the answers it explains, task name -> value.
        instructions: the teacher's prompt without the transcript.
        language: two letters, of the chain.
    """
    if not finished:
        return ["unfinished: cut off at the most tokens"]
    try:
        found = points(text)
    except ValueError as fault:
        return [f"structure: {fault}"]
    checks = (
        _scores(found, values),
        _citations(found, conversation, language),
        _instructions(found, instructions),
        _loops(found),
        _language(found, language),
        _length(found),
    )
    return [fault for some in checks for fault in some]


def code(fault: str) -> str:
    """The code of a fault."""
    return fault.partition(":")[0]


def disagreements(answered: Mapping[str, Any], conversation: Conversation, centre: Centre) -> list[str]:
    """Where a teacher's blind answers differ from the labels too far: `disagrees: quality 40, not 85`."""
    found = []
    known = all_tasks()
    for name, value in answered.items():
        label, task = conversation.label(name), known[name]
        if label is None:
            continue
        if task.scale and task.number:
            apart = abs(task.number(value) - task.number(label)) > task.scale.tolerance
        else:
            apart = task.write(value, centre) != task.write(label, centre)
        if apart:
            found.append(f"disagrees: {name} {task.write(value, centre)}, not {task.write(label, centre)}")
    return found


class Boilerplate:
    """Remembers the points of the chains kept so far; call it with each in turn."""

    def __init__(self) -> None:
        self._seen: defaultdict[int, list[int]] = defaultdict(list)
        self._chains = 0

    def __call__(self, text: str) -> list[str]:
        """The fault of a chain that says what another one said; a chain without it is remembered."""
        said = {hash(_plain(point.text)) for point in points(text) if point.line.slot == "text"}
        shared = Counter(chain for point in said for chain in self._seen.get(point, ()))
        most = max(shared.values(), default=0)
        if most > SHARED * len(said):
            return [f"boilerplate: {most} of {len(said)} points are another conversation's"]
        for point in said:
            self._seen[point].append(self._chains)
        self._chains += 1
        return []


def _scores(found: Sequence[Point], values: Mapping[str, Any]) -> Iterable[str]:
    for point in found:
        number = all_tasks()[point.line.slot].number if point.line.slot in SCORES else None
        if number and point.line.slot in values:
            wanted = f"{number(values[point.line.slot]):.0f}"
            if point.value != wanted:
                yield f"scores: {point.line.slot} {point.value}, not {wanted}"


def _citations(found: Sequence[Point], conversation: Conversation, language: str) -> Iterable[str]:
    cited = [(point, {int(n) for n in CITATION.findall(point.text)}) for point in found]
    turns = {n for _, some in cited for n in some}
    if not turns:
        yield "citations: cites no turn"
    missing = sorted(n for n in turns if not 1 <= n <= len(conversation.turns))
    if missing:
        yield f"citations: T{missing[0]} does not exist"
    if missing or (conversation.language or language).split("-")[0].lower() != language:
        return  # words of two languages can't be compared
    citing = [(point, some) for point, some in cited if some]
    held = sum(
        not _stems(point.text).isdisjoint(_stems(" ".join(conversation.turns[n - 1].text for n in some)))
        for point, some in citing
    )
    if citing and held < SUPPORTED * len(citing):
        yield f"unsupported: {len(citing) - held} of {len(citing)} points share no word with the turn they cite"


def _instructions(found: Sequence[Point], instructions: str) -> Iterable[str]:
    told = _runs(instructions, COPIED)
    for point in found:
        if re.search(r"\[(?!T\d+\])[^\]]{3,}\]", point.text):
            yield f"instructions: a placeholder is left under '{point.line.fixed.strip()}'"
            return
        if not told.isdisjoint(_runs(point.text, COPIED)):
            yield f"instructions: repeats them under '{point.line.fixed.strip()}'"
            return


def _loops(found: Sequence[Point]) -> Iterable[str]:
    said = Counter(_plain(point.text) for point in found)
    repeats = sum(count - 1 for count in said.values())
    if repeats > DUPLICATES * len(found):
        yield f"loops: {repeats} of {len(found)} points repeat another"
        return
    size, times = REPEATED
    for point in found:
        words = _plain(point.text).split()
        for run, count in Counter(zip(*(words[n:] for n in range(size)), strict=False)).most_common(1):
            if count >= times:
                yield f"loops: '{' '.join(run)}' {count} times"
                return


def _language(found: Sequence[Point], language: str) -> Iterable[str]:
    said = " ".join(CITATION.sub(" ", point.text) for point in found)
    guessed = _identifier(language)(said)[0]
    if guessed != language:
        yield f"language: {guessed}, not {language}"


@cache
def _identifier(language: str) -> Callable[[str], tuple[str, float]]:
    from py3langid import langid

    langid.set_languages(sorted({*LANGUAGES, language}))
    return langid.classify


def _length(found: Sequence[Point]) -> Iterable[str]:
    lengths = [len(_WORD.findall(point.text)) for point in found]
    short = sum(length < SHORTEST for length in lengths)
    if short > ONE_WORD * len(found):
        yield f"length: {short} of {len(found)} points have one word or none"
    if max(lengths) > LONGEST:
        yield f"length: a point of {max(lengths)} words"


def _plain(text: str) -> str:
    """Words alone, in lower case: without citations, numbers and punctuation."""
    return " ".join(_WORD.findall(CITATION.sub(" ", text).lower()))


def _runs(text: str, size: int) -> set[tuple[str, ...]]:
    words = _plain(text).split()
    return set(zip(*(words[n:] for n in range(size)), strict=False))


def _stems(text: str) -> set[str]:
    """First five letters of a text's longer words, so that endings don't count; characters of Chinese."""
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
