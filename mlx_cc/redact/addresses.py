"""Rules for e-mail addresses, postal addresses and dates of birth."""

import re

from mlx_cc.redact.number_context import LOOK_BACK, cues, deciding_cue
from mlx_cc.redact.spoken_numbers import Piece, number_words
from mlx_cc.redact.state import HIDDEN, RedactionState, Span
from mlx_cc.redact.word_flags import DIGIT, word_flag
from mlx_cc.redact.words import either, words

EMAIL = re.compile(r"[\w.+%-]+\s?@\s?[\w-]+(?:\.[\w-]+)+", re.A)

AT = r"(?:at|arroba|arobase|arrobase|ät|klammeraffe|小老鼠)"
DOT = r"(?:\s+(?:dot|punto|point|punkt|ponto)\s+|\.|点)"
LINK = {"dot", "punto", "point", "punkt", "ponto", "underscore", "dash", "hyphen", "minus", "plus", "guion", "guión"}
LINK |= {"tiret", "unterstrich", "bindestrich", "bajo", "bas", "under", "score", "baixo"}
SPOKEN_EMAIL = re.compile(
    rf"(?<!\w){AT}\s+(?P<domain>(?:[\w-]+\s+){{0,3}}?[\w-]+(?:{DOT}[\w-]+){{0,2}}{DOT}[a-z]{{2,6}})(?!\w)", re.I
)
AT_WORD = word_flag(rf"(?<!\w){AT}\Z")
DOTTED = re.compile(r"\b(?:dot|punto|point|punkt|ponto)\b|点|\w\.[a-z]{2}")
SIGNS = [(r"\s*\b(?:dot|punto|point|punkt|ponto)\b\s*", "."), (rf"\s*\b{AT}\b\s*", "@"), (r"\s+", "")]
SIGNS.insert(0, (r"\s*\b(?:underscore|under score|guion bajo|guión bajo|tiret bas|unterstrich)\b\s*", "_"))


def find_email(state: RedactionState, turn: int) -> None:
    text = state.texts[turn]
    for match in EMAIL.finditer(text) if "@" in text else ():
        end = match.end() - len(match[0]) + len(match[0].rstrip(".-"))
        state.claim("EMAIL", re.sub(r"\s", "", text[match.start() : end]).lower(), Span(turn, match.start(), end))
    spoken = state.flags[turn] & AT_WORD and DOTTED.search(state.lowered[turn])
    for match in SPOKEN_EMAIL.finditer(text) if spoken else ():
        start = _local_part(text, match.start())
        if start is not None:
            address = text[start : match.end()].lower()
            spelled = any(
                word in LINK or word in NUMBERS or len(word) == 1
                for word in text[start : match.start()].lower().split()
            )
            if not spelled and not MAIL.search(match["domain"] + " ".join(state.texts[max(0, turn - 2) : turn + 1])):
                continue  # look at amazon dot com
            for pattern, sign in SIGNS:
                address = re.sub(pattern, sign, address)
            state.claim("EMAIL", address, Span(turn, start, match.end()))


NUMBERS = number_words()
MAIL = re.compile(r"mail|correo|courriel|yahoo|outlook|icloud|\baol\b|inbox", re.I)


def _local_part(text: str, at: int) -> int | None:
    """Start of the words before `at` that spell the name of a mailbox; None when there are none."""
    words = list(re.finditer(r"[^\s,;:!?]+", text[:at]))
    start, linked = None, True
    while words:
        word = words.pop()
        lowered = word[0].lower()
        if HIDDEN in lowered:
            break
        if lowered in LINK:
            linked = True
        elif lowered in NUMBERS or lowered.isdigit() or (len(lowered) == 1 and lowered not in "iayeo"):
            pass
        elif linked and lowered not in ("is", "es", "est", "ist", "it's", "email", "e-mail", "correo", "address", "me"):
            linked = False
        else:
            break
        start = word.start()
    return start


# Dates of birth

MONTHS = words("months")
MONTH = re.compile(rf"(?<!\w){either(MONTHS)}(?!\w)\.?", re.I)
ORDINAL = (
    r"(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth"
    r"|seventeenth|eighteenth|nineteenth|twentieth|thirtieth|primero|premier|erste[nr]?|(?:\w*zwanzig|\w*dreißig|\w+)ste[nr]?|\w{2,}te[nr])"
)
_SPOKEN_DATE = rf"(?:{'|'.join(sorted(NUMBERS, key=len, reverse=True))}|vingts|hundred|thousand|mille|mil|cents?|et)"
AROUND = re.compile(
    rf"(?:\d+(?:st|nd|rd|th|er|\.)?|(?:{_SPOKEN_DATE}-)?{ORDINAL}|{_SPOKEN_DATE}(?:-{_SPOKEN_DATE})*|\w*hundert\w*|\w*tausend\w*|the|of|in|de|del|le|año|and|y|und)",
    re.I,
)
NUMERIC_DATE = re.compile(
    r"(?<!\d)(?:\d{1,2}\s?[/.\- ]\s?\d{1,2}\s?[/.\- ]\s?(?:\d{4}|\d{2})"
    r"|\d{4}\s?[/.\-]\s?\d{1,2}\s?[/.\-]\s?\d{1,2})(?!\d)"
)
CHINESE_DATE = re.compile(
    r"(?:[\d〇零一二三四五六七八九]{2,4}年)?[\d一二三四五六七八九十]{1,3}月[\d一二三四五六七八九十]{1,3}[日号]?"
)
JOINTS = {"of", "in", "de", "del", "and", "y", "et", "und", "año"}


BIRTH = re.compile(r"birth|\bd\W?o\W?b\b|\bborn\b|\bnac|nasc|naiss|\bnée?\b|\bgeb|cumple|anniv|出生|生日")
BORN = word_flag(r"birth|\b(?:(?:d\W?)?o\W?)?b\b|\bborn\b|\bnac|nasc|naiss|\bnée?\b|\bgeb|cumple|anniv")


def find_birth_date(state: RedactionState, turn: int) -> None:
    """Claim dates of birth: dates with a word for birth before them, in their turn or in the question."""
    near = range(max(0, turn - LOOK_BACK), turn + 1)
    if not any(state.flags[earlier] & BORN and BIRTH.search(state.lowered[earlier]) for earlier in near):
        return
    for start, end in _dates(state, turn):
        entity_type, back = deciding_cue(state, turn, start, end)
        if entity_type != "DOB" or state.answered("DOB", turn - back, turn):
            continue
        written = re.sub(r"\W+", " ", state.texts[turn][start:end].lower()).strip()
        state.claim("DOB", written, Span(turn, start, end))


def _dates(state: RedactionState, turn: int) -> list[tuple[int, int]]:
    text = state.texts[turn]
    dates = [match.span() for match in CHINESE_DATE.finditer(text)]
    dates += [match.span() for match in NUMERIC_DATE.finditer(text)]
    words = list(re.finditer(r"[^\s,]+", text))
    for month in MONTH.finditer(text):
        at = next((i for i, word in enumerate(words) if word.start() <= month.start() < word.end()), None)
        if at is None:
            continue
        first = last = at
        while first and AROUND.fullmatch(words[first - 1][0].rstrip(".")) and at - first < 4:
            first -= 1
        while last + 1 < len(words) and AROUND.fullmatch(words[last + 1][0].rstrip(".?!")) and last - at < 6:
            last += 1
        while first < at and words[first][0].lower() in JOINTS:
            first += 1
        while last > at and words[last][0].lower() in JOINTS | {"the", "le"}:
            last -= 1
        if first < last:
            end = words[last].end()
            dates.append((words[first].start(), end - len(text[:end]) + len(text[:end].rstrip(".?!"))))
    if not dates:  # spoken as digits: oh three oh four eighty five
        near: list[list[Piece]] = []
        for piece in state.pieces(turn):
            if near and piece.start - near[-1][-1].end <= 3:
                near[-1].append(piece)
            else:
                near.append([piece])
        for run in near:
            if 6 <= sum(len(piece.text) for piece in run) <= 8 and all(piece.is_digits for piece in run):
                dates.append((run[0].start, run[-1].end))
    return dates


# Postal addresses

_NUMBER = r"(?:\d{1,5}[a-z]?(?:[-/]\d{1,4})?)"
_WORDS = either(NUMBERS | {"vingts", "cent", "hundred", "thousand", "and", "y", "et", "und"})
_SPOKEN = rf"(?:{_WORDS}(?:[\s-]+|(?!\w)))"
_SURE, _OFTEN = either(words("street_words")), either(words("maybe_street_words"))
_WORD = r"[^\W\d_][\w'’.-]*"
_UNIT = r"(?:,?\s*(?:apt|apartment|unit|suite|ste|flat|floor|room|building|bldg|\#)\.?\s*(?:number\s+)?\w+)"
_ZIP = r"(?:\d{5,6}(?:-\d{4})?(?!\d)|[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}|[A-Z]\d[A-Z]\s?\d[A-Z]\d)"
STREET = re.compile(
    rf"(?<![\w$€£.,:-])(?:(?:flat|unit|apartment|apt)\s+\w+,?\s+)?(?P<number>{_NUMBER}|{_SPOKEN}{{1,8}}?(?:[a-z]\s+)?)\s*"
    rf"(?!(?:minutes?|mins?|hours?|days?|weeks?|months?|years?|miles?|times|blocks?|people|guests?|dollars?)\b)(?P<name>(?:(?:\d+(?:st|nd|rd|th)|{_WORD})\s+){{1,4}}?)(?:(?P<sure>{_SURE})|(?P<often>{_OFTEN}))\b\.?(?P<unit>{_UNIT}?)",
    re.I,
)
TAIL = re.compile(
    rf",?\s+(?:in\s+)?(?P<town>{_WORD}(?:\s+{_WORD}){{0,2}}?),?\s+(?:(?P<state>[A-Z]{{2}}),?\s+)?(?:zip(?:\s+code)?\s+|postcode\s+)?(?P<zip>{_ZIP}|{_SPOKEN}{{3,6}})",
    re.I,
)
TOWN = re.compile(r",\s+(?:[A-Z][\w'’.-]+\s?){1,3}(?:,\s*[A-Z]{2}\b)?")
ROMANCE = re.compile(
    rf"(?<!\w)(?:(?:c/\s?|calle|avenida|avda\.?|av\.|plaza|pza\.?|paseo|camino|carretera|ronda|travesía|rua)\s+(?P<es>(?:{_WORD}\s+){{0,4}}?{_WORD}),?\s+(?:n[úu]mero\s+|nº\s*)?"
    rf"(?:\d{{1,4}}|{_SPOKEN}{{1,6}})(?:,?\s*\d+\s?[ºª]\s?\w?)?"
    rf"|(?:\d{{1,4}}(?:\s?(?:bis|ter))?|(?:{_WORDS}[\s-]+){{1,6}}),?\s*(?:rue|avenue|av\.|boulevard|bd|place|chemin|impasse|allée|quai|cours|route)\s+(?P<fr>(?:(?:de|des|du|la|le|l[’'])\s*)*(?:[^\W\d_][\w'’-]*\s?){{1,3}}?)(?=,|\s\d|\.|$|\s(?:depuis|et|à|a|desde|y)\b))"
    rf"(?:,?\s*(?:\d{{5}})\s+{_WORD}(?:[\s-](?=[A-ZÉ]){_WORD})?)?",
    re.I,
)
GERMAN = re.compile(
    r"(?<!\w)(?:[^\W\d_][\w-]*(?:straße|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|chaussee)"
    r"|[A-ZÄÖÜa-zäöü][\w-]+(?:er|ische)?\s(?:straße|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|chaussee)"
    r"|(?:am|an der|im|in der|auf der|auf dem|zum|zur)\s(?:[^\W\d_]\w+\s){1,3}?(?=\d))\s*"
    rf"(?:\d{{1,4}}\s?[a-z]?\b|(?:[a-zäöüß]+\s){{1,4}}?(?=\d{{5}}))(?:,?\s*\d{{5}}\s+{_WORD})?",
    re.I,
)
CHINESE = re.compile(
    r"(?:[\u4e00-\u9fff]{2,8}?(?:省|市|自治区))?(?:[\u4e00-\u9fff]{2,4}?(?:市|区|县|镇))*[\u4e00-\u9fff]{2,8}?(?:路|街|大道|巷|弄|胡同|道)"
    r"[\d零一二三四五六七八九十百]+(?:号|弄)(?:院|楼)?(?:[\d零一二三四五六七八九十百A-Za-z]+(?:栋|号楼|幢|座|单元|室|层|楼|号|房))*"
)
CHINESE_LEAD = re.compile(r"^.*(?:地址是|地址为|地址|住在|寄到|送到|我在|家在|是|在|到)")
POSTCODE = re.compile(r"(?<![\w-])[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}(?![\w-])")


DATE_AND_STREET_WORDS = words("street_words") | words("maybe_street_words") | MONTHS
DATE_AND_STREET_WORDS -= {"way", "close", "place", "view", "run"}
"""With one of these words, two digits are enough to search a turn for a date or an address."""

SUFFIX = re.compile(rf"\b(?:{_SURE}|{_OFTEN})\b")
STREET_WORD = word_flag(rf"{SUFFIX.pattern}|\bsac\b")  # the end of cul-de-sac
GERMAN_SUFFIX = re.compile(
    r"stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ring|damm|ufer|chaussee|\b(?:am|an|im|in|auf|zum|zur)\b"
)
GERMAN_STREET = word_flag(GERMAN_SUFFIX.pattern.replace(r"str\.", r"str\Z"))
ROMANCE_STREET = word_flag(
    r"\bc\b|calle|avenida|avda|\bav\Z|plaza|pza|paseo|camino|carretera|ronda|travesía|rua|rue|avenue|boulevard|bd|place"
    r"|chemin|impasse|allée|quai|cours|route"
)
FIVE_DIGITS = re.compile(r"\d{5}|\b(?:zip|post|pin|plz)")
POSTAL = word_flag(FIVE_DIGITS.pattern)
NAMED_CODE = re.compile(
    r"\b(?:zip|post(?:al)?|pin|código postal|code postal|plz)\s?(?:code)?"
    r"(?:\s(?:is|es|est|ist)|[:,])?\s(\d{3}\s?\d{3}|\d{4,6})(?![\d-])",
    re.I,
)


def find_address(state: RedactionState, turn: int) -> None:
    text, lowered, flags = state.texts[turn], state.lowered[turn], state.flags[turn]
    if flags & ROMANCE_STREET and state.language in ("es", "fr", "pt", "") and (match := ROMANCE.search(text)):
        _claim(state, turn, *match.span())
    if flags & GERMAN_STREET and state.language in ("de", "") and GERMAN_SUFFIX.search(lowered):
        for match in GERMAN.finditer(text):
            _claim(state, turn, *match.span())
    for match in CHINESE.finditer(text) if "号" in text or "弄" in text else ():
        lead = CHINESE_LEAD.match(match[0][:-2])
        _claim(state, turn, match.start() + (lead.end() if lead else 0), match.end())
    if flags & STREET_WORD and state.language in ("en", "") and SUFFIX.search(lowered):
        for match in STREET.finditer(text):
            near = range(max(0, turn - 2), turn + 1)
            named = any(entity_type == "ADDRESS" for earlier in near for _, _, entity_type in cues(state, earlier))
            _english(state, turn, match, named)
    for match in POSTCODE.finditer(text) if flags & DIGIT else ():
        _claim(state, turn, *match.span())
    if flags & POSTAL and FIVE_DIGITS.search(lowered):
        _postal_code(state, turn)


def _english(state: RedactionState, turn: int, match: re.Match[str], named: bool) -> None:
    text, end = state.texts[turn], match.end()
    tail = TAIL.match(text, end)
    if tail:
        end = tail.end()
        end -= len(text[:end]) - len(text[:end].rstrip())
    capital = match["name"].strip()[:1].isupper() or match["name"][:1].isdigit()
    if not (tail or named or capital or (match["sure"] and match["number"][0].isdigit())):
        return
    if not tail and (town := TOWN.match(text, end)):
        end = town.end() - len(town[0]) + len(town[0].rstrip())
    _claim(state, turn, match.start(), end)


def _postal_code(state: RedactionState, turn: int) -> None:
    """Claim five digits that answer a question for a zip code, and any code that is called one."""
    for match in NAMED_CODE.finditer(state.texts[turn]):
        _claim(state, turn, *match.span(1))
    for match in re.finditer(r"(?<![\d$€£.,-])\d{5}(?:-\d{4})?(?![\d.,]\d|\d)", state.texts[turn]):
        entity_type, _ = deciding_cue(state, turn, *match.span())
        if entity_type == "ADDRESS":
            _claim(state, turn, *match.span())


def _claim(state: RedactionState, turn: int, start: int, end: int) -> None:
    written = state.texts[turn][start:end]
    end -= len(written) - len(written.rstrip(" .,"))
    if HIDDEN not in written:
        state.claim("ADDRESS", re.sub(r"\W+", "", written).lower(), Span(turn, start, end))
