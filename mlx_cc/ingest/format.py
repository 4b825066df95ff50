"""What a format is, what it is told, and what it hands on."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlx_cc.conversation import Conversation, Role
from mlx_cc.ingest.source import File
from mlx_cc.redact import Redactor

if TYPE_CHECKING:
    from mlx_cc.ingest.contacts import Contact, Contacts
    from mlx_cc.ingest.contacts_map import ContactMap
    from mlx_cc.ingest.jsonl_map import ColumnMap


class Reject(NamedTuple):
    """A file or record that was set aside."""

    file: str
    line: int | None
    """Counted from 1; None when the whole file, or a file of one record, is meant."""
    reason: str

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f', line {self.line}'}: {self.reason}"


class Incoming(NamedTuple):
    """A conversation as its export tells it, with what else the export knows and no record keeps."""

    conversation: Conversation
    names: tuple[str, ...] = ()
    """Of people in it, as the export spells them: to be redacted from the text, never written."""
    keys: tuple[str, ...] = ()
    """Other ids under which contact records may know it."""
    speakers: tuple[str | None, ...] = ()
    """A label for each turn's voice (`SPEAKER_00`, a channel, a name), where the roles are not said; else empty."""


def nobody_waits(read_bytes: int) -> None:
    """What is told of progress that nobody is shown."""


@dataclass(frozen=True)
class Reading:
    """What the caller says about files that do not say it themselves, and what was noticed on the way."""

    default_role: Role | None = None
    """Role of speakers whose label is not known; None makes such a label an error."""
    timezone: str | None = None
    """IANA zone of conversations that name none; local times without an offset are in it."""
    country: str | None = None
    columns: "ColumnMap | None" = None
    contact_columns: "ContactMap | None" = None
    contacts: "Contacts | None" = None
    """Contact records to join the conversations with."""
    redactor: Redactor | None = None
    """What takes personal data out of the texts; None leaves it in."""
    keep_personal_data: bool = False
    """Mark conversations that no redactor reads as kept on purpose, so that no later command redacts them."""
    pseudonym_key: bytes | None = None
    """Of the pseudonyms that stand for customers' telephone numbers, addresses and names; None leaves those."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Speaker label or channel number as the file writes it -> role, before anything else is asked."""
    swap: bool = False
    """Agent and customer are the wrong way round in these files."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Key that no field of the record takes -> how often it was met."""
    advance: Callable[[int], Any] = nobody_waits
    """Told how many more bytes of the input files were read."""


@dataclass(frozen=True)
class Format:
    """One kind of export that holds transcripts."""

    name: str
    recognise: Callable[[Path, bytes], bool]
    """Whether a file is of this format, from its path and how it starts."""
    read: Callable[[File, Reading], Iterator[Conversation | Incoming | Reject]]
    """Its conversations; a Reject for a record that can't be read, UserError for the whole file."""
    order: int = 50
    """Formats are asked in this order; the general ones come last."""
    splits: Callable[[File], bool] = lambda file: False
    """Whether any lines of the file can be read without the rest of it."""


@dataclass(frozen=True)
class ContactFormat:
    """One kind of report that tells about contacts and holds no transcripts."""

    name: str
    recognise: Callable[[Path, bytes], bool]
    """Whether a file is of this format, from its path and how it starts."""
    read: "Callable[[File, Reading], Iterator[Contact | Reject]]"
    """Its contacts; a Reject for a record that can't be read, UserError for the whole file."""
    order: int = 50
    """Formats are asked in this order; the general ones come last."""
