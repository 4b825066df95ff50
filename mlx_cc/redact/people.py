"""Names of people: those the export knows, those who introduce themselves, those asked for their name."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from mlx_cc.redact.hints import CHINESE as HAS_CHINESE
from mlx_cc.redact.hints import hint
from mlx_cc.redact.talk import HIDDEN, Span, Talk
from mlx_cc.redact.words import either, leftmost, source, words

_TOKEN = r"[^\W\d_]+(?:['’-][^\W\d_]+)*\.?"
_NAME = re.compile(_TOKEN)
COMMON, ALSO_WORDS, PARTICLES = words("common"), words("also_words"), words("particles")
SURNAMES = "".join(sorted(words("surnames")))

INTRODUCED = re.compile(rf"(?<![^\W_]){source('introduced')}[\s,:]+", re.X)
"""What a name follows at once."""

MAYBE_INTRODUCED = re.compile(rf"(?<![^\W_]){source('maybe_introduced')}\ +", re.X)
"""What a name may follow: it needs a capital, or one of the words of PRESENTING after it."""

PRESENTING = re.compile(rf"[\s,]+{source('presenting')}\b", re.I | re.X)
CLOSING = re.compile(rf"\b{source('closing')}", re.X)
BEFORE_CLOSING = re.compile(rf"(?<![^\W_])(?P<name>{_TOKEN}(?:\s{_TOKEN}){{0,2}}),?\s+{source('closing')}", re.I | re.X)
INTRODUCES = hint(
    r"name|nom|regist|call(?:ed)?\Z|goe?s?\Z|speaking|chatting|talking|through|connected|reached|attended|assisted|served|helped"
    r"|llamo|apellido|atiende|saluda|habla|appelle|parlez|hei(?:ß|ss)e|spricht|sprechen|apparat|chamo"
    r"|(?<![^\W_])(?:mr|mrs|ms|mister|missus|señora?|sra?|monsieur|madame|mme|herrn?|frau|senhora?|doña|don)\Z"
)
MAY_INTRODUCE = hint(
    r"this\Z|am\Z|i['’]?m\Z|\bit(?:['’]?s)?\Z|soy|con\Z|suis\Z|est\Z|ici\Z|bin\Z|hier\Z|sou\Z|aqui\Z|dear|miss\Z|dr\Z|spoke"
    r"|talked|chatted|named|tell\Z|hablé|husband|wife|spouse|partner|son\Z|daughter|child|mother|mom|mum|father|dad"
    r"|brother|sister|aunt|uncle|cousin|niece|nephew|grand|friend|boss|manager|neighb|colleague|assistant|mate\Z|fianc"
    r"|marido|espos|mujer|hij[oa]|madre|padre|herman|amig|mari\Z|femme|fils|fille|mère|père|frère|sœur|ami|mann\Z|frau"
    r"|sohn|tochter|mutter|vater|bruder|schwester|freund|kolleg"
)
CLOSES = hint(r"speaking|here|appareil|service|apparat|habla|aparato")
NOT_PERSON = re.compile(rf"\b{either(words('not_person'))}\s$")
"""Before `name is` it says that the name is no person's."""

ASKED = re.compile(rf"(?<![^\W_\u4e00-\u9fff]){source('asked')}", re.X)
ASKS = hint(r"name|nom|who|spell|call|apellido|qui|llama|hei(?:ß|ss)en|we[mr]|quem")
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


ANSWERED = 2
"""A name answers a question at most so many turns before."""


def find_names(talk: Talk, turns: Sequence[int]) -> None:
    """Claim the names that are introduced in the turns."""
    for turn in turns:
        text = talk.texts[turn]
        if talk.hints[turn] & (INTRODUCES | MAY_INTRODUCE | CLOSES):
            chinese = _chinese(text) if talk.hints[turn] & HAS_CHINESE else ()
            for start, end in [*_introduced(text, talk.lowered[turn], talk.hints[turn]), *chinese]:
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
    longest_first = sorted(owner, key=len, reverse=True)
    sure, unsure = [n for n in longest_first if n not in ALSO_WORDS], [n for n in longest_first if n in ALSO_WORDS]
    for turn, stand in sorted(_standing(talk, longest_first).items()):
        text = talk.texts[turn]
        for match in _named([name for name in sure if name in stand], text):
            said = " ".join(match[0].lower().split())
            talk.claim("NAME", owner.get(said, said), Span(turn, *match.span()))  # s matches ſ, which is no key
        for match in _named([name for name in unsure if name in stand], text):
            if match[0][0].isupper() and not match[0].isupper() and INSIDE.search(text[: match.start()]):
                talk.claim("NAME", owner.get(match[0].lower(), match[0].lower()), Span(turn, *match.span()))


INSIDE = re.compile(r"[^\s.!?。][\s]*$")
"""What is before a word inside a sentence."""


def _standing(talk: Talk, names: Sequence[str]) -> dict[int, set[str]]:
    """Turn -> those of the names that may stand in it, told by their first word."""
    stand: dict[int, set[str]] = {}
    for name in names:
        first = name.partition(" ")[0]
        turns = (turn for turn, text in enumerate(talk.lowered) if first in text or not (text + name).isascii())
        for turn in turns:
            stand.setdefault(turn, set()).add(name)
    return stand


def _named(names: Sequence[str], text: str) -> Iterator[re.Match[str]]:
    """Where names stand in a text, the first of `names` where several do."""
    return (match for _, match in leftmost([_pattern(name) for name in names], text))


@lru_cache(2048)
def _pattern(name: str) -> re.Pattern[str]:
    body = r"\s+".join(map(re.escape, name.split()))
    chinese = not name.isascii() and "\u4e00" <= name[0] <= "\u9fff"
    return re.compile(body if chinese else rf"(?<!\w){body}(?!\w)", re.I)


def _claim(talk: Talk, turn: int, start: int, end: int) -> None:
    name = " ".join(talk.texts[turn][start:end].lower().replace(".", " ").split())
    for found in talk.found:
        if found.kind == "NAME" and (name in found.key.split() or name == found.key):
            name = found.key
            break
    talk.claim("NAME", name, Span(turn, start, end))


def _introduced(text: str, lowered: str, hints: int) -> Iterator[tuple[int, int]]:
    cased = text != lowered
    for match in INTRODUCED.finditer(lowered) if hints & INTRODUCES else ():
        if NOT_PERSON.search(lowered, 0, match.start()):
            continue
        if span := _name_at(text, match.end(), cased):
            yield span
    for match in MAYBE_INTRODUCED.finditer(lowered) if hints & MAY_INTRODUCE else ():
        span = _name_at(text, match.end(), cased)
        company = span and re.match(r"\s[A-Z]", text[span[1] :])  # This is Acme Support
        if span and not company and (cased or PRESENTING.match(text, span[1])):
            yield span
    for match in BEFORE_CLOSING.finditer(text) if hints & CLOSES and _closes(text, lowered, cased) else ():
        words = list(_NAME.finditer(match["name"]))
        while words and not _is_name(words[0][0], cased):
            words.pop(0)
        if words and all(_is_name(word[0], cased) for word in words) and len(words) <= 3:
            yield match.start("name") + words[0].start(), match.start("name") + words[-1].end()


def _closes(text: str, lowered: str, cased: bool) -> bool:
    """Whether a word that closes an introduction may stand behind a name."""
    for match in CLOSING.finditer(lowered):
        before = text[: match.start()].rsplit(None, 1)[-1:]
        if before and (not _NAME.fullmatch(word := before[0].rstrip(",")) or _is_name(word, cased)):
            return True
    return False


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
    for place in range(turn - 1, max(-1, turn - ANSWERED - 1), -1):
        if talk.roles[place] != talk.roles[turn] or talk.roles[place] == "unknown":
            return place if talk.hints[place] & ASKS and ASKED.search(talk.lowered[place]) else None
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
    for pattern in (CHINESE, CHINESE_TITLE):
        for match in pattern.finditer(text):
            yield match.span("name")
