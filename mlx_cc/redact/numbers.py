"""Rules for numbers: cards, security codes, national ids, bank accounts, telephones, customers' accounts."""

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

from mlx_cc.redact.digit_runs import MONEY, Run, runs_now
from mlx_cc.redact.number_context import EXPIRY, deciding_cue
from mlx_cc.redact.state import RedactionState, Span
from mlx_cc.redact.word_flags import DIGIT
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
"""First digits of an issuer's cards, and how many digits they have (ISO/IEC 7812)."""


def find_numbers(state: RedactionState, turns: Sequence[int], rules: Sequence["Rule"]) -> None:
    """Claim the numbers of the turns by the rules in order, the surest rule first."""
    for find, shortest in rules:
        for run in runs_now(state, turns):
            if len(run.text) >= shortest and (not run.lines or find is find_card):
                find(state, run)


def find_card(state: RedactionState, run: Run) -> None:
    for stretch in run.digits:
        text = stretch.text
        if len(text) < 12:
            continue
        cue, _ = deciding_cue(state, *stretch.first_span)
        carded = cue in ("CARD", "CVV")
        carded |= cue is None and deciding_cue(state, *stretch.first_span, only="CARD")[0] == "CARD"
        if cue == "KEEP" and not carded:
            continue
        if any(_claim(state, "CARD", part) for part in _cards(state, stretch, carded)):
            continue
        alone = len(text) == 16 and text[0] in "3456" and cue in (None, "PHONE")
        if not run.lines and (alone or (carded and len(text) <= 24)):  # a digit was misheard, or some are missing
            # 19 digits are the most of a card (ISO/IEC 7812); 12 are the fewest, 13, with one missing
            ends = [end for end in stretch.bounds if 12 <= end <= 19]
            best = min(ends, key=lambda end: abs(end - 16), default=None)
            if best and (part := stretch.part(0, best)):
                _claim(state, "CARD", part)


def _cards(state: RedactionState, run: Run, carded: bool) -> list[Run]:
    """Parts of a run that are card numbers: issuer, length and check digit are right."""
    text, parts = run.text, []
    cue, _ = deciding_cue(state, *run.first_span)
    beside = 8 if cue in (None, "CARD", "CVV") else 0  # digits of an expiry (4) and a code (3 or 4)
    for index, start in enumerate(run.bounds):
        ends = [end for end in run.bounds[index + 1 : index + 20] if 13 <= end - start <= 19]
        for end in reversed(ends):
            if len(text) - (end - start) > beside and not carded:
                continue
            number = text[start:end]
            issued = any(len(number) in lengths and re.match(first, number) for first, lengths in CARD_LENGTHS)
            if issued and luhn.is_valid(number):
                parts.append(run.part(start, end))
    return [part for part in parts if part]


def find_cvv(state: RedactionState, run: Run) -> None:
    turn, start, end = run.first_span
    cue, back = deciding_cue(state, turn, start, end)
    text = state.texts[turn]
    for stretch in run.digits:
        at, since, upto = stretch.first_span
        if cue == "CVV" and not _code_given(state, turn, back) and not _counted(text, upto):
            if len(stretch.text) in (3, 4) and "/" not in text[since:upto] and not _counts_digits(text, upto):
                _claim(state, "CVV", stretch)
            elif EXPIRY.search(_question(state, turn)) or "/" in text[since:upto]:
                _after_expiry(state, stretch)
        elif cue in (None, "CARD") and "/" in text[since:upto] and _ends_payment(state, turn, since, upto):
            _after_expiry(state, stretch)
        elif len(stretch.text) == 3 and cue in (None, "CARD") and _ends_payment(state, turn, since, upto):
            _claim(state, "CVV", stretch)


def _after_expiry(state: RedactionState, run: Run) -> None:
    """Claim the code at the end of `09 28 123`, where expiry and code were given together."""
    length = len(run.text)
    for size in {6: (3,), 7: (3, 4), 8: (4,), 9: (3,), 10: (4,)}.get(length, ()):
        if part := run.part(length - size, length):
            _claim(state, "CVV", part)
            return


def _code_given(state: RedactionState, turn: int, back: int) -> bool:
    """Whether the code asked for `back` turns ago was given since, or whoever asked speaks again."""
    asker = state.roles[turn - back]
    again = back > 1 and state.roles[turn] == asker and any(role != asker for role in state.roles[turn - back : turn])
    return again or state.answered("CVV", turn - back, turn)


def _question(state: RedactionState, turn: int) -> str:
    return " ".join(state.texts[max(0, turn - 2) : turn + 1])


def _counts_digits(text: str, end: int) -> bool:
    """Whether a number counts the digits asked for, as in `three digits on the back`."""
    return bool(re.match(r"[\s-]*(?:digits?|dígitos|números|chiffres|stellige|ziffern|位)", text[end:], re.I))


def _counted(text: str, end: int) -> bool:
    return bool(UNIT.match(text, end))


def _ends_payment(state: RedactionState, turn: int, start: int, end: int) -> bool:
    """Whether a span ends a turn that has a card number before it: card, expiry, code."""
    cards = [span for value in state.values if value.entity_type == "CARD" for span in value.spans if span.turn == turn]
    return any(span.end < start for span in cards) and len(state.texts[turn][end:].strip(" .,!")) == 0


SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\d-])")
NINO = re.compile(r"[A-CEGHJ-PR-TW-Z]{2}\d{6}[A-D]")
WRITTEN_NINO = re.compile(r"(?<!\w)[A-CEGHJ-PR-TW-Z]{2}\s?(?:\d\d\s?){3}[A-D](?!\w)", re.I)


def find_national_id(state: RedactionState, run: Run) -> None:
    turn, start, end = run.first_span
    cue, back = deciding_cue(state, turn, start, end)
    written = state.texts[turn][start:end]
    if cue == "SSN" or (SSN.fullmatch(written) and cue != "KEEP"):
        for stretch in run.digits:
            if len(stretch.text) == 9 or (
                len(stretch.text) == 4 and (back == 0 or "four" in _question(state, turn).lower())
            ):
                _claim(state, "SSN", stretch)
                return
    named = cue == "NATIONAL_ID"
    if cue in ("KEEP", "CARD", "CVV") and back == 0:
        return
    for check, shape in CHECKED:
        for match in re.finditer(shape, run.text):
            part = run.part(*match.span())
            if part and check(match[0]):
                _claim(state, "NATIONAL_ID", part)
                return
    if named:
        for match in re.finditer(r"[A-Z]{0,3}\d{6,15}[A-Z]?|(?=[A-Z\d]*\d{5})[A-Z\d]{7,18}", run.text):
            if part := run.part(*match.span()):
                _claim(state, "NATIONAL_ID", part)
                return


def _resident(number: str) -> bool:
    try:
        return ric.is_valid(number)
    except KeyError:  # stdnum knows no counties of this province
        return False


CHECKED: tuple[tuple[Callable[[str], bool], str], ...] = (
    (_resident, r"\d{17}[\dX]"),
    (nir.is_valid, r"[12]\d{4}[\dAB]\d{9}"),
    (dni.is_valid, r"\d{8}[A-Z]"),
    (nie.is_valid, r"[XYZ]\d{7}[A-Z]"),
    (lambda number: number[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ"), NINO.pattern),
)
"""Check and pattern of national ids that are sure by their form and check digits, whatever the context."""


def find_tax_id(state: RedactionState, run: Run) -> None:
    """Claim CPF and Steuer-ID: eleven digits, as phone numbers have, so their form or a cue has to name them."""
    for stretch in run.digits:
        if len(stretch.text) != 11 or (cue := deciding_cue(state, *run.first_span)[0]) == "KEEP":
            continue
        at, since, upto = stretch.first_span
        form = re.fullmatch(r"\d{3}\.\d{3}\.\d{3}-\d\d", state.texts[at][since:upto])
        german = state.language == "de" or state.country == "DE"
        named = cue == "NATIONAL_ID"
        brazilian = (form or named) and cpf.is_valid(stretch.text)
        if brazilian or (german and named and idnr.is_valid(stretch.text)):
            _claim(state, "NATIONAL_ID", stretch)


IBAN = re.compile(
    r"(?<!\w)[a-z]{2}\s?\d{2}(?:[\s-]?[a-z\d]{1,7}){2,8}(?!\w)|(?<!\w)[a-z]{2}\d{2}[a-z\d]{11,30}(?!\w)", re.I
)

LETTERS_AND_DIGITS = re.compile(r"[a-z]{2}\s?\d\d", re.I)
"""IBANs and National Insurance numbers both start like this."""


def find_written(state: RedactionState, turn: int) -> None:
    """Claim IBANs and National Insurance numbers as written; spelled ones are found in runs."""
    if not (state.flags[turn] & DIGIT and LETTERS_AND_DIGITS.search(state.texts[turn])):
        return
    for match in WRITTEN_NINO.finditer(state.texts[turn]):
        if deciding_cue(state, turn, *match.span()) != ("KEEP", 0):
            state.claim("NATIONAL_ID", re.sub(r"\s", "", match[0]).upper(), Span(turn, *match.span()))
    for match in IBAN.finditer(state.texts[turn]):
        ends = [match.end()] + [match.start() + gap.start() for gap in re.finditer(r"[\s-]", match[0])][::-1]
        for end in ends:
            number = re.sub(r"\W", "", state.texts[turn][match.start() : end]).upper()
            if len(number) >= 15 and stdnum_iban.is_valid(number, check_country=False):
                state.claim("IBAN", number, Span(turn, match.start(), end))
                break


def find_spelled_iban(state: RedactionState, run: Run) -> None:
    for match in re.finditer(r"(?=([A-Z]{2}\d{2}[A-Z\d]{11,30}))", run.text):
        for length in range(min(34, len(match[1])), 14, -1):  # an IBAN has 15 (Norway) to 34 characters (ISO 13616)
            part = run.part(match.start(), match.start() + length)
            if part and stdnum_iban.is_valid(part.text, check_country=False):
                _claim(state, "IBAN", part)
                return


def find_named_iban(state: RedactionState, run: Run) -> None:
    """Claim what was asked for as an IBAN, a sort code or a routing number, whatever its check digits."""
    if len(run.text) <= 34 and deciding_cue(state, *run.first_span)[0] == "IBAN":
        _claim(state, "IBAN", run)


def find_phone(state: RedactionState, run: Run) -> None:
    turn, start, end = run.first_span
    cue, back = deciding_cue(state, turn, start, end)
    for stretch in run.digits:
        at, since, upto = stretch.first_span
        text = state.texts[at]
        if not 7 <= len(stretch.text) <= 15 or _counted(text, upto):  # 15 digits are the most of E.164
            continue
        plus = text[max(0, since - 1) : since] == "+"
        if cue == "PHONE":
            _claim(state, "PHONE", stretch)
        elif cue not in ("ACCOUNT", "CARD", "IBAN", "NATIONAL_ID", "SSN") or plus:
            grouped = bool(re.search(r"\d[\s().-]+\d", text[since:upto]))
            if cue == "KEEP" and (back == 0 or not grouped) and not plus:
                continue
            if _formatted_phone(state, stretch.text, plus, grouped):
                _claim(state, "PHONE", stretch)


def _formatted_phone(state: RedactionState, digits: str, plus: bool, grouped: bool) -> bool:
    """Whether a number is valid in the country and is written like one, in groups or with a leading zero."""
    if not (plus or grouped or digits[0] == "0"):
        return False
    try:
        number = phonenumbers.parse("+" + digits if plus else digits, state.country)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


def find_account(state: RedactionState, run: Run) -> None:
    turn, start, end = run.first_span
    cue, back = deciding_cue(state, turn, start, end)
    if cue != "ACCOUNT" or _counted(state.texts[turn], end):
        return
    count = sum(len(piece.text) for _, piece in run.pieces if piece.is_digits)
    if count >= 5 and len(run.text) <= 24 and not (back and state.answered("ACCOUNT", turn - back + 1, turn)):
        _claim(state, "ACCOUNT", run, _prefix(state.texts[turn], start))


def _prefix(text: str, start: int) -> int:
    """Start of the letters right before a number that belong to it, as in `hm 448 2291`; else `start`."""
    letters = re.search(r"(?<![\w'’])([a-z]{1,4})[\s-]$", text[:start], re.I)
    return (
        start
        if letters is None or letters[1].lower() in words("common") | {"no", "id", "nr", "num"}
        else letters.start()
    )


def find_repeats(state: RedactionState, turns: Sequence[int]) -> None:
    """Claim repetitions of a claimed number: read back, or echoed part by part while it was dictated."""
    values = [value for value in state.values if value.entity_type in REPEATED]
    for run in [run for run in runs_now(state, turns) if not run.lines] if values else ():
        turns_of = {turn for turn, _ in run.pieces}
        each = [Run([pair for pair in run.pieces if pair[0] == turn]) for turn in sorted(turns_of)]
        for part in (run, *run.digits, *each):
            for value in values:
                dictated = len(value.spans) > 1
                near = value.spans[0].turn - 1 <= part.pieces[0][0] <= value.spans[-1].turn + 1
                # A short echo beside a dictated number is a repetition; elsewhere it can be any number.
                if part.text in value.key and len(part.text) >= (3 if dictated and near else 7):
                    _claim(state, value.entity_type, part, key=value.key)
                    break


REPEATED = {"CARD", "SSN", "NATIONAL_ID", "IBAN", "PHONE", "ACCOUNT"}


def _claim(state: RedactionState, entity_type: str, run: Run, since: int | None = None, key: str | None = None) -> bool:
    """Claim a run; `since` is its start in its first turn when that is before its first piece."""
    spans = []
    for turn, start, end in run.spans():
        text = state.texts[turn]
        if text[max(0, start - 1) : start] == "(" and ")" in text[start:end]:
            start -= 1
        if text[max(0, start - 1) : start] == "+":
            start -= 1
        spans.append(Span(turn, start, end))
    if since is not None:
        spans[0] = spans[0]._replace(start=min(since, spans[0].start))
    return state.claim(entity_type, key or (run.text[-9:] if entity_type == "PHONE" else run.text), *spans)


class Rule(NamedTuple):
    """A rule and the shortest run it can match."""

    find: Callable[[RedactionState, Run], None]
    shortest: int
    """Digits and letters of that run."""


FIRST_RULES = (
    Rule(find_spelled_iban, 15),
    Rule(find_card, 12),
    Rule(find_cvv, 3),
    Rule(find_national_id, 4),
    Rule(find_tax_id, 11),
)
LAST_RULES = (Rule(find_named_iban, 6), Rule(find_phone, 7), Rule(find_account, 5))
"""These run after the rules for dates of birth and addresses, which have digits too."""
