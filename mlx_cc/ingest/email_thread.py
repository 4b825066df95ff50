"""E-mail: a message file (.eml) is one conversation, a mailbox (.mbox) one conversation per thread.

Older messages quoted below a clear mark (`On ... wrote:`, `-----Original Message-----`, a block of
`From:` and `Sent:`) become turns of their own, oldest first; other quotes are left out. Every
message in a mailbox gives its own words, and the first of a thread its history too. Quoted dates
rarely have a time zone: where the first message's time is unknown, `started_at` is the time of the
newest message, with the flag `started_at_of_newest_message`.
"""

import email
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import default
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple, cast

from mlx_cc.conversation import Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading, Reject
from mlx_cc.ingest.shapes.html_text import html_text
from mlx_cc.ingest.shapes.quoted import Part, parts, writer
from mlx_cc.ingest.shapes.utterances import Utterance, incoming, named_moment
from mlx_cc.ingest.shapes.voices import language
from mlx_cc.ingest.source import File

FIRST = re.compile(rb"(?:From [^\n]*\n)?[A-Za-z][A-Za-z0-9-]*:")
NAMES = re.compile(rb"^([A-Za-z][A-Za-z0-9-]*):", re.MULTILINE)
POSTMARK = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\n]*?\d{4}[^\n]*(?:\n|\Z)")
IDS = re.compile(r"<([^<>\s]{1,400})>")
DATED = re.compile(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4},? \d{1,2}:\d{2}(?::\d{2})? [+-]\d{4}")

LONGEST_HEADER = 1 << 14
"""Characters of a header that are read."""
FRAGILE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, MessageError)
"""Exceptions of the standard library's parser for malformed headers and parts."""


class Letter(NamedTuple):
    """One message of a thread."""

    text: str
    address: str | None
    name: str | None
    sent_at: datetime | None


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a block of headers with From and headers that only mail has."""
    if not FIRST.match(head):
        return False
    names = {name.lower() for name in NAMES.findall(re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0])}
    only_mail = names & {b"message-id", b"mime-version", b"received", b"return-path", b"content-type"}
    return b"from" in names and bool(only_mail or {b"date", b"subject"} <= names)


def read(file: File, reading: Reading) -> Iterator[Incoming | Reject]:
    """The conversation of a message, or the threads of a mailbox."""
    data = file.data()
    if not data.startswith(b"From "):
        yield _conversation([_parsed(data)], file.stem, file, reading)
        return
    for number, thread in enumerate(threads(data), 1):
        try:
            yield _conversation(thread, _id(thread[0]) or f"{file.stem}-{number}", file, reading)
        except UserError as fault:
            yield Reject(str(file.path), None, f"thread {number}, {_header(thread[0], 'Subject')!r}: {fault}")


def threads(mailbox: bytes) -> list[list[EmailMessage]]:
    """The messages of a mailbox by thread, in the file's order. References and In-Reply-To tie them."""
    messages = [_parsed(re.sub(rb"^>(>*From )", rb"\1", part, flags=re.M)) for part in POSTMARK.split(mailbox) if part]
    parents = {
        known: references[0] for message in messages if (known := _id(message)) and (references := _references(message))
    }
    found: dict[str, list[EmailMessage]] = {}
    for number, message in enumerate(messages):
        root, met = _id(message) or f" {number}", set()
        while root in parents and root not in met:
            met.add(root)
            root = parents[root]
        found.setdefault(root, []).append(message)
    return list(found.values())


def _conversation(messages: list[EmailMessage], id: str, file: File, reading: Reading) -> Incoming:
    dated = sorted(
        ((_date(message, reading), message) for message in messages),
        key=lambda pair: pair[0] or datetime.min.replace(tzinfo=UTC),
    )
    first_at, first = dated[0]
    people = [person for message in messages for person in _people(message)]
    letters = _history(first, first_at, people)
    letters += [_letter(next(parts(_body(message))), message, sent_at) for sent_at, message in dated[1:]]
    letters = [letter for letter in letters if letter.text]
    started_at = letters[0].sent_at if letters else None
    roles: list[Role | None] = [_role(letter, reading) for letter in letters]
    customers = [letter.address for letter, role in zip(letters, roles, strict=True) if role == "customer"]
    agents = [letter.address for letter, role in zip(letters, roles, strict=True) if role == "agent" and letter.address]
    newest_at = max(filter(None, (sent_at for sent_at, _ in dated)), default=None)
    fields = {
        "id": id,
        "channel": "email",
        "language": language(_header(first, "Content-Language")),
        "customer_id": next(filter(None, customers), None),
        "agents": list(dict.fromkeys(agents)),
        "started_at": started_at or newest_at,
        "flags": ["started_at_of_newest_message"] if newest_at and not started_at else [],
    }
    return incoming(
        (_turn(letter, role, started_at) for letter, role in zip(letters, roles, strict=True)),
        fields,
        reading,
        file,
        None,
        FORMAT.name,
        names=[part for person in people for part in person]
        + [part for letter in letters for part in (letter.name, letter.address)],
        keys=[known for message in messages for known in (_id(message), *_references(message))],
    )


def _history(message: EmailMessage, sent_at: datetime | None, people: list[tuple[str, str]]) -> list[Letter]:
    """The message and what is quoted in it, oldest first."""
    known = {name.lower(): address for name, address in people if name and address}
    found = []
    for part in parts(_body(message)):
        if part.heading is None:
            found.append(_letter(part, message, sent_at))
            continue
        address, name = writer(part.heading, known)
        dated = DATED.search(part.heading)
        found.append(Letter(part.text, address, name, _moment(dated[0]) if dated else None))
    return found[::-1]


def _letter(part: Part, message: EmailMessage, sent_at: datetime | None) -> Letter:
    name, address = next(iter(_people(message, "From")), ("", ""))
    return Letter(part.text, address or None, name or None, sent_at)


def _turn(letter: Letter, role: Role | None, started_at: datetime | None) -> Utterance:
    after = None
    if started_at and letter.sent_at:
        after = max((letter.sent_at - started_at).total_seconds(), 0.0)
    agent_id = letter.address if role == "agent" else None
    return Utterance(letter.text, role, letter.address or letter.name, after, agent_id=agent_id)


def _role(letter: Letter, reading: Reading) -> Role | None:
    """The role in `reading.roles` of the address, its domain or the name, in any case."""
    roles: dict[str, Role] = {label.casefold(): role for label, role in reading.roles.items()}
    domain = (letter.address or "").rpartition("@")[2]
    asked = (letter.address, f"@{domain}", domain, letter.name)
    return next((roles[label.casefold()] for label in asked if label and label.casefold() in roles), None)


def _parsed(data: bytes) -> EmailMessage:
    try:
        return cast(EmailMessage, email.message_from_bytes(data, policy=default))
    except FRAGILE as fault:
        raise UserError(f"is not an e-mail that can be read ({fault}). Export it again.") from fault


def _header(message: EmailMessage, name: str) -> str:
    """A header decoded, its first part if it is very long; empty when it is missing or can't be read."""
    try:
        return _clean(str(default.header_fetch_parse(name, _clean(_raw(message, name)[:LONGEST_HEADER]))))
    except FRAGILE:
        return ""


def _raw(message: EmailMessage, name: str) -> str:
    """A header as written."""
    return next((str(value) for known, value in message.raw_items() if known.lower() == name.lower()), "")


def _people(message: EmailMessage, *headers: str) -> list[tuple[str, str]]:
    """(display name, address in lower case) of everybody in a header of the message."""
    found = getaddresses([_header(message, header) for header in headers or ("From", "Reply-To", "To", "Cc", "Sender")])
    return [(name.strip(), address.strip().lower()) for name, address in found if "@" in address]


def _id(message: EmailMessage) -> str | None:
    return next(iter(IDS.findall(_header(message, "Message-ID"))), None)


def _references(message: EmailMessage) -> list[str]:
    """Ids of the messages it answers, the first of the thread first."""
    return IDS.findall(f"{_header(message, 'References')} {_header(message, 'In-Reply-To')}")


def _date(message: EmailMessage, reading: Reading) -> datetime | None:
    """The Date header with its time zone; None when it is missing or unreadable.

    Raises:
        UserError: it has no time zone, and the caller gave none.
    """
    found = _moment(_raw(message, "Date")[:LONGEST_HEADER])
    return named_moment(found, "Date", reading.timezone) if found else None


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except FRAGILE:
        return None
    if found.tzinfo is None and re.search(r"-0000\b", text):
        found = found.replace(tzinfo=UTC)
    return found if 1970 <= found.year < 3000 else None


def _body(message: EmailMessage) -> str:
    """Its text: the plain part, else the HTML part; without attachments."""
    for kind in ("plain", "html"):
        try:
            part = message.get_body((kind,))
            data = part.get_payload(decode=True) if part else None
            charset = part.get_content_charset("utf-8") if part else "utf-8"
        except FRAGILE:
            continue
        if not isinstance(data, bytes):
            continue
        text = _decoded(data, charset)
        text = (html_text(text) if kind == "html" else text).replace("\r\n", "\n").replace("\r", "\n")
        text = text.replace("\N{NO-BREAK SPACE}", " ")
        if text.strip():
            return text
    return ""


def _decoded(data: bytes, charset: str) -> str:
    for name in (charset, "utf-8"):
        try:
            return _clean(data.decode(name))
        except (LookupError, ValueError):
            continue
    return data.decode("cp1252", "replace")


def _clean(text: str) -> str:
    """Text with the raw bytes, which the parser keeps as surrogates, decoded as UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


FORMAT = Format("email", recognise, read)
