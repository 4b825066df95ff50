"""`mlx_cc ingest`: exports in, one conversations file out."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlx_cc.conversation import Role
    from mlx_cc.redact import Redactor

LARGE_BYTES = 8 << 20
"""Of input: below it, one process is faster than several that have to start."""


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="conversations.jsonl",
    show_default=True,
    help="The file to write; rejects.jsonl goes beside it.",
)
@click.option("--format", default="auto", show_default=True, help="Format of the files; auto decides by content.")
@click.option(
    "--map", "map_file", type=click.Path(path_type=Path), help="Column map (YAML) for tables and objects of your own."
)
@click.option(
    "--contacts",
    "contact_paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File or folder of contact records (CTRs, call logs, reports, scorecards), joined by id; repeatable.",
)
@click.option("--contact-map", type=click.Path(path_type=Path), help="Column map (YAML) for contact tables.")
@click.option(
    "--followup-days",
    type=click.FloatRange(min=0, min_open=True),
    help="Take a contact for a follow-up when the same customer had one so many days before (a proxy).",
)
@click.option(
    "--default-role",
    type=click.Choice(["agent", "customer", "bot", "system", "unknown"]),
    help="Role of speakers with an unknown label.",
)
@click.option("--role", "role_pairs", multiple=True, metavar="LABEL=ROLE", help="Who a speaker or channel is.")
@click.option("--swap", is_flag=True, help="Agent and customer are the wrong way round in these files.")
@click.option("--timezone", help="IANA zone of conversations that name none, for example America/Chicago.")
@click.option("--country", help="ISO 3166-1 country of conversations that name none, for example US.")
@click.option("--analyses", type=click.Path(path_type=Path), help="Folder or file of analyses, taken in as labels.")
@click.option(
    "--label-source",
    type=click.Choice(["human_qa", "survey", "platform", "teacher", "simulated"]),
    default="teacher",
    show_default=True,
    help="Source of analyses that name none.",
)
@click.option(
    "--centre",
    "centre_file",
    type=click.Path(path_type=Path),
    help="The centre's settings (YAML), to check issue and journey labels against.",
)
@click.option("--no-redact", is_flag=True, help="Leave personal data in; needs --keep-personal-data as well.")
@click.option("--keep-personal-data", is_flag=True, help="Say that you may keep it, and mean to.")
@click.option("--ner", metavar="SPACY_MODEL", help="Also find names with presidio and this spaCy model (extra `pii`).")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one per core for large input]")
@click.option("--strict", is_flag=True, help="Stop at the first file or record that can't be read.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    out: Path,
    format: str,
    map_file: Path | None,
    contact_paths: tuple[Path, ...],
    contact_map: Path | None,
    followup_days: float | None,
    default_role: str | None,
    role_pairs: tuple[str, ...],
    swap: bool,
    timezone: str | None,
    country: str | None,
    analyses: Path | None,
    label_source: str,
    centre_file: Path | None,
    no_redact: bool,
    keep_personal_data: bool,
    ner: str | None,
    workers: int | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Read exports of any known platform into one conversations file.

    Contact records are joined by id, roles are found where the files do not say them, and personal data is replaced
    by placeholders before anything is written. What can't be read is set aside in rejects.jsonl with the reason; the
    exit status is then 3. Formats and what is read of them: docs/ingest.md.

    \b
    Examples:
      mlx_cc ingest exports/ --contacts ctr/ --timezone America/Chicago --country US
      mlx_cc ingest calls.zip --contacts report.csv --contact-map configs/maps/contacts_example.yaml
      mlx_cc ingest transcripts/ --analyses analyses/ --out conversations.jsonl
      mlx_cc ingest export.jsonl.gz --map configs/maps/star.yaml
      mlx_cc ingest dual-channel/ --role 0=agent --role 1=customer
    """
    import json
    from collections import Counter
    from functools import partial
    from typing import cast

    from mlx_cc.centre import read_centre
    from mlx_cc.files import write_conversations
    from mlx_cc.ingest.analyses import read_labelled, with_valid_labels
    from mlx_cc.ingest.contacts import Contacts
    from mlx_cc.ingest.contacts_map import read_contact_map
    from mlx_cc.ingest.format import Reading
    from mlx_cc.ingest.jsonl_map import read_map
    from mlx_cc.ingest.rejects import rejects_file
    from mlx_cc.ingest.source import input_files, size_on_disk
    from mlx_cc.redact.key import pseudonym_key
    from mlx_cc.terminal import bars

    centre = read_centre(centre_file)
    # Class names are the centre's own: without its settings `prepare` checks them.
    unchecked = () if centre_file else ("issue", "journey")
    dropped: Counter[str] = Counter()
    labelled: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    rejected = out.with_name("rejects.jsonl")
    redactor = redactor_of(no_redact, keep_personal_data, country or centre.country, ner)

    def counted(stream):
        for conversation in stream:
            conversation = with_valid_labels(conversation, centre, dropped, unchecked)
            labelled.update(conversation.labels.keys())
            flagged.update(conversation.flags)
            yield conversation

    files = input_files(paths, [out, rejected, *contact_paths, *([analyses] if analyses else [])])
    sizes = sum(map(size_on_disk, files))
    with rejects_file(rejected, cleaner(redactor)) as rejects, bars() as shown:
        reading = Reading(
            default_role=cast("Role | None", default_role),
            timezone=timezone or centre.timezone,
            country=country or centre.country,
            columns=read_map(map_file) if map_file else None,
            contact_columns=read_contact_map(contact_map) if contact_map else None,
            roles=roles_of(role_pairs),
            swap=swap,
            redactor=redactor,
            keep_personal_data=keep_personal_data,
            pseudonym_key=pseudonym_key() if redactor else None,
        )
        if contact_paths:
            bar = shown.add_task("contact records", total=None)
            contacts = Contacts(contact_paths, reading, rejects=rejects, followup_window_days=followup_days)
            shown.update(bar, total=1, completed=1)
            reading = replaced(reading, contacts=contacts)
        bar = shown.add_task("reading", total=sizes)
        reading = replaced(reading, advance=partial(shown.advance, bar))
        processes = processes_for(sizes, workers)
        stream = read_labelled(files, reading, rejects, format, analyses, label_source, strict, processes)
        count = write_conversations(out, counted(stream))

    summary = {
        "conversations": count,
        "out": str(out),
        "contacts": reading.contacts.report() if reading.contacts else None,
        "flags": dict(flagged.most_common()),
        "redacted": None if redactor is None else dict(redactor.counts.most_common()),
        "rejected": rejects.count,
        "rejects_file": str(rejected) if rejects.count else None,
        "reject_reasons": dict(rejects.reasons.most_common()),
        "labels": dict(labelled),
        "labels_dropped": dict(dropped.most_common()),
        "keys_not_used": dict(reading.ignored.most_common()),
    }
    if as_json:
        click.echo(json.dumps(summary))
    else:
        tell(summary)
        tell_what_was_left(rejects, rejected, dropped, reading.ignored)
    if rejects.count:
        ctx.exit(3)


def replaced(reading, **changes):
    """The reading with some fields changed."""
    from dataclasses import replace

    return replace(reading, **changes)


def processes_for(size: int, workers: int | None) -> int:
    """How many processes read input of so many bytes."""
    from mlx_cc.model.blas import cores

    return workers or (cores() if size > LARGE_BYTES else 1)


def redactor_of(no_redact: bool, keep_personal_data: bool, country: str | None, ner: str | None) -> "Redactor | None":
    """What takes personal data out; None where it is to stay.

    Raises:
        UserError: only one of the two flags that leave it in is given.
    """
    from mlx_cc.errors import UserError
    from mlx_cc.redact import Redactor

    if no_redact != keep_personal_data:
        raise UserError(
            "personal data stays only with both --no-redact and --keep-personal-data: cards, names and numbers would "
            "be in the files, the model and its answers. Leave both out to redact."
        )
    if no_redact:
        return None
    if ner is None:
        return Redactor(country)
    from mlx_cc.redact.ner import presidio

    return Redactor(country, presidio(ner))


def cleaner(redactor: "Redactor | None") -> "Callable[[str], str]":
    """Takes personal data out of a line about a reject."""
    from mlx_cc.conversation import Conversation, Turn
    from mlx_cc.redact import Redactor

    if redactor is None:
        return str
    own = Redactor(redactor.country, redactor.ner)

    def cleaned(text: str) -> str:
        return own.redact(Conversation(id="-", turns=(Turn(role="unknown", text=text),))).turns[0].text

    return cleaned


def roles_of(pairs: tuple[str, ...]) -> "dict[str, Role]":
    """Speaker label -> role, from `label=role`.

    Raises:
        UserError: a pair is none, or its role is no role.
    """
    from typing import cast, get_args

    from mlx_cc.conversation import Role
    from mlx_cc.errors import UserError

    roles = {}
    for pair in pairs:
        label, _, role = pair.rpartition("=")
        if not label or role not in get_args(Role):
            raise UserError(f"--role {pair}: write LABEL=ROLE with a role of {', '.join(get_args(Role))}.")
        roles[label] = cast("Role", role)
    return roles


def tell(summary) -> None:
    """Say what was written, joined and redacted."""
    click.echo(f"{summary['out']}: {summary['conversations']} conversations")
    if summary["contacts"]:
        found = summary["contacts"]
        click.echo(
            f"  contact records: {found['matched']} matched, {found['only_transcript']} only a transcript, "
            f"{found['only_contact']} only a contact, {found['ambiguous']} ambiguous, "
            f"{found['superseded']} older versions left out"
        )
        for kind, ids in found["examples"].items():
            if ids:
                click.echo(f"    {kind.replace('_', ' ')}: {', '.join(ids)}")
    for name in ("flags", "redacted", "labels"):
        if summary[name]:
            click.echo(f"  {name}: " + ", ".join(f"{key} {n}" for key, n in summary[name].items()))
    if summary["redacted"] is None:
        click.echo("  NOT redacted: personal data is in the file as the exports have it")


def tell_what_was_left(rejects, rejected, dropped, ignored) -> None:
    """Say what was set aside and why, most frequent first."""
    if rejects.count:
        click.echo(f"  {rejects.count} rejected, in {rejected}; the first: {rejects.first}")
        for reason, n in rejects.reasons.most_common(5 if rejects.count > 1 else 0):
            click.echo(f"    {n} x {reason}")
    for reason, n in dropped.most_common(5):
        click.echo(f"  {n} x label dropped: {reason}")
    if len(dropped) > 5:
        click.echo(f"  {sum(dropped.values())} labels dropped in all")
    if ignored:
        click.echo("  keys not used: " + ", ".join(f"{key} ({n})" for key, n in ignored.most_common(8)))
