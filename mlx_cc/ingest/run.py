"""`mlx_cc.ingest`, and the reading of exports that it shares with `mlx_cc.prepare`."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

from mlx_cc.centre import Centre, read_centre
from mlx_cc.conversation import Conversation, Role, Source, Turn
from mlx_cc.cores import cores
from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations, written_together
from mlx_cc.folders import DataFolder
from mlx_cc.ingest.analyses import read_labelled, with_valid_labels
from mlx_cc.ingest.contacts import Contacts
from mlx_cc.ingest.contacts_map import read_contact_map
from mlx_cc.ingest.format import Reading
from mlx_cc.ingest.jsonl_map import read_map
from mlx_cc.ingest.rejects import Rejects, rejects_file
from mlx_cc.ingest.source import input_files, size_on_disk
from mlx_cc.redact import Redactor
from mlx_cc.redact.key import pseudonym_key
from mlx_cc.terminal import bars

if TYPE_CHECKING:
    from rich.progress import Progress

LARGE_BYTES = 8 << 20
"""With more input bytes than this, several processes read; with fewer, starting them takes longer than it saves."""


class Opened(NamedTuple):
    """Transcripts that are being read."""

    conversations: Iterator[Conversation]
    reading: Reading
    rejects: Rejects
    bars: "Progress"
    """On a terminal, how far it is."""


@dataclass(frozen=True)
class Transcripts:
    """Exports to read, with the options that `ingest` and `prepare` share.

    Raises:
        UserError: there is no such file, format, role or map.
    """

    paths: Sequence[Path | str]
    """Files and folders; folders are searched to any depth."""
    _: KW_ONLY
    format: str = "auto"
    """Name of a format; `auto` decides by content."""
    columns: Path | str | None = None
    """Column map (YAML) for tables and objects of your own."""
    contacts: Sequence[Path | str] = ()
    """Files or folders of contact records, joined by id."""
    contact_columns: Path | str | None = None
    """Column map (YAML) for contact tables."""
    followup_days: float | None = None
    """A contact is a follow-up when the same customer had one within this many days before."""
    default_role: Role | None = None
    """Role of speakers with an unknown label; None makes such a label an error."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Speaker label or channel -> role; wins over all guesses."""
    swap: bool = False
    """Agent and customer are exchanged in these files."""
    timezone: str | None = None
    """IANA zone of conversations that name none."""
    country: str | None = None
    """ISO 3166-1 country of conversations that name none."""
    analyses: Path | str | None = None
    """File or folder of analyses, read as labels."""
    label_source: Source = "teacher"
    """Source of analyses that name none."""
    keep_personal_data: bool = False
    """Leave personal data in the texts."""
    ner: str | None = None
    """Also find names with presidio and this spaCy model."""
    workers: int | None = None
    """Processes that read; None: one per core for large input."""
    strict: bool = False
    """Stop at the first file or record that can't be read."""

    @contextmanager
    def opened(self, part: Path, centre: Centre, outputs: Sequence[Path] = ()) -> Iterator[Opened]:
        """Stream the conversations, with progress on a terminal; what can't be read goes to rejects.jsonl.

        Args:
            part: the folder in which the outputs are `written_together`, rejects among them.
            centre: its time zone and country are used where neither the files nor the fields here name one.
            outputs: files inside `paths` that are not input.
        """
        country = self.country or centre.country
        redactor = None if self.keep_personal_data else Redactor(country, self._recogniser())
        skip = [*outputs, DataFolder(part.parent).rejects, *self.contacts, *([self.analyses] if self.analyses else [])]
        files = input_files(self.paths, skip)
        sizes = sum(map(size_on_disk, files))
        with rejects_file(part, cleaner(redactor)) as rejects, bars() as shown:
            reading = Reading(
                default_role=self.default_role,
                timezone=self.timezone or centre.timezone,
                country=country,
                columns=read_map(self.columns) if self.columns else None,
                contact_columns=read_contact_map(self.contact_columns) if self.contact_columns else None,
                roles=self.roles,
                swap=self.swap,
                redactor=redactor,
                keep_personal_data=self.keep_personal_data,
                pseudonym_key=pseudonym_key() if redactor else None,
            )
            if self.contacts:
                bar = shown.add_task("contact records", total=None)
                days = self.followup_days
                contacts = Contacts(self.contacts, reading, rejects=rejects, followup_window_days=days)
                shown.update(bar, total=1, completed=1)
                reading = replace(reading, contacts=contacts)
            reading = replace(reading, advance=partial(shown.advance, shown.add_task("reading", total=sizes)))
            stream = read_labelled(
                files,
                reading,
                rejects,
                self.format,
                self.analyses,
                self.label_source,
                self.strict,
                self.workers or (cores() if sizes > LARGE_BYTES else 1),
            )
            yield Opened(stream, reading, rejects, shown)

    def _recogniser(self) -> Any:
        if self.ner is None:
            return None
        from mlx_cc.redact.ner import presidio

        return presidio(self.ner)


def cleaner(redactor: Redactor | None) -> Callable[[str], str]:
    """A function that replaces personal data in the reason of a reject, without counting it."""
    if redactor is None:
        return str
    own = Redactor(redactor.country, redactor.ner)

    def cleaned(text: str) -> str:
        return own.redact(Conversation(id="-", turns=(Turn(role="unknown", text=text),))).turns[0].text

    return cleaned


@dataclass(frozen=True)
class Summary:
    """Summary of `ingest`."""

    out: Path
    conversations: int
    contacts: dict[str, Any] | None
    """Joined contact records; None when none were given."""
    flags: Counter[str]
    """Flag of a conversation -> how many have it."""
    redacted: Counter[str] | None
    """Type of personal data -> replaced values; None when it was kept."""
    labels: Counter[str]
    """Task -> labels kept."""
    labels_dropped: Counter[str]
    """Task and fault -> labels left out."""
    keys_not_used: Counter[str]
    """Key that no field of a record takes -> how often it was met."""
    rejects: Rejects
    """Number of rejects, by reason."""


def ingest(
    paths: Sequence[Path | str],
    out: Path | str = "conversations.jsonl",
    *,
    centre: Centre | Path | str | None = None,
    **how: Any,
) -> Summary:
    """Read exports of any known platform into one conversations file, with personal data replaced by placeholders.

    What can't be read goes to rejects.jsonl beside `out`, with the reason.

    Args:
        paths: files, and folders that are searched to any depth.
        out: the file to write; it appears whole.
        centre: settings to check issue and journey labels against; None leaves these to `prepare`.
        how: fields of `Transcripts`.

    Raises:
        UserError: there is no such path, format, role or map; with `strict`, a record can't be read.
    """
    out = Path(out)
    settings = centre if isinstance(centre, Centre) else read_centre(centre)
    unchecked = () if centre else ("issue", "journey")  # class names depend on the centre
    dropped, labelled, flagged = Counter[str](), Counter[str](), Counter[str]()

    def counted(conversations: Iterator[Conversation]) -> Iterator[Conversation]:
        for conversation in conversations:
            conversation = with_valid_labels(conversation, settings, dropped, unchecked)
            labelled.update(conversation.labels.keys())
            flagged.update(conversation.flags)
            yield conversation

    with written_together(out) as part, Transcripts(paths, **how).opened(part, settings, [out]) as opened:
        count = write_conversations(part / out.name, counted(opened.conversations))
    reading = opened.reading
    return Summary(
        out=out,
        conversations=count,
        contacts=reading.contacts.report() if reading.contacts else None,
        flags=flagged,
        redacted=reading.redactor.counts if reading.redactor else None,
        labels=labelled,
        labels_dropped=dropped,
        keys_not_used=reading.ignored,
        rejects=opened.rejects,
    )


def roles_of(pairs: Sequence[str]) -> dict[str, Role]:
    """Speaker label -> role, from `label=role`.

    Raises:
        UserError: it is no pair, or the role is unknown.
    """
    roles: dict[str, Role] = {}
    for pair in pairs:
        label, _, role = pair.rpartition("=")
        if not label or role not in get_args(Role):
            raise UserError(f"--role {pair}: write LABEL=ROLE with a role of {', '.join(get_args(Role))}.")
        roles[label] = cast("Role", role)
    return roles
