"""Values made of digits: cards, security codes, national ids, bank accounts, phones, customers' accounts."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import phonenumbers
from stdnum import iban as stdnum_iban
from stdnum import luhn
from stdnum.br import cpf
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir

from mlx_cc.redact.cues import EXPIRY, asked
from mlx_cc.redact.hints import DIGIT
from mlx_cc.redact.runs import MONEY, Run, runs_now
from mlx_cc.redact.talk import Span, Talk
from mlx_cc.redact.words import source, words

UNIT = re.compile(rf"\s*(?:{MONEY}|{source('units')})", re.I | re.X)

CARD_LENGTHS: tuple[tuple[str, tuple[int, ...]], ...] = (
    (r"4", (13, 16, 19)),
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),
    (r"3[47]", (15,)),
    (r"6011|65|64[4-9]", (16, 19)),
    (r"30[0-5]|36|38|39", (14, 16)),
    (r"35(?:2[89]|[3-8])", (16,)),
    (r"62", (16, 17, 18, 19)),
    (r"50|5[6-9]|6[0-9]", (16, 18, 19)),
)
"""First digits of the issuers and how long their numbers are (ISO/IEC 7812)."""


def find_numbers(talk: Talk, turns: Sequence[int], rules: Sequence["Rule"]) -> None:
    """Claim every number of the turns that a rule knows; the surest rule comes first."""
    for find, least in rules:
        for run in runs_now(talk, turns):
            if len(run.text) >= least and (not run.lines or find is find_card):
                find(talk, run)


def find_card(talk: Talk, run: Run) -> None:
    for stretch in run.digits:
        text = stretch.text
        if len(text) < 12:
            continue
        kind, _ = asked(talk, *stretch.place)
        carded = kind in ("CARD", "CVV") or (kind is None and asked(talk, *stretch.place, only="CARD")[0] == "CARD")
        if kind == "KEEP" and not carded:
            continue
        if any(_take(talk, "CARD", part) for part in _cards(talk, stretch, carded)):
            continue
        alone = len(text) == 16 and text[0] in "3456" and kind in (None, "PHONE")
        if not run.lines and (alone or (carded and len(text) <= 24)):  # a digit was misheard, or some are missing
            ends = [end for end in stretch.bounds if 12 <= end <= 19]
            best = min(ends, key=lambda end: abs(end - 16), default=None)
            if best and (part := stretch.part(0, best)):
                _take(talk, "CARD", part)


def _cards(talk: Talk, run: Run, carded: bool) -> list[Run]:
    """Parts of a run that are card numbers: issuer, length and check digit are right."""
    text, found = run.text, []
    most = 8 if asked(talk, *run.place)[0] in (None, "CARD", "CVV") else 0  # digits of an expiry and a code beside it
    for place, start in enumerate(run.bounds):
        ends = [end for end in run.bounds[place + 1 : place + 20] if 13 <= end - start <= 19]
        for end in reversed(ends):
            if len(text) - (end - start) > most and not carded:
                continue
            number = text[start:end]
            issued = any(len(number) in lengths and re.match(first, number) for first, lengths in CARD_LENGTHS)
            if issued and luhn.is_valid(number):
                found.append(run.part(start, end))
    return [part for part in found if part]


def find_cvv(talk: Talk, run: Run) -> None:
    turn, start, end = run.place
    kind, back = asked(talk, turn, start, end)
    text = talk.texts[turn]
    for stretch in run.digits:
        at, since, upto = stretch.place
        if kind == "CVV" and not _code_given(talk, turn, back) and not _counted(text, upto):
            if len(stretch.text) in (3, 4) and "/" not in text[since:upto] and not _counts_digits(text, upto):
                _take(talk, "CVV", stretch)
            elif EXPIRY.search(_question(talk, turn)) or "/" in text[since:upto]:
                _after_expiry(talk, stretch)
        elif kind in (None, "CARD") and "/" in text[since:upto] and _ends_payment(talk, turn, since, upto):
            _after_expiry(talk, stretch)
        elif len(stretch.text) == 3 and kind in (None, "CARD") and _ends_payment(talk, turn, since, upto):
            _take(talk, "CVV", stretch)


def _after_expiry(talk: Talk, run: Run) -> None:
    """Take the code out of 09 28 123: the expiry was given together with it."""
    length = len(run.text)
    for size in {6: (3,), 7: (3, 4), 8: (4,), 9: (3,), 10: (4,)}.get(length, ()):
        if part := run.part(length - size, length):
            _take(talk, "CVV", part)
            return


def _code_given(talk: Talk, turn: int, back: int) -> bool:
    """Whether the code that was spoken of so many turns before was given since, or its asker is speaking again."""
    asker = talk.roles[turn - back]
    again = back > 1 and talk.roles[turn] == asker and any(role != asker for role in talk.roles[turn - back : turn])
    return again or talk.answered("CVV", turn - back, turn)


def _question(talk: Talk, turn: int) -> str:
    return " ".join(talk.texts[max(0, turn - 2) : turn + 1])


def _counts_digits(text: str, end: int) -> bool:
    """Whether a number counts the digits that are asked for (`three digits on the back`)."""
    return bool(re.match(r"[\s-]*(?:digits?|dígitos|números|chiffres|stellige|ziffern|位)", text[end:], re.I))


def _counted(text: str, end: int) -> bool:
    return bool(UNIT.match(text, end))


def _ends_payment(talk: Talk, turn: int, start: int, end: int) -> bool:
    """Whether three digits close a turn in which a card number was given before: card, expiry, code."""
    cards = [span for found in talk.found if found.kind == "CARD" for span in found.spans if span.turn == turn]
    return any(span.end < start for span in cards) and len(talk.texts[turn][end:].strip(" .,!")) == 0


SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\d-])")
NINO = re.compile(r"[A-CEGHJ-PR-TW-Z]{2}\d{6}[A-D]")
WRITTEN_NINO = re.compile(r"(?<!\w)[A-CEGHJ-PR-TW-Z]{2}\s?(?:\d\d\s?){3}[A-D](?!\w)", re.I)


def find_national_id(talk: Talk, run: Run) -> None:
    turn, start, end = run.place
    kind, back = asked(talk, turn, start, end)
    written = talk.texts[turn][start:end]
    if kind == "SSN" or (SSN.fullmatch(written) and kind != "KEEP"):
        for stretch in run.digits:
            if len(stretch.text) == 9 or (
                len(stretch.text) == 4 and (back == 0 or "four" in _question(talk, turn).lower())
            ):
                _take(talk, "SSN", stretch)
                return
    named = kind == "NATIONAL_ID"
    if kind in ("KEEP", "CARD", "CVV") and back == 0:
        return
    for check, shape in CHECKED:
        for match in re.finditer(shape, run.text):
            part = run.part(*match.span())
            if part and check(match[0]):
                _take(talk, "NATIONAL_ID", part)
                return
    if named:
        for match in re.finditer(r"[A-Z]{0,3}\d{6,15}[A-Z]?|(?=[A-Z\d]*\d{5})[A-Z\d]{7,18}", run.text):
            if part := run.part(*match.span()):
                _take(talk, "NATIONAL_ID", part)
                return


def _resident(number: str) -> bool:
    try:
        return ric.is_valid(number)
    except KeyError:  # a place in its table without counties
        return False


CHECKED: tuple[tuple[Callable[[str], bool], str], ...] = (
    (_resident, r"\d{17}[\dX]"),
    (nir.is_valid, r"[12]\d{4}[\dAB]\d{9}"),
    (dni.is_valid, r"\d{8}[A-Z]"),
    (nie.is_valid, r"[XYZ]\d{7}[A-Z]"),
    (lambda number: number[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ"), NINO.pattern),
)
"""National ids whose form and check digits are enough, whatever is said around them."""


def find_tax_id(talk: Talk, run: Run) -> None:
    """CPF and Steuer-ID have eleven digits as phone numbers do: their form or a word must name them."""
    for stretch in run.digits:
        if len(stretch.text) != 11 or (kind := asked(talk, *run.place)[0]) == "KEEP":
            continue
        at, since, upto = stretch.place
        form = re.fullmatch(r"\d{3}\.\d{3}\.\d{3}-\d\d", talk.texts[at][since:upto])
        german = talk.language == "de" or talk.country == "DE"
        named = kind == "NATIONAL_ID"
        brazilian = (form or named) and cpf.is_valid(stretch.text)
        if brazilian or (german and named and idnr.is_valid(stretch.text)):
            _take(talk, "NATIONAL_ID", stretch)


IBAN = re.compile(
    r"(?<!\w)[a-z]{2}\s?\d{2}(?:[\s-]?[a-z\d]{1,7}){2,8}(?!\w)|(?<!\w)[a-z]{2}\d{2}[a-z\d]{11,30}(?!\w)", re.I
)

LETTERS_AND_DIGITS = re.compile(r"[a-z]{2}\s?\d\d", re.I)
"""What both start with."""


def find_written(talk: Talk, turn: int) -> None:
    """IBANs and National Insurance numbers as they are written; those spelled are found in runs."""
    if not (talk.hints[turn] & DIGIT and LETTERS_AND_DIGITS.search(talk.texts[turn])):
        return
    for match in WRITTEN_NINO.finditer(talk.texts[turn]):
        if asked(talk, turn, *match.span()) != ("KEEP", 0):
            talk.claim("NATIONAL_ID", re.sub(r"\s", "", match[0]).upper(), Span(turn, *match.span()))
    for match in IBAN.finditer(talk.texts[turn]):
        ends = [match.end()] + [match.start() + gap.start() for gap in re.finditer(r"[\s-]", match[0])][::-1]
        for end in ends:
            number = re.sub(r"\W", "", talk.texts[turn][match.start() : end]).upper()
            if len(number) >= 15 and stdnum_iban.is_valid(number, check_country=False):
                talk.claim("IBAN", number, Span(turn, match.start(), end))
                break


def find_spelled_iban(talk: Talk, run: Run) -> None:
    for match in re.finditer(r"(?=([A-Z]{2}\d{2}[A-Z\d]{11,30}))", run.text):
        for length in range(min(34, len(match[1])), 14, -1):
            part = run.part(match.start(), match.start() + length)
            if part and stdnum_iban.is_valid(part.text, check_country=False):
                _take(talk, "IBAN", part)
                return


def find_named_iban(talk: Talk, run: Run) -> None:
    """What an IBAN, a sort code or a routing number was asked for with, whatever its check digits."""
    if len(run.text) <= 34 and asked(talk, *run.place)[0] == "IBAN":
        _take(talk, "IBAN", run)


def find_phone(talk: Talk, run: Run) -> None:
    turn, start, end = run.place
    kind, back = asked(talk, turn, start, end)
    for stretch in run.digits:
        at, since, upto = stretch.place
        text = talk.texts[at]
        if not 7 <= len(stretch.text) <= 15 or _counted(text, upto):
            continue
        plus = text[max(0, since - 1) : since] == "+"
        if kind == "PHONE":
            _take(talk, "PHONE", stretch)
        elif kind not in ("ACCOUNT", "CARD", "IBAN", "NATIONAL_ID", "SSN") or plus:
            grouped = bool(re.search(r"\d[\s().-]+\d", text[since:upto]))
            if kind == "KEEP" and (back == 0 or not grouped) and not plus:
                continue
            if _formatted_phone(talk, stretch.text, plus, grouped):
                _take(talk, "PHONE", stretch)


def _formatted_phone(talk: Talk, digits: str, plus: bool, grouped: bool) -> bool:
    """Whether a number is a valid one of the country and is written as one, with its groups or its trunk zero."""
    if not (plus or grouped or digits[0] == "0"):
        return False
    try:
        number = phonenumbers.parse("+" + digits if plus else digits, talk.country)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


def find_account(talk: Talk, run: Run) -> None:
    turn, start, end = run.place
    kind, back = asked(talk, turn, start, end)
    if kind != "ACCOUNT" or _counted(talk.texts[turn], end):
        return
    count = sum(len(piece.text) for _, piece in run.pieces if piece.is_digits)
    if count >= 5 and len(run.text) <= 24 and not (back and talk.answered("ACCOUNT", turn - back + 1, turn)):
        _take(talk, "ACCOUNT", run, _prefix(talk.texts[turn], start))


def _prefix(text: str, start: int) -> int:
    """Where letters start that stand before a number and belong to it (`hm 448 2291`)."""
    letters = re.search(r"(?<![\w'’])([a-z]{1,4})[\s-]$", text[:start], re.I)
    return (
        start
        if letters is None or letters[1].lower() in words("common") | {"no", "id", "nr", "num"}
        else letters.start()
    )


def find_repeats(talk: Talk, turns: Sequence[int]) -> None:
    """Claim what repeats a number that was found: read back, or echoed part by part while it was dictated."""
    numbers = [found for found in talk.found if found.kind in REPEATED]
    for run in [run for run in runs_now(talk, turns) if not run.lines] if numbers else ():
        turns_of = {turn for turn, _ in run.pieces}
        each = [Run([found for found in run.pieces if found[0] == turn]) for turn in sorted(turns_of)]
        for part in (run, *run.digits, *each):
            for found in numbers:
                dictated = len(found.spans) > 1
                near = found.spans[0].turn - 1 <= part.pieces[0][0] <= found.spans[-1].turn + 1
                if part.text in found.key and len(part.text) >= (3 if dictated and near else 7):
                    _take(talk, found.kind, part, key=found.key)
                    break


REPEATED = {"CARD", "SSN", "NATIONAL_ID", "IBAN", "PHONE", "ACCOUNT"}


def _take(talk: Talk, kind: str, run: Run, since: int | None = None, key: str | None = None) -> bool:
    """Claim a run; `since` is where it starts in its first turn when that is before its first piece."""
    spans = []
    for turn, start, end in run.spans():
        text = talk.texts[turn]
        if text[max(0, start - 1) : start] == "(" and ")" in text[start:end]:
            start -= 1
        if text[max(0, start - 1) : start] == "+":
            start -= 1
        spans.append(Span(turn, start, end))
    if since is not None:
        spans[0] = spans[0]._replace(start=min(since, spans[0].start))
    return talk.claim(kind, key or (run.text[-9:] if kind == "PHONE" else run.text), *spans)


class Rule(NamedTuple):
    """Claims what it knows of a run."""

    find: Callable[[Talk, Run], None]
    least: int
    """Digits and letters of the shortest run that it can find something in."""


FIRST_RULES = (
    Rule(find_spelled_iban, 15),
    Rule(find_card, 12),
    Rule(find_cvv, 3),
    Rule(find_national_id, 4),
    Rule(find_tax_id, 11),
)
LAST_RULES = (Rule(find_named_iban, 6), Rule(find_phone, 7), Rule(find_account, 5))
"""After those that read dates of birth and addresses, which hold digits too."""
