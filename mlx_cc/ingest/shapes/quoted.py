"""Quoted messages below an e-mail: start, author and own words of each."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

DEEPEST = 200
"""At most this many quoted messages are read."""
LINES_OF_MARK = 3
"""`On ... wrote:` can be broken over this many lines."""

WROTE = [
    re.compile(rf"{opening}\b(?=.*\d).{{4,300}}?\b{verb}", re.IGNORECASE)
    for opening, verb in (
        ("On", r"wrote\s*:"),
        ("Am", r"schrieb\b.{0,200}:"),
        ("Le", r"a\s+écrit\s*:"),
        ("El", r"escribió\s*:"),
    )
]
OPENING = re.compile(r"\s*(?:On|Am|Le|El)\s", re.IGNORECASE)
ORIGINAL = re.compile(
    r"\s*-{2,}\s*(?:original message|forwarded message|ursprüngliche nachricht|weitergeleitete nachricht|"
    r"message d['’]origine|message original|message transféré|mensaje original|mensaje reenviado)\s*-{2,}\s*",
    re.IGNORECASE,
)
FROM = re.compile(r"\s*\*?(?:From|Von|De)\s*\*?:\*?\s*(\S.*)", re.IGNORECASE)
SENT = re.compile(r"\s*\*?(?:Sent|Date|Gesendet|Datum|Envoyé|Enviado(?: el)?|Fecha)\s*\*?:", re.IGNORECASE)
HEADER = re.compile(
    r"\s*\*?(?:From|Von|De|Sent|Date|Gesendet|Datum|Envoyé|Enviado(?: el)?|Fecha|To|An|À|Para|Cc|"
    r"Subject|Betreff|Objet|Asunto|Reply-To|Importance|Attachments)\s*\*?:",
    re.IGNORECASE,
)
QUOTE = re.compile(r" ?> ?")
RULE = re.compile(r"\s*[_*=-]{5,}\s*")
ADDRESS = re.compile(r"[\w.+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
WRITER = re.compile(
    r"(?:\d{1,2}[:.h]\d{2}(?::\d{2})?(?:\s?[ap]\.?\s?m\.?)?(?:\s*uhr)?[,\s]+|schrieb\s+)([^\d:,]{2,80})", re.I
)
VERB = re.compile(r"\s*(?:\b(?:wrote|schrieb|escribió|a\s+écrit))?\s*:?\s*$", re.IGNORECASE)


class Part(NamedTuple):
    """One message of an e-mail's text."""

    text: str
    """Its own words, without quotes."""
    heading: str | None = None
    """The lines with author and time; None for the newest message, which has headers."""


def parts(text: str) -> Iterator[Part]:
    """The messages in an e-mail's text, newest first: its own, then those quoted under a clear mark."""
    heading = None
    lines = text.split("\n")
    for _ in range(DEEPEST):
        mark = _mark(lines)
        if mark is None:
            break
        start, end = mark
        own, below = lines[:start], lines[end:]
        if QUOTE.match(next(filter(str.strip, below), "")):
            own = own + [line for line in below if not QUOTE.match(line)]
            below = [QUOTE.sub("", line, count=1) for line in below if QUOTE.match(line)]
        yield Part(_own(own), heading)
        heading = "\n".join(lines[start:end])
        lines = below
    yield Part(_own(lines), heading)


def writer(heading: str, people: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The (address, name) in a heading, None for what is missing.

    Args:
        heading: heading of a `Part`.
        people: display name in lower case -> address, from the headers.
    """
    said = next((found[1] for line in heading.split("\n") if (found := FROM.match(line))), None)
    line = " ".join(heading.split()) if said is None else said
    addresses = ADDRESS.findall(line)
    for name, address in people.items():
        if not addresses and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", line, re.IGNORECASE):
            return address, None
    if said is None:
        found = WRITER.search(line)
        said = VERB.sub("", found[1]) if found else ""
    name = re.split(r"[<\[(]", said)[0].strip(" \t\"'*")
    name = "" if "@" in name else name
    return (addresses[-1].lower() if addresses else None), name or None


def _mark(lines: list[str]) -> tuple[int, int] | None:
    """Start and end of the heading of the first quoted message."""
    for number, line in enumerate(lines):
        if ORIGINAL.fullmatch(line):
            below = next((n for n in range(number + 1, min(number + 4, len(lines))) if lines[n].strip()), None)
            return number, number + 1 if below is None else _after_headers(lines, below)
        if FROM.match(line) and any(map(SENT.match, lines[number + 1 : number + 6])):
            return number, _after_headers(lines, number)
        if OPENING.match(line):
            for end in range(number + 1, min(number + LINES_OF_MARK, len(lines)) + 1):
                joined = " ".join(part.strip() for part in lines[number:end])
                if any(wrote.fullmatch(joined) for wrote in WROTE):
                    return number, end
    return None


def _after_headers(lines: list[str], number: int) -> int:
    """The line after a block of headers, some of which can be broken over two lines."""
    end = number
    for place in range(number, min(number + 12, len(lines))):
        if not lines[place].strip():
            break
        if HEADER.match(lines[place]):
            end = place + 1
    return end


def _own(lines: list[str]) -> str:
    kept = [line.rstrip() for line in lines if not QUOTE.match(line)]
    while kept and (not kept[-1] or RULE.fullmatch(kept[-1])):
        kept.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
