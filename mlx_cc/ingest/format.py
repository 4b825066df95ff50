"""Types shared by all formats: the format itself, its options, its results."""

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
    """Counted from 1; None for a whole file."""
    reason: str

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f', line {self.line}'}: {self.reason}"


class Incoming(NamedTuple):
    """A parsed conversation, with facts of the export that no record keeps."""

    conversation: Conversation
    names: tuple[str, ...] = ()
    """Names of people in it, as the export spells them: redacted from the text, never written."""
    keys: tuple[str, ...] = ()
    """Other ids that contact records can have for it."""
    speakers: tuple[str | None, ...] = ()
    """Label of each turn's voice (`SPEAKER_00`, a channel, a name), where the roles are unknown; else empty."""


def nobody_waits(read_bytes: int) -> None:
    """Default for `progress`: does nothing."""


@dataclass(frozen=True)
class Reading:
    """The caller's defaults for what files do not say, and counts of what was noticed while reading."""

    default_role: Role | None = None
    """Role of speakers with an unknown label; None makes such a label an error."""
    timezone: str | None = None
    """IANA time zone of conversations that name none, and of times without an offset."""
    country: str | None = None
    columns: "ColumnMap | None" = None
    contact_columns: "ContactMap | None" = None
    contacts: "Contacts | None" = None
    """Contact records to join the conversations with."""
    redactor: Redactor | None = None
    """Replaces personal data in the texts; None leaves it in."""
    keep_personal_data: bool = False
    """Mark conversations that no redactor reads as kept on purpose, so that no later command redacts them."""
    pseudonym_key: bytes | None = None
    """Key of the pseudonyms for customers' telephone numbers, addresses and names; None leaves these as they are."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Speaker label or channel number, as in the file -> role; goes before everything else."""
    swap: bool = False
    """Agent and customer are exchanged in these files."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Unused key -> how often it occurred."""
    advance: Callable[[int], Any] = nobody_waits
    """Called with the number of input bytes read since the last call."""


@dataclass(frozen=True)
class Format:
    """A format of exports with transcripts."""

    name: str
    recognise: Callable[[Path, bytes], bool]
    """Whether a file has this format, judged by its path and its first bytes."""
    read: Callable[[File, Reading], Iterator[Conversation | Incoming | Reject]]
    """Its conversations; a Reject for a record that can't be read, a UserError for the whole file."""
    order: int = 50
    """Formats are tried in this order; general ones come last."""
    splits: Callable[[File], bool] = lambda file: False
    """Whether lines of the file can be read without the rest."""


@dataclass(frozen=True)
class ContactFormat:
    """A format of reports about contacts, without transcripts."""

    name: str
    recognise: Callable[[Path, bytes], bool]
    """Whether a file has this format, judged by its path and its first bytes."""
    read: "Callable[[File, Reading], Iterator[Contact | Reject]]"
    """Its contacts; a Reject for a record that can't be read, a UserError for the whole file."""
    order: int = 50
    """Formats are tried in this order; general ones come last."""
