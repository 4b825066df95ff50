"""Names of people: those the export knows, those who introduce themselves, those asked for their name."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from mlx_cc.redact.talk import HIDDEN, Span, Talk
from mlx_cc.redact.words import either, found_at, source, starts_of, words

_TOKEN = r"[^\W\d_]+(?:['’-][^\W\d_]+)*\.?"
_NAME = re.compile(_TOKEN)
COMMON, ALSO_WORDS, PARTICLES = words("common"), words("also_words"), words("particles")
SURNAMES = "".join(sorted(words("surnames")))

INTRODUCED = re.compile(rf"(?<![^\W_]){source('introduced')}[\s,:]+", re.X)
INTRODUCED_STARTS = starts_of(r"(?<![^\W_])", source("introduced"))
"""What a name follows at once."""

MAYBE_INTRODUCED = re.compile(rf"(?<![^\W_]){source('maybe_introduced')}\ +", re.X)
MAYBE_STARTS = starts_of(r"(?<![^\W_])", source("maybe_introduced"))
"""What a name may follow: it needs a capital, or one of the words of PRESENTING after it."""

PRESENTING = re.compile(rf"[\s,]+{source('presenting')}\b", re.I | re.X)
CLOSING = re.compile(rf"\b{source('closing')}", re.X)
BEFORE_CLOSING = re.compile(rf"(?<![^\W_])(?P<name>{_TOKEN}(?:\s{_TOKEN}){{0,2}}),?\s+{source('closing')}", re.I | re.X)
NOT_PERSON = re.compile(rf"\b{either(words('not_person'))}\s$")
"""Before `name is` it says that the name is no person's."""

ASKED = re.compile(rf"(?<![^\W_\u4e00-\u9fff]){source('asked')}", re.X)
ASKED_STARTS = starts_of(r"(?<![^\W_\u4e00-\u9fff])", source("asked"))
"""A question that a name answers."""

FILLER = re.compile(rf"(?:\s|[,.!:;-]|\b{source('filler')}\b)*", re.I | re.X)
"""What may stand before the name in an answer."""

_FAMILY = f"(?:欧阳|上官|司马|诸葛|[{SURNAMES}])"
CHINESE = re.compile(
    rf"(?:我叫|我姓|我是|名字(?:是|叫)|姓名(?:是|为)?|叫做|免贵姓|这里是|您好)[，,:：\s]?(?P<name>{_FAMILY}[\u4e00-\u9fff]{{0,2}}?)"
    r"(?=[，。,.！!？?\s]|$|我|想|先生|女士|小姐|的|打|要|这|为|来|在)"
)
CHINESE_TITLE = re.compile(rf"(?P<name>{_FAMILY}[\u4e00-\u9fff]{{0,2}}?)(?=先生|女士|小姐)")
CHINESE_ANSWER = re.compile(
    rf"^(?:我?(?:是|叫|姓)|免贵姓|好的|嗯|[，,。\s])*(?P<name>{_FAMILY}[\u4e00-\u9fff]{{0,3}})(?=[，。,.\s]|$)"
)


def find_names(talk: Talk, turns: Sequence[int]) -> None:
    """Claim the names that are introduced in the turns."""
    for turn in turns:
        text = talk.texts[turn]
        if turn not in talk.introduced:
            talk.introduced[turn] = [*_introduced(text, talk.lowered[turn]), *_chinese(text)]
        for start, end in talk.introduced[turn]:
            _claim(talk, turn, start, end)
        if (asker := _asker(talk, turn)) is not None and HIDDEN * 3 not in "".join(talk.texts[asker + 1 : turn + 1]):
            for start, end in _answer(text):
                _claim(talk, turn, start, end)


def find_known(talk: Talk, names: Sequence[str]) -> None:
    """Claim every place where a name stands that is known: from the export, or introduced in this conversation."""
    people = [" ".join(name.split()) for name in names if name.strip()]
    people += [found.key for found in talk.found if found.kind == "NAME"]
    if not people:
        return
    owner: dict[str, str] = {}
    for person in people:
        owner.setdefault(person.lower(), person.lower())
        for part in person.replace(".", " ").split():
            low = part.lower().strip("'’")
            if len(low) > 2 and (low not in COMMON or low in ALSO_WORDS) and low not in PARTICLES:
                owner.setdefault(low, person.lower())
    sure, unsure = _matcher(tuple(owner))
    # A sign that is not ASCII may be another case of one that is: such a turn is always looked at.
    turns = {turn for turn, lowered in enumerate(talk.lowered) if not lowered.isascii()}
    for start in {name.split()[0] for name in owner}:
        turns.update(turn for turn, lowered in enumerate(talk.lowered) if start in lowered)
    for turn in sorted(turns):
        text = talk.texts[turn]
        if sure is not None:
            for match in sure.finditer(text):
                talk.claim("NAME", owner[" ".join(match[0].lower().split())], Span(turn, *match.span()))
        if unsure is not None:
            for match in unsure.finditer(text):
                if (
                    match[0][0].isupper()
                    and not match[0].isupper()
                    and re.search(r"[^\s.!?。][\s]*$", text[: match.start()])
                ):
                    talk.claim("NAME", owner[match[0].lower()], Span(turn, *match.span()))


@lru_cache(64)
def _matcher(names: tuple[str, ...]) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """Patterns for names that are nothing else, and for names that are words too."""

    def pattern(some: list[str]) -> re.Pattern[str] | None:
        if not some:
            return None
        ordered = sorted(some, key=len, reverse=True)
        bodies = [r"\s+".join(map(re.escape, name.split())) for name in ordered]
        bodies = [
            body if not name.isascii() and "\u4e00" <= name[0] <= "\u9fff" else rf"(?<!\w){body}(?!\w)"
            for body, name in zip(bodies, ordered, strict=True)
        ]
        return re.compile("|".join(bodies), re.I)

    words = [name for name in names if name in ALSO_WORDS]
    return pattern([name for name in names if name not in ALSO_WORDS]), pattern(words)


def _claim(talk: Talk, turn: int, start: int, end: int) -> None:
    name = " ".join(talk.texts[turn][start:end].lower().replace(".", " ").split())
    for found in talk.found:
        if found.kind == "NAME" and (name in found.key.split() or name == found.key):
            name = found.key
            break
    talk.claim("NAME", name, Span(turn, start, end))


def _introduced(text: str, lowered: str) -> Iterator[tuple[int, int]]:
    cased = text != lowered
    for match in found_at(INTRODUCED_STARTS, INTRODUCED, lowered):
        if NOT_PERSON.search(lowered, 0, match.start()):
            continue
        if span := _name_at(text, match.end(), cased):
            yield span
    for match in found_at(MAYBE_STARTS, MAYBE_INTRODUCED, lowered):
        span = _name_at(text, match.end(), cased)
        company = span and re.match(r"\s[A-Z]", text[span[1] :])  # This is Acme Support
        if span and not company and (cased or PRESENTING.match(text, span[1])):
            yield span
    for match in BEFORE_CLOSING.finditer(text) if CLOSING.search(lowered) else ():
        words = list(_NAME.finditer(match["name"]))
        while words and not _is_name(words[0][0], cased):
            words.pop(0)
        if words and all(_is_name(word[0], cased) for word in words) and len(words) <= 3:
            yield match.start("name") + words[0].start(), match.start("name") + words[-1].end()


def _name_at(text: str, start: int, cased: bool, most: int = 3) -> tuple[int, int] | None:
    """The name at a place: up to three words that are no common ones, with capitals where the turn has any."""
    end, at, count = None, start, 0
    while count < most:
        word = _NAME.match(text, at)
        if word is None:
            break
        if word[0].lower() in PARTICLES and end is not None and cased:
            at = word.end() + 1
            continue
        initial = len(word[0].rstrip(".")) == 1
        if not _is_name(word[0], cased) or (initial and end is None):
            break
        stop = word[0].endswith(".") and not initial
        end, count = word.end() - stop, count + 1
        if stop or text[word.end() : word.end() + 1] != " ":
            break
        at = word.end() + 1
    return None if end is None else (start, end)


def _is_name(word: str, cased: bool) -> bool:
    low = word.lower().rstrip(".").replace("’", "'")
    if (low in COMMON and not (cased and low in ALSO_WORDS)) or (cased and not word[0].isupper()):
        return False
    return len(low) > 1 or cased


def _asker(talk: Talk, turn: int) -> int | None:
    """The turn, at most two before and of the other side, that asks this one for a name."""
    for place in range(turn - 1, max(-1, turn - 3), -1):
        if talk.roles[place] != talk.roles[turn] or talk.roles[place] == "unknown":
            if place not in talk.asks_name:
                talk.asks_name[place] = any(found_at(ASKED_STARTS, ASKED, talk.lowered[place]))
            return place if talk.asks_name[place] else None
    return None


def _answer(text: str) -> Iterator[tuple[int, int]]:
    """The name in the answer to a question for it, and its spelling."""
    if match := CHINESE_ANSWER.match(text):
        yield match.span("name")
        return
    filler = FILLER.match(text)
    start = filler.end() if filler else 0
    cased = text != text.lower()
    span = _name_at(text, start, cased and text[start : start + 1].isupper())
    if span is None:
        return
    rest = text[span[1] :]
    if cased and _is_name(rest.strip(" .!"), False) and _NAME.fullmatch(rest.strip(" .!")):  # Katarina brown
        span = (span[0], span[1] + len(rest.rstrip(" .!")))
    following = _NAME.search(rest)
    if not cased and following and _is_name(following[0], False) and len(text.split()) > 6:
        return  # a sentence about something else
    yield span
    if spelled := re.search(r"(?<![^\W_])(?:[A-Za-z][\s.,-]+){2,}[A-Za-z](?![^\W_])", rest):
        yield span[1] + spelled.start(), span[1] + spelled.end()


def _chinese(text: str) -> Iterator[tuple[int, int]]:
    if text.isascii():
        return
    for pattern in (CHINESE, CHINESE_TITLE):
        for match in pattern.finditer(text):
            yield match.span("name")
