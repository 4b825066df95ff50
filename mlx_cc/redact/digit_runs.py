"""Runs of digits and spelled letters, over several turns where a number was dictated; rules find numbers in them."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate

from mlx_cc.redact.number_context import cues, deciding_cue
from mlx_cc.redact.spoken_numbers import Piece
from mlx_cc.redact.state import HIDDEN, RedactionState, Span
from mlx_cc.redact.word_flags import DIGIT
from mlx_cc.redact.words import either, words

BETWEEN_DIGITS = re.compile(rf"(?:[\s\-\u2010-\u2013.,/()+#、，]|\b{either(words('between_digits'))}\b)*", re.I)
"""Allowed between the digits of one number."""

GOING_ON = words("going_on")
"""Words with which a speaker goes on dictating."""

SHORT_WORDS = 8
"""Between two parts of a dictated number, the other side's turns have at most this many words (`okay`, an echo)."""

MONEY = r"[$€£¥]|R\$|USD|EUR|GBP"
PRICE = re.compile(
    rf"(?:{MONEY})\s*\d[\d.,]*|(?<!\d)\d[\d.,]{{0,20}}\s*(?:{MONEY}|元)|(?<!\d)\d+:\d\d(?::\d\d)?"
    r"|(?<!\d)\d+[.,]\d\d(?![\d.,-])"
    r"|(?<![\d./-])\d{1,2}([./-])\d{1,2}\1(?:\d{4}|\d{2})(?![\d/-]|\.\d)|(?<![\d./-])\d{4}([./-])\d{1,2}\2\d{1,2}(?![\d/-]|\.\d)"
)
"""Amounts, times of day and dates in digits; they are never part of an identifying number."""
PRICED = re.compile(r"[$€£¥元]|\d[:.,/-]\d|USD|EUR|GBP")
"""A quick test: every match of `PRICE` has one of these."""


class Run:
    """Pieces that follow each other with nothing else between; over several turns when a number was dictated."""

    def __init__(self, pieces: Sequence[tuple[int, Piece]], lines: bool = False):
        self.pieces = pieces
        self.lines = lines
        """Joined from successive turns of one speaker: it can be one number or several."""
        self.text = "".join([piece.text for _, piece in pieces])

    @cached_property
    def bounds(self) -> list[int]:
        """Offset in `text` of each piece, and the end."""
        return [0, *accumulate(len(piece.text) for _, piece in self.pieces)]

    @cached_property
    def piece_at(self) -> dict[int, int]:
        """Offset in `text` of a piece, or the end -> index of the piece."""
        return {bound: index for index, bound in enumerate(self.bounds)}

    @property
    def first_span(self) -> Span:
        """Its part in its first turn."""
        return self.spans()[0]

    def part(self, start: int, end: int) -> "Run | None":
        """The run of exactly these characters of `text`; None when a piece would be cut."""
        if start in self.piece_at and end in self.piece_at:
            return Run(self.pieces[self.piece_at[start] : self.piece_at[end]])
        return None

    def spans(self) -> list[Span]:
        """Its span in each turn."""
        turns: dict[int, list[Piece]] = {}
        for turn, piece in self.pieces:
            turns.setdefault(turn, []).append(piece)
        return [Span(turn, own[0].start, max(piece.end for piece in own)) for turn, own in turns.items()]

    @cached_property
    def digits(self) -> list["Run"]:
        """Its parts without letters."""
        if self.text.isdigit():
            return [Run(self.pieces)]
        stretches: list[list[tuple[int, Piece]]] = [[]]
        for turn, piece in self.pieces:
            if piece.is_digits:
                stretches[-1].append((turn, piece))
            elif stretches[-1]:
                stretches.append([])
        return [Run(stretch) for stretch in stretches if stretch]


def runs_now(state: RedactionState, turns: Sequence[int]) -> list[Run]:
    """The runs of what is not claimed; read again only after a new claim."""
    if state.runs[0] != len(state.values):
        state.runs = (len(state.values), list(runs(state, turns)))
    return state.runs[1]


def runs(state: RedactionState, turns: Sequence[int]) -> Iterator[Run]:
    """The runs of the turns; parts of a number that one speaker dictates in several turns are joined."""
    open_run: dict[str, tuple[int, list[tuple[int, Piece]], bool]] = {}
    for turn in turns:
        turn_runs = _turn_runs(state, turn)
        if not turn_runs:
            continue
        role = state.roles[turn]
        last, before, lines = open_run.pop(role, (turn, [], False))
        if (
            before
            and _dictated(before)
            and _dictated(turn_runs[0])
            and _goes_on(state, last, before, turn, turn_runs[0][0][1])
        ):
            lines = lines or all(state.roles[between] == role for between in range(last, turn))
            turn_runs[0] = before + turn_runs[0]
        elif before:
            yield from _whole_and_parts(before, lines)
            lines = False
        for run in turn_runs[:-1]:
            yield from _whole_and_parts(run, lines)
            lines = False
        open_run[role] = (turn, turn_runs[-1], lines)
    for _, run, lines in open_run.values():
        yield from _whole_and_parts(run, lines)


def _turn_runs(state: RedactionState, turn: int) -> list[list[tuple[int, Piece]]]:
    """The runs of one turn."""
    if turn in state.stretches and turn not in state.claimed:
        return state.stretches[turn].copy()
    text = state.texts[turn]
    priced = state.flags[turn] & DIGIT and PRICED.search(text)
    prices = [match.span() for match in PRICE.finditer(text)] if priced else ()
    turn_runs: list[list[tuple[int, Piece]]] = []
    for piece in state.pieces(turn):
        if prices and any(piece.start < end and piece.end > start for start, end in prices):
            continue
        if turn_runs and BETWEEN_DIGITS.fullmatch(text, turn_runs[-1][-1][1].end, piece.start):
            turn_runs[-1].append((turn, piece))
        else:
            turn_runs.append([(turn, piece)])
    turn_runs = [run for run in (_without_words(text, run) for run in turn_runs) if run]
    turn_runs = [run for run in turn_runs if len(run) > 1 or len(run[0][1].text) > 1]
    if turn not in state.claimed:
        state.stretches[turn] = turn_runs.copy()
    return turn_runs


def _whole_and_parts(pieces: list[tuple[int, Piece]], lines: bool) -> Iterator[Run]:
    """A run, and each turn's part of it too where it can be several numbers."""
    yield Run(pieces, lines)
    if lines:
        for turn in sorted({turn for turn, _ in pieces}):
            yield Run([pair for pair in pieces if pair[0] == turn])


def _without_words(text: str, run: list[tuple[int, Piece]]) -> list[tuple[int, Piece]]:
    """A run without single letters at its ends that are words (I, a, y); empty when it has no digits."""
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
    """Whether a run can be a part of a number given in several turns: only digits, two or more."""
    return all(piece.is_digits for _, piece in run) and sum(len(piece.text) for _, piece in run) > 1


def _goes_on(state: RedactionState, earlier: int, run: list[tuple[int, Piece]], turn: int, piece: Piece) -> bool:
    """Whether a speaker's number of an earlier turn goes on with a piece: little else was said in between."""
    last = run[-1][1]
    tail, head = state.texts[earlier][last.end :], state.texts[turn][: piece.start]
    if HIDDEN in tail + head:
        return False
    between = state.texts[earlier + 1 : turn]
    others = [role for role in state.roles[earlier + 1 : turn] if role != state.roles[turn]]
    tail, head = re.findall(r"\w[\w'’]*", tail), re.findall(r"\w[\w'’]*", state.lowered[turn][: piece.start])
    if len(tail) > bool(others) or not GOING_ON.issuperset(head) or (head and not others) or turn - earlier > 4:
        return False  # with nobody in between, only a line of digits goes on with a line of digits
    if any(start < piece.start for start, _, _ in cues(state, turn)):
        return False
    entity_types = {deciding_cue(state, earlier, last.start, last.end)[0], None}
    if any(
        entity_type not in entity_types
        for between_turn in range(earlier + 1, turn)
        for _, _, entity_type in cues(state, between_turn)
    ):
        return False
    return all(
        len(text.split()) <= SHORT_WORDS and len(text) <= 80 and not ENDS_NUMBER.search(text) for text in between
    )


ENDS_NUMBER = re.compile(
    r"expir|security|cv[vc]|\bback\b|address|\bname\b|phone|birth|order|account|seguridad|sécurité|dos\b|verso|detrás|caduc|sicherheit|prüf"
    r"|安全|有效|\ue000|e-?mail|correo|thank you for|zip\b|signature|social",
    re.I,
)
"""Words between two numbers that ask for another number."""
