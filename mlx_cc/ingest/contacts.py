"""Contact records: fields of a contact that are in a platform's reports and not in its transcript.

Reports come in several files, such as contact records and evaluation forms. `Contacts` merges them into one
record per contact and joins it to the contact's transcript.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlx_cc.conversation import SOURCES, Channel, Conversation, Identifier, Label, Moment, Seconds, replace
from mlx_cc.errors import UserError
from mlx_cc.ingest import all_contact_formats, choose
from mlx_cc.ingest.format import ContactFormat, Incoming, Reading, Reject
from mlx_cc.ingest.record import in_words
from mlx_cc.ingest.source import File, input_files, open_file


class Contact(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One contact of a report. Fields that `Conversation` has too mean the same here."""

    id: Identifier
    keys: tuple[str, ...] = ()
    """Other ids that a transcript can have for it: of the call, the recording, a segment."""
    names: tuple[str, ...] = ()
    """Names of the agents and the customer, as the report spells them: redacted from the text, never written."""
    updated_at: Moment | None = None
    """Time of the record. Of several with one id the newest counts; without times, the later one in the file."""
    platform: str | None = None
    channel: Channel = "unknown"
    language: str | None = None
    customer_id: str | None = None
    """The report's id, which can be a telephone number; it becomes a pseudonym before anything is written."""
    agents: tuple[Identifier, ...] = ()
    team: str | None = None
    queue: str | None = None
    started_at: Moment | None = None
    timezone: str | None = None
    queue_wait_s: Seconds | None = None
    hold_s: Seconds | None = None
    after_call_work_s: Seconds | None = None
    handle_time_s: Seconds | None = None
    disposition: str | None = None
    previous_contact_id: Identifier | None = None
    is_followup: bool | None = None
    labels: dict[str, Label] = {}


def to_contact(fields: Mapping[str, Any]) -> Contact:
    """A checked contact; None and empty text count as missing.

    Raises:
        UserError: a value does not fit its field.
    """
    said = {name: value for name, value in fields.items() if value is not None and value != ""}
    try:
        return msgspec.convert(said, Contact)
    except msgspec.ValidationError as fault:
        raise UserError(in_words(fault)) from fault


AUTHORITY = ("queue_wait_s", "hold_s", "after_call_work_s", "handle_time_s", "disposition")
"""Fields for which the report goes before the transcript."""
FILLED = ("platform", "language", "customer_id", "team", "queue", "started_at", "timezone", "previous_contact_id")
"""Fields that the report fills where the transcript has none."""
NOBODY = {"anonymous", "restricted", "private", "unknown", "unavailable", "withheld", "266696687", "+266696687"}
"""Placeholders of exports for a caller without a number; they stand for many people, so never for one customer."""
UNMATCHED = ("no_contact_record", "contact_ambiguous")
"""Flags of a conversation without a joined contact: none matches, or more than one."""
EXAMPLES = 5
DAY_S = 86_400

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Contact).decode


@dataclass
class Joined:
    """Result of the join. Results of several workers are added up."""

    matched: int = 0
    """Conversations that have a contact record."""
    only_transcript: int = 0
    ambiguous: int = 0
    """Conversations that match two contacts, and were joined to neither."""
    met: set[str] = field(default_factory=set)
    """Ids of the contacts that were joined."""
    without: list[str] = field(default_factory=list)
    """Ids of a few conversations without a record."""
    unclear: list[str] = field(default_factory=list)
    """Ids of a few conversations that match two."""

    def add(self, other: "Joined") -> None:
        """Add the counts of another worker."""
        self.matched += other.matched
        self.only_transcript += other.only_transcript
        self.ambiguous += other.ambiguous
        self.met |= other.met
        self.without = (self.without + other.without)[:EXAMPLES]
        self.unclear = (self.unclear + other.unclear)[:EXAMPLES]


class Contacts:
    """One record per contact, from reports in files and folders; can be sent to worker processes.

    Of records with one id a record of the contact itself, which says when it started, counts before one about
    it, such as an evaluation; else the newest `updated_at`, or the later read one where either says none.
    Gaps are filled from the other. Labels, names and keys of all are kept; of two labels with one name the
    better source wins, then the record that counts.

    Args:
        paths: the reports.
        reading: their time zone and column map; counts keys that are not used.
        rejects: called with every file or record that can't be read.
        followup_window_days: also treat a contact as a follow-up when the same customer had another within
            this many days before it, and as a first contact when not. None: only what the reports say.
        skip: files and folders inside `paths` that are not reports.

    Records wait as encoded bytes; with ids and keys a contact takes some 1 kB.
    """

    def __init__(
        self,
        paths: Iterable[Path | str],
        reading: Reading | None = None,
        *,
        rejects: Callable[[Reject], Any],
        followup_window_days: float | None = None,
        skip: Collection[Path | str] = (),
    ):
        self.superseded = 0
        """Records that came again, because some platforms deliver a record more than once."""
        self.joined = Joined()
        self._window_s = None if followup_window_days is None else followup_window_days * DAY_S
        self._records: dict[str, bytes] = {}
        met: dict[str, set[str]] = {}
        for path in input_files(paths, skip):
            self._read(path, reading or Reading(), rejects, met)
        self._ids: dict[str, str | None] = {}
        """Key -> id of its contact; None for a key of several contacts."""
        self._continued: set[str] = set()
        """Ids that another contact names as its previous one."""
        self._times: dict[str, list[float]] = {}
        """Customer -> start times of their contacts, in seconds since 1970, sorted."""
        self._index()

    def __len__(self) -> int:
        return len(self._records)

    def _read(self, path: Path, reading: Reading, rejects: Callable[[Reject], Any], met: dict[str, set[str]]) -> None:
        """Read a file; `met` has the ids of each format's records so far."""
        try:
            file = open_file(path)
            format = _format_of(file, reading)
            ids = met.setdefault(format.name, set())
            for found in format.read(file, reading):
                if isinstance(found, Reject):
                    rejects(found)
                    continue
                self.superseded += found.id in ids
                ids.add(found.id)
                known = self._records.get(found.id)
                self._records[found.id] = _encode(found if known is None else _merged(_decode(known), found))
        except UserError as fault:
            rejects(Reject(str(path), None, str(fault).removeprefix(f"{path}: ")))
        except OSError as fault:
            rejects(Reject(str(path), None, f"{(fault.strerror or str(fault)).lower()}. Check the file."))

    def _index(self) -> None:
        for id, record in self._records.items():
            contact = _decode(record)
            for key in contact.keys:
                if key and key != id:
                    self._ids[key] = id if self._ids.get(key, id) == id else None
            if contact.previous_contact_id is not None and contact.previous_contact_id != id:
                self._continued.add(contact.previous_contact_id)
            customer = _customer(contact)
            if self._window_s is not None and customer is not None and contact.started_at is not None:
                self._times.setdefault(customer, []).append(contact.started_at.timestamp())
        for times in self._times.values():
            times.sort()

    def join(self, incoming: Incoming) -> Incoming:
        """The incoming conversation with the fields of its contact record.

        The contact is the one with the conversation's id; else the one that has this id, or one of the
        incoming keys, as its id or among its keys. Two that match are treated as none. The transcript's own values
        stay, except those of `AUTHORITY`; a label is replaced by one whose source is as good or better.

        `is_followup` is the transcript's, else the report's; else True with a previous contact, False when
        another contact names this one as its previous; else, with a follow-up window, whether the same
        customer has a contact record within it (flag `followup_by_proxy`).

        Flags: `no_contact_record`, `contact_ambiguous`, `followup_by_proxy`.
        """
        conversation = incoming.conversation
        ids = self._matching(incoming)
        if len(ids) != 1:
            if ids:
                self.joined.ambiguous += 1
                _remember(self.joined.unclear, conversation.id)
            else:
                self.joined.only_transcript += 1
                _remember(self.joined.without, conversation.id)
            return incoming._replace(conversation=_flagged(conversation, UNMATCHED[bool(ids)]))
        (id,) = ids
        contact = _decode(self._records[id])
        self.joined.matched += 1
        self.joined.met.add(id)
        return incoming._replace(
            conversation=self._filled(conversation, contact),
            names=tuple(dict.fromkeys(incoming.names + contact.names)),
        )

    def _matching(self, incoming: Incoming) -> set[str]:
        """Ids of matching contacts; a key of several contacts gives two ids that no contact has."""
        own = incoming.conversation.id
        if own in self._records:
            return {own}
        found: set[str] = set()
        for key in (own, *incoming.keys):
            if key in self._records:
                found.add(key)
            if key in self._ids:
                id = self._ids[key]
                found |= {id} if id is not None else {f"one of {key}", f"another of {key}"}
        return found

    def _filled(self, conversation: Conversation, contact: Contact) -> Conversation:
        changes: dict[str, Any] = {"flags": tuple(flag for flag in conversation.flags if flag not in UNMATCHED)}
        for name in FILLED:
            if getattr(conversation, name) is None and (value := getattr(contact, name)) is not None:
                changes[name] = value
        for name in AUTHORITY:
            if (value := getattr(contact, name)) is not None:
                changes[name] = value
        if conversation.channel == "unknown":
            changes["channel"] = contact.channel
        if not conversation.agents:
            changes["agents"] = contact.agents
        if contact.labels:
            changes["labels"] = _better(conversation.labels, contact.labels)
        if changes.get("previous_contact_id") == conversation.id:
            del changes["previous_contact_id"]
        conversation = replace(conversation, **changes)
        if conversation.is_followup is not None:
            return conversation
        followup = self._followup(conversation, contact)
        if followup is None and (followup := self._followup_by_proxy(contact)) is not None:
            conversation = _flagged(conversation, "followup_by_proxy")
        return conversation if followup is None else replace(conversation, is_followup=followup)

    def _followup(self, conversation: Conversation, contact: Contact) -> bool | None:
        """Whether the reports say that the contact follows an earlier one."""
        if contact.is_followup is not None:
            return contact.is_followup
        if conversation.previous_contact_id not in (None, conversation.id, contact.id):
            return True
        return False if contact.id in self._continued else None

    def _followup_by_proxy(self, contact: Contact) -> bool | None:
        """Whether the customer had a contact within the window before; None when unknown."""
        customer = _customer(contact)
        if self._window_s is None or customer is None or contact.started_at is None:
            return None
        times, start = self._times[customer], contact.started_at.timestamp()
        place = bisect_left(times, start)
        return place > 0 and start - times[place - 1] <= self._window_s

    def report(self, joined: Joined | None = None) -> dict[str, Any]:
        """Counts of the join, with a few ids each.

        Args:
            joined: the sum of all workers; None takes this copy's own.
        """
        joined = joined or self.joined
        left = [id for id in self._records if id not in joined.met]
        return {
            "contacts": len(self),
            "matched": joined.matched,
            "only_transcript": joined.only_transcript,
            "only_contact": len(left),
            "ambiguous": joined.ambiguous,
            "superseded": self.superseded,
            "examples": {
                "only_transcript": joined.without,
                "only_contact": left[:EXAMPLES],
                "ambiguous": joined.unclear,
            },
        }


def _format_of(file: File, reading: Reading) -> ContactFormat:
    """The format that recognises a file; with a column map a table where none does."""
    formats = all_contact_formats()
    if reading.contact_columns is not None and not any(f.recognise(file.path, file.head) for f in formats.values()):
        return formats["table"]
    return choose(file, formats)


def _merged(known: Contact, found: Contact) -> Contact:
    """Merge two records of one contact: the values of the one that counts, its gaps filled from the other."""
    if (known.started_at is None) != (found.started_at is None):
        older = found.started_at is None
    else:
        older = known.updated_at is not None and found.updated_at is not None and found.updated_at < known.updated_at
    if older:
        known, found = found, known
    filled = (*FILLED, *AUTHORITY, "is_followup", "updated_at")
    gaps = {name: getattr(known, name) for name in filled if getattr(found, name) is None}
    return msgspec.structs.replace(
        found,
        **gaps,
        channel=known.channel if found.channel == "unknown" else found.channel,
        agents=found.agents or known.agents,
        keys=tuple(dict.fromkeys(known.keys + found.keys)),
        names=tuple(dict.fromkeys(known.names + found.names)),
        labels=_better(known.labels, found.labels),
    )


def _better(labels: Mapping[str, Label], others: Mapping[str, Label]) -> dict[str, Label]:
    """The labels of both; of two with one name that of the better source, on a tie the other's."""
    both = dict(labels)
    for name, label in others.items():
        if name not in both or SOURCES.index(label.source) <= SOURCES.index(both[name].source):
            both[name] = label
    return both


def _customer(contact: Contact) -> str | None:
    """The customer of a contact, or None where the id stands for many people."""
    customer = (contact.customer_id or "").strip().casefold()
    return None if not customer or customer in NOBODY else customer


def _flagged(conversation: Conversation, flag: str) -> Conversation:
    return conversation if flag in conversation.flags else replace(conversation, flags=(*conversation.flags, flag))


def _remember(examples: list[str], id: str) -> None:
    if len(examples) < EXAMPLES:
        examples.append(id)
