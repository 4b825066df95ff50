"""Read digits in figures and words: 4111, four one double one, forty one eleven, quatre-vingt-dix, 幺三八."""

import re
import unicodedata
from functools import cache, lru_cache
from typing import NamedTuple

UNITS = {
    "en": "zero one two three four five six seven eight nine",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun",
    "pt": "zero um dois três quatro cinco seis sete oito nove",
}
TEENS = {
    "en": "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    "es": "diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve",
    "fr": "dix onze douze treize quatorze quinze seize",
    "de": "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
    "pt": "dez onze doze treze quatorze quinze dezesseis dezessete dezoito dezenove",
}
TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "fr": "vingt trente quarante cinquante soixante",
    "de": "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "pt": "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
}
OTHER = {
    "en": {"oh": 0, "nought": 0, "nil": 0, "fourty": 40},
    "es": {"una": 1, "dieciseis": 16, "veintidos": 22, "veintitres": 23, "veintiseis": 26, "cien": 100, "ciento": 100},
    "fr": {"zero": 0, "une": 1, "septante": 70, "huitante": 80, "octante": 80, "nonante": 90, "vingts": 20},
    "de": {"zwo": 2, "dreissig": 30, "fuenf": 5, "zwoelf": 12},
    "pt": {"uma": 1, "duas": 2, "meia": 6, "catorze": 14, "tres": 3},
}
HUNDREDS = (
    "doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"  # Spanish, 200 up
)
TIMES = {"double": 2, "triple": 3, "treble": 3, "doble": 2, "doppel": 2, "doppelt": 2, "dreifach": 3, "duplo": 2}
SCALE = {"hundred": 100, "thousand": 1000, "cent": 100, "cents": 100, "hundert": 100, "mil": 1000, "mille": 1000}
CHINESE = {**dict(zip("零一二三四五六七八九", "0123456789", strict=True)), "〇": "0", "幺": "1", "两": "2"}
AND = {"en": "and", "es": "y", "fr": "et", "de": "und", "pt": "e"}

TOKEN = re.compile(
    r"\d+|[零〇一二三四五六七八九幺两]|[A-Za-z]+(?=[\u4e00-\u9fff])|[^\W\d_零〇一二三四五六七八九幺两]+(?:['’][^\W\d_]+)*"
)


class Piece(NamedTuple):
    """Characters `start` to `end` of a turn, read as digits, or as letters that stand alone or touch digits."""

    text: str
    """The digits or letters as read."""
    start: int
    end: int
    spoken: bool
    """Whether the turn has them in words."""

    @property
    def is_digits(self) -> bool:
        return self.text.isdigit()


@cache
def lexicon(language: str) -> dict[str, int]:
    """Number word -> value. For an unknown language: the words of all languages without `AMBIGUOUS`."""
    if language == "zh":
        return {}
    if language not in UNITS:
        merged = {word: value for name in UNITS for word, value in lexicon(name).items()} | lexicon("en")
        return {word: value for word, value in merged.items() if word not in AMBIGUOUS}
    values = dict(zip(UNITS[language].split(), range(10), strict=True))
    values |= dict(zip(TEENS[language].split(), range(10, 20), strict=False))
    values |= dict(zip(TENS[language].split(), range(20, 100, 10), strict=False))
    if language == "es":
        values |= {f"veinti{word}": 20 + unit for word, unit in list(values.items())[1:10]}
        values |= {"veintidós": 22, "veintitrés": 23, "veintiséis": 26}
        values |= dict(zip(HUNDREDS.split(), range(200, 1000, 100), strict=True))
    if language == "de":
        units = {word: value for word, value in values.items() if 0 < value < 10} | {"ein": 1}
        tens = {word: value for word, value in values.items() if value >= 20} | {"dreissig": 30}
        values |= {f"{unit}und{ten}": tens[ten] + units[unit] for ten in tens for unit in units}
    return values | OTHER[language]


AMBIGUOUS = set(
    ["once", "un", "une", "uno", "una", "um", "uma", "meia", "onze", "neuf", "elf", "acht", "cent", "mil", "nil"]
)
"""Number words of one language that are common words of another; not read as numbers in an unknown language."""


def number_words() -> frozenset[str]:
    """The number words of all languages."""
    return frozenset(word for name in UNITS for word in lexicon(name)) | frozenset(TIMES)


def pieces(text: str, language: str) -> list[Piece]:
    """The digits, number words and spelled letters of a turn, in order; a number of several words is one piece."""
    tokens: list[Piece] = []
    for token in TOKEN.finditer(text):
        written = token[0]
        if written.isdecimal():
            digits = written if written.isascii() else "".join(str(unicodedata.decimal(digit)) for digit in written)
            tokens.append(Piece(digits, *token.span(), False))
            continue
        reading = _reading(written, language)
        if reading is None:
            continue
        start, end = token.span()
        if reading.isupper():
            touches = (start and text[start - 1].isdigit()) or text[end : end + 1].isdigit()
            hyphen = text[end : end + 1] == "-" and text[end + 1 : end + 2].isdigit() and len(written) <= 4
            if not touches and (written.lower() == AND.get(language) or (len(written) > 1 and not hyphen)):
                continue
        tokens.append(Piece(reading, start, end, not reading.isupper()))
    return _joined(text, tokens, language, lexicon(language))


@lru_cache(1 << 15)
def _reading(word: str, language: str) -> str | None:
    """A number word in lower case, a Chinese digit as 0-9, up to five letters (maybe spelled) in capitals, or None."""
    low = word.lower()
    if word in CHINESE:
        return CHINESE[word]
    if low in lexicon(language) or low in TIMES or low in SCALE:
        return low
    return word.upper() if len(word) <= 5 and word.isascii() else None


def _joined(text: str, tokens: list[Piece], language: str, words: dict[str, int]) -> list[Piece]:
    """Tokens with number words turned into digits, the words of one number joined."""
    joined: list[Piece] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if not token.spoken or token.text.isdigit():
            zero = token.text == "O" and _beside_digits(text, tokens, at)
            joined.append(token._replace(text="0", spoken=True) if zero else token)
            at += 1
            continue
        if token.text in TIMES:
            after = tokens[at + 1] if at + 1 < len(tokens) and _near(text, token, tokens[at + 1]) else None
            digit = after and (after.text if after.text.isdigit() else str(words.get(after.text, "")))
            if after and digit and len(digit) == 1:
                joined.append(Piece(digit * TIMES[token.text], token.start, after.end, True))
                at += 2
            else:
                at += 1
            continue
        value, last = _number(text, tokens, at, language, words)
        if value is not None:
            joined.append(Piece(value, token.start, tokens[last].end, True))
        at = last + 1
    return joined


def _number(text: str, tokens: list[Piece], at: int, language: str, words: dict[str, int]) -> tuple[str | None, int]:
    """The digits of the number that starts at token `at`, and its last token's index; None for a lone `hundred`."""
    value, upto = words.get(tokens[at].text), at
    if value is None:
        return None, at

    def following() -> tuple[int | None, str]:
        if upto + 1 == len(tokens) or not tokens[upto + 1].spoken:
            return None, ""
        gap = text[tokens[upto].end : tokens[upto + 1].start].strip(" -\u2010\u2011")
        if gap and gap.lower() != AND.get(language, "and"):
            return None, ""
        return words.get(tokens[upto + 1].text), tokens[upto + 1].text

    after, word = following()
    if language == "fr" and value == 4 and word in ("vingt", "vingts"):
        value, upto = 80, upto + 1
        after, word = following()
    if value in range(20, 100, 10) and after is not None:
        wide = language == "fr" and value in (60, 80)
        gap = text[tokens[upto].end : tokens[upto + 1].start]
        bare = language in ("es", "pt") and not gap.strip()  # treinta y uno is 31, treinta uno is 30 1
        if 0 < after < (20 if wide else 10) and not bare:
            value, upto = value + after, upto + 1
            after, word = following()
            if wide and value in (70, 90) and after in (7, 8, 9):  # soixante-dix-sept
                value, upto = value + after, upto + 1
                after, word = following()
    elif language == "fr" and value == 10 and after in (7, 8, 9):
        value, upto = 10 + after, upto + 1
        after, word = following()
    elif language == "es" and value >= 100 and after is not None and after < 100:
        rest, last = _number(text, tokens, upto + 1, language, words)
        return str(value + int(rest or 0)), last
    scale = SCALE.get(word)
    if scale and value and len(str(value)) <= 2:
        value, upto = value * scale, upto + 1
        after, word = following()
        if after is not None and after and value % scale == 0 and after < 100 and scale > after:
            rest, last = _number(text, tokens, upto + 1, language, words)
            return str(value + int(rest or 0)), last
    return str(value), upto


def _near(text: str, left: Piece, right: Piece) -> bool:
    return not text[left.end : right.start].strip(" -")


def _beside_digits(text: str, tokens: list[Piece], at: int) -> bool:
    """Whether a single letter O stands between or beside digits: then it is a zero."""
    around = [tokens[index] for index in (at - 1, at + 1) if 0 <= index < len(tokens)]
    return any(
        (piece.spoken or piece.text.isdigit())
        and not text[min(piece.end, tokens[at].end) : max(piece.start, tokens[at].start)].strip(" ")
        for piece in around
    )
