"""Rules for people's names: from the export's metadata, of those who introduce themselves or are asked for it."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from mlx_cc.redact.state import HIDDEN, RedactionState, Span
from mlx_cc.redact.word_flags import CHINESE as HAS_CHINESE
from mlx_cc.redact.word_flags import word_flag
from mlx_cc.redact.words import either, leftmost, source, words

_TOKEN = r"[^\W\d_]+(?:['’-][^\W\d_]+)*\.?"
_NAME = re.compile(_TOKEN)
COMMON, ALSO_WORDS, PARTICLES = words("common"), words("also_words"), words("particles")
SURNAMES = "".join(sorted(words("surnames")))

INTRODUCED = re.compile(rf"(?<![^\W_]){source('introduced')}[\s,:]+", re.X)
"""A name follows these words at once."""

MAYBE_INTRODUCED = re.compile(rf"(?<![^\W_]){source('maybe_introduced')}\ +", re.X)
"""A name can follow these words; it needs a capital, or a match of PRESENTING after it."""

PRESENTING = re.compile(rf"[\s,]+{source('presenting')}\b", re.I | re.X)
CLOSING = re.compile(rf"\b{source('closing')}", re.X)
BEFORE_CLOSING = re.compile(rf"(?<![^\W_])(?P<name>{_TOKEN}(?:\s{_TOKEN}){{0,2}}),?\s+{source('closing')}", re.I | re.X)
INTRODUCES = word_flag(
    r"name|nom|regist|call(?:ed)?\Z|goe?s?\Z|speaking|chatting|talking|through|connected|reached|attended|assisted|served|helped"
    r"|llamo|apellido|atiende|saluda|habla|appelle|parlez|hei(?:ß|ss)e|spricht|sprechen|apparat|chamo"
    r"|(?<![^\W_])(?:mr|mrs|ms|mister|missus|señora?|sra?|monsieur|madame|mme|herrn?|frau|senhora?|doña|don)\Z"
)
MAY_INTRODUCE = word_flag(
    r"this\Z|am\Z|i['’]?m\Z|\bit(?:['’]?s)?\Z|soy|con\Z|suis\Z|est\Z|ici\Z|bin\Z|hier\Z|sou\Z|aqui\Z|dear|miss\Z|dr\Z|spoke"
    r"|talked|chatted|named|tell\Z|hablé|husband|wife|spouse|partner|son\Z|daughter|child|mother|mom|mum|father|dad"
    r"|brother|sister|aunt|uncle|cousin|niece|nephew|grand|friend|boss|manager|neighb|colleague|assistant|mate\Z|fianc"
    r"|marido|espos|mujer|hij[oa]|madre|padre|herman|amig|mari\Z|femme|fils|fille|mère|père|frère|sœur|ami|mann\Z|frau"
    r"|sohn|tochter|mutter|vater|bruder|schwester|freund|kolleg"
)
CLOSES = word_flag(r"speaking|here|appareil|service|apparat|habla|aparato")
NOT_PERSON = re.compile(rf"\b{either(words('not_person'))}\s$")
"""Before `name is`, these words make the name one of a thing: product, company, street."""

ASKED = re.compile(rf"(?<![^\W_\u4e00-\u9fff]){source('asked')}", re.X)
ASKS = word_flag(r"name|nom|who|spell|call|apellido|qui|llama|hei(?:ß|ss)en|we[mr]|quem")
"""Questions for a name."""

FILLER = re.compile(rf"(?:\s|[,.!:;-]|\b{source('filler')}\b)*", re.I | re.X)
"""Allowed before the name in an answer."""

_FAMILY = f"(?:欧阳|上官|司马|诸葛|[{SURNAMES}])"
CHINESE = re.compile(
    rf"(?:我叫|我姓|我是|名字(?:是|叫)|姓名(?:是|为)?|叫做|免贵姓|这里是|您好)[，,:：\s]?(?P<name>{_FAMILY}[\u4e00-\u9fff]{{0,2}}?)"
    r"(?=[，。,.！!？?\s]|$|我|想|先生|女士|小姐|的|打|要|这|为|来|在)"
)
CHINESE_TITLE = re.compile(rf"(?P<name>{_FAMILY}[\u4e00-\u9fff]{{0,2}}?)(?=先生|女士|小姐)")
CHINESE_ANSWER = re.compile(
    rf"^(?:我?(?:是|叫|姓)|免贵姓|好的|嗯|[，,。\s])*(?P<name>{_FAMILY}[\u4e00-\u9fff]{{0,3}})(?=[，。,.\s]|$)"
)


ANSWER_TURNS = 2
"""A question for a name is answered within this many turns."""


def find_names(state: RedactionState, turns: Sequence[int]) -> None:
    """Claim the names that the turns introduce."""
    for turn in turns:
        text = state.texts[turn]
        if state.flags[turn] & (INTRODUCES | MAY_INTRODUCE | CLOSES):
            chinese = _chinese(text) if state.flags[turn] & HAS_CHINESE else ()
            for start, end in [*_introduced(text, state.lowered[turn], state.flags[turn]), *chinese]:
                _claim(state, turn, start, end)
        if (asker := _asker(state, turn)) is not None and HIDDEN * 3 not in "".join(state.texts[asker + 1 : turn + 1]):
            for start, end in _answer(text):
                _claim(state, turn, start, end)


def find_known_names(state: RedactionState, names: Sequence[str]) -> None:
    """Claim each mention of a name from the export's metadata, or of one that the conversation introduced."""
    people = [" ".join(name.split()) for name in names if name.strip()]
    people += [value.key for value in state.values if value.entity_type == "NAME"]
    if not people:
        return
    owner: dict[str, str] = {}
    for person in people:
        owner.setdefault(person.lower(), person.lower())
        for part in person.replace(".", " ").split():
            low = part.lower().strip("'’")
            if len(low) > 2 and (low not in COMMON or low in ALSO_WORDS) and low not in PARTICLES:
                owner.setdefault(low, person.lower())
    longest_first = sorted(owner, key=len, reverse=True)
    sure, unsure = [n for n in longest_first if n not in ALSO_WORDS], [n for n in longest_first if n in ALSO_WORDS]
    for turn, possible in sorted(_possible_names(state, longest_first).items()):
        text = state.texts[turn]
        for match in _named([name for name in sure if name in possible], text):
            written = " ".join(match[0].lower().split())
            state.claim("NAME", owner.get(written, written), Span(turn, *match.span()))  # s matches ſ, which is no key
        for match in _named([name for name in unsure if name in possible], text):
            if match[0][0].isupper() and not match[0].isupper() and INSIDE_SENTENCE.search(text[: match.start()]):
                state.claim("NAME", owner.get(match[0].lower(), match[0].lower()), Span(turn, *match.span()))


INSIDE_SENTENCE = re.compile(r"[^\s.!?。][\s]*$")
"""Text before a word that is inside a sentence, where a capital means a name."""


def _possible_names(state: RedactionState, names: Sequence[str]) -> dict[int, set[str]]:
    """Turn -> the names whose first word is in it."""
    possible: dict[int, set[str]] = {}
    for name in names:
        first = name.partition(" ")[0]
        turns = (turn for turn, text in enumerate(state.lowered) if first in text or not (text + name).isascii())
        for turn in turns:
            possible.setdefault(turn, set()).add(name)
    return possible


def _named(names: Sequence[str], text: str) -> Iterator[re.Match[str]]:
    """Mentions of the names in a text; where several match, the first of `names`."""
    return (match for _, match in leftmost([_pattern(name) for name in names], text))


@lru_cache(2048)
def _pattern(name: str) -> re.Pattern[str]:
    body = r"\s+".join(map(re.escape, name.split()))
    chinese = not name.isascii() and "\u4e00" <= name[0] <= "\u9fff"
    return re.compile(body if chinese else rf"(?<!\w){body}(?!\w)", re.I)


def _claim(state: RedactionState, turn: int, start: int, end: int) -> None:
    name = " ".join(state.texts[turn][start:end].lower().replace(".", " ").split())
    for value in state.values:
        if value.entity_type == "NAME" and (name in value.key.split() or name == value.key):
            name = value.key
            break
    state.claim("NAME", name, Span(turn, start, end))


def _introduced(text: str, lowered: str, flags: int) -> Iterator[tuple[int, int]]:
    cased = text != lowered
    for match in INTRODUCED.finditer(lowered) if flags & INTRODUCES else ():
        if NOT_PERSON.search(lowered, 0, match.start()):
            continue
        if span := _name_at(text, match.end(), cased):
            yield span
    for match in MAYBE_INTRODUCED.finditer(lowered) if flags & MAY_INTRODUCE else ():
        span = _name_at(text, match.end(), cased)
        company = span and re.match(r"\s[A-Z]", text[span[1] :])  # This is Acme Support
        if span and not company and (cased or PRESENTING.match(text, span[1])):
            yield span
    for match in BEFORE_CLOSING.finditer(text) if flags & CLOSES and _closes(text, lowered, cased) else ():
        words = list(_NAME.finditer(match["name"]))
        while words and not _is_name(words[0][0], cased):
            words.pop(0)
        if words and all(_is_name(word[0], cased) for word in words) and len(words) <= 3:
            yield match.start("name") + words[0].start(), match.start("name") + words[-1].end()


def _closes(text: str, lowered: str, cased: bool) -> bool:
    """Whether a word that closes an introduction (`speaking`) can follow a name here."""
    for match in CLOSING.finditer(lowered):
        before = text[: match.start()].rsplit(None, 1)[-1:]
        if before and (not _NAME.fullmatch(word := before[0].rstrip(",")) or _is_name(word, cased)):
            return True
    return False


def _name_at(text: str, start: int, cased: bool, most: int = 3) -> tuple[int, int] | None:
    """Span of the name at an offset: up to three uncommon words, with capitals where the turn has any."""
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


def _asker(state: RedactionState, turn: int) -> int | None:
    """The turn of the other side, within ANSWER_TURNS before, that asks for a name; None where it asks for none."""
    for earlier in range(turn - 1, max(-1, turn - ANSWER_TURNS - 1), -1):
        if state.roles[earlier] != state.roles[turn] or state.roles[earlier] == "unknown":
            return earlier if state.flags[earlier] & ASKS and ASKED.search(state.lowered[earlier]) else None
    return None


def _answer(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the name in an answer to a question for it, and of its spelling."""
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
    for pattern in (CHINESE, CHINESE_TITLE):
        for match in pattern.finditer(text):
            yield match.span("name")
