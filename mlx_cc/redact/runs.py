"""Runs of digits and spelled letters: what a number is read from, over several turns where it was dictated."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate

from mlx_cc.redact.cues import asked, cues
from mlx_cc.redact.hints import DIGIT
from mlx_cc.redact.spoken import Piece
from mlx_cc.redact.talk import HIDDEN, Span, Talk
from mlx_cc.redact.words import either, words

JOINT = re.compile(rf"(?:[\s\-\u2010-\u2013.,/()+#、，]|\b{either(words('between_digits'))}\b)*", re.I)
"""What may stand between the digits of one number."""

GOING_ON = words("going_on")

SHORT_WORDS = 8
"""A turn of at most so many words between two parts of a number is a sign to go on."""

MONEY = r"[$€£¥]|R\$|USD|EUR|GBP"
PRICE = re.compile(
    rf"(?:{MONEY})\s*\d[\d.,]*|(?<!\d)\d[\d.,]{{0,20}}\s*(?:{MONEY}|元)|(?<!\d)\d+:\d\d(?::\d\d)?"
    r"|(?<!\d)\d+[.,]\d\d(?![\d.,-])"
    r"|(?<![\d./-])\d{1,2}([./-])\d{1,2}\1(?:\d{4}|\d{2})(?![\d/-]|\.\d)|(?<![\d./-])\d{4}([./-])\d{1,2}\2\d{1,2}(?![\d/-]|\.\d)"
)
"""Amounts, times of day and dates in digits, which are never part of an identifying number."""
PRICED = re.compile(r"[$€£¥元]|\d[:.,/-]\d|USD|EUR|GBP")
"""What each of them has."""


class Run:
    """Pieces that follow each other with nothing said between; over several turns when a number was dictated."""

    def __init__(self, pieces: Sequence[tuple[int, Piece]], lines: bool = False):
        self.pieces = pieces
        self.lines = lines
        """Joined from lines of one speaker with nobody in between: one number or several."""
        self.text = "".join([piece.text for _, piece in pieces])

    @cached_property
    def bounds(self) -> list[int]:
        """Where each piece starts in `text`, and the end."""
        return [0, *accumulate(len(piece.text) for _, piece in self.pieces)]

    @cached_property
    def places(self) -> dict[int, int]:
        """Where a piece starts in `text` (or the last ends) -> which piece."""
        return {bound: place for place, bound in enumerate(self.bounds)}

    @property
    def place(self) -> tuple[int, int, int]:
        """Turn, start and end of its part in its first turn."""
        turn, first = self.pieces[0]
        return turn, first.start, max(piece.end for at, piece in self.pieces if at == turn)

    def part(self, start: int, end: int) -> "Run | None":
        """The pieces that are exactly these characters of `text`; None when a piece would be cut."""
        if start in self.places and end in self.places:
            return Run(self.pieces[self.places[start] : self.places[end]])
        return None

    def spans(self) -> list[Span]:
        """One for each turn it stands in."""
        turns: dict[int, list[Piece]] = {}
        for turn, piece in self.pieces:
            turns.setdefault(turn, []).append(piece)
        return [Span(turn, found[0].start, max(piece.end for piece in found)) for turn, found in turns.items()]

    @cached_property
    def digits(self) -> list["Run"]:
        """Its stretches without letters."""
        if self.text.isdigit():
            return [Run(self.pieces)]
        stretches: list[list[tuple[int, Piece]]] = [[]]
        for turn, piece in self.pieces:
            if piece.is_digits:
                stretches[-1].append((turn, piece))
            elif stretches[-1]:
                stretches.append([])
        return [Run(stretch) for stretch in stretches if stretch]


def runs_now(talk: Talk, turns: Sequence[int]) -> list[Run]:
    """The runs without what was claimed; read again only when something was."""
    if talk.runs[0] != len(talk.found):
        talk.runs = (len(talk.found), list(runs(talk, turns)))
    return talk.runs[1]


def runs(talk: Talk, turns: Sequence[int]) -> Iterator[Run]:
    """The runs of the turns, those a speaker went on with after a short word of the other one joined."""
    open_run: dict[str, tuple[int, list[tuple[int, Piece]], bool]] = {}
    for turn in turns:
        found = _stretches(talk, turn)
        if not found:
            continue
        role = talk.roles[turn]
        last, before, lines = open_run.pop(role, (turn, [], False))
        if before and _dictated(before) and _dictated(found[0]) and _goes_on(talk, last, before, turn, found[0][0][1]):
            lines = lines or all(talk.roles[between] == role for between in range(last, turn))
            found[0] = before + found[0]
        elif before:
            yield from _whole_and_parts(before, lines)
            lines = False
        for run in found[:-1]:
            yield from _whole_and_parts(run, lines)
            lines = False
        open_run[role] = (turn, found[-1], lines)
    for _, run, lines in open_run.values():
        yield from _whole_and_parts(run, lines)


def _stretches(talk: Talk, turn: int) -> list[list[tuple[int, Piece]]]:
    """The runs of one turn."""
    if turn in talk.stretches and turn not in talk.claimed:
        return talk.stretches[turn].copy()
    text = talk.texts[turn]
    priced = talk.hints[turn] & DIGIT and PRICED.search(text)
    prices = [match.span() for match in PRICE.finditer(text)] if priced else ()
    found: list[list[tuple[int, Piece]]] = []
    for piece in talk.pieces(turn):
        if prices and any(piece.start < end and piece.end > start for start, end in prices):
            continue
        if found and JOINT.fullmatch(text, found[-1][-1][1].end, piece.start):
            found[-1].append((turn, piece))
        else:
            found.append([(turn, piece)])
    found = [run for run in (_without_words(text, run) for run in found) if run]
    found = [run for run in found if len(run) > 1 or len(run[0][1].text) > 1]
    if turn not in talk.claimed:
        talk.stretches[turn] = found.copy()
    return found


def _whole_and_parts(pieces: list[tuple[int, Piece]], lines: bool) -> Iterator[Run]:
    """A run; and each line of it too where it may be several numbers."""
    yield Run(pieces, lines)
    if lines:
        for turn in sorted({turn for turn, _ in pieces}):
            yield Run([found for found in pieces if found[0] == turn])


def _without_words(text: str, run: list[tuple[int, Piece]]) -> list[tuple[int, Piece]]:
    """Without single letters at its ends that are words (I, a, y); nothing when no digit is left."""
    words = {"I", "A", "Y", "E", "O", "U"}
    while len(run) > 1 and run[0][1].text in words and run[1][1].is_digits and run[1][1].start > run[0][1].end:
        run = run[1:]
    while (
        len(run) > 1
        and run[0][1].is_digits
        and run[-1][1].text in words
        and run[-2][1].is_digits
        and run[-1][1].start > run[-2][1].end
    ):
        if not re.match(r"\s+\w", text[run[-1][1].end :]):
            break
        run = run[:-1]
    return run if any(piece.is_digits for _, piece in run) else []


def _dictated(run: list[tuple[int, Piece]]) -> bool:
    """Whether a run can be a part of a number given in several turns: digits alone, two at least."""
    return all(piece.is_digits for _, piece in run) and sum(len(piece.text) for _, piece in run) > 1


def _goes_on(talk: Talk, earlier: int, run: list[tuple[int, Piece]], turn: int, piece: Piece) -> bool:
    """Whether a speaker's number from an earlier turn goes on with a piece: little else was said in between."""
    last = run[-1][1]
    tail, head = talk.texts[earlier][last.end :], talk.texts[turn][: piece.start]
    if HIDDEN in tail + head:
        return False
    between = talk.texts[earlier + 1 : turn]
    others = [role for role in talk.roles[earlier + 1 : turn] if role != talk.roles[turn]]
    tail, head = re.findall(r"\w[\w'’]*", tail), re.findall(r"\w[\w'’]*", talk.lowered[turn][: piece.start])
    if len(tail) > bool(others) or not GOING_ON.issuperset(head) or (head and not others) or turn - earlier > 4:
        return False  # with nobody in between, only a line of digits goes on with a line of digits
    if any(start < piece.start for start, _, _ in cues(talk, turn)):
        return False
    kinds = {asked(talk, earlier, last.start, last.end)[0], None}
    if any(kind not in kinds for place in range(earlier + 1, turn) for _, _, kind in cues(talk, place)):
        return False
    return all(
        len(text.split()) <= SHORT_WORDS and len(text) <= 80 and not ENDS_NUMBER.search(text) for text in between
    )


ENDS_NUMBER = re.compile(
    r"expir|security|cv[vc]|\bback\b|address|\bname\b|phone|birth|order|account|seguridad|sécurité|dos\b|verso|detrás|caduc|sicherheit|prüf"
    r"|安全|有效|\ue000|e-?mail|correo|thank you for|zip\b|signature|social",
    re.I,
)
"""Said between two numbers, it asks for another one."""
