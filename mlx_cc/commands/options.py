"""The command-line options that several commands take: each once, with one text."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click

from mlx_cc.conversation import SOURCES, Role
from mlx_cc.errors import UserError

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
CONFIG = click.option("--config", type=FILE, help="YAML file with the settings below.")
LIMIT = click.option("--limit", type=click.IntRange(min=1), help="At most this many conversations.")
MODEL = click.option("--model", required=True, help="Adapter folder, fused model or base model.")
HELD_OUT = click.option("--data", type=PATH, help="Held-out file; else the test split of the run's data.")
CENTRE = click.option("--centre", type=PATH, help="The centre's settings (YAML).")
TIMEZONE = click.option("--timezone", help="IANA zone of conversations that name none, for example America/Chicago.")
COUNTRY = click.option("--country", help="ISO 3166-1 country of conversations that name none, for example US.")
DEFAULT_ROLE = click.option(
    "--default-role", type=click.Choice(get_args(Role)), help="Role of speakers with an unknown label."
)
ASKED = click.option("--model", help="Model to ask; else the only run under models/ or adapters/.")
LABELLED = click.option(
    "--input",
    "source",
    type=PATH,
    required=True,
    metavar="FILE",
    help="Conversations (or ChatML rows), with labels where there are any.",
)
PROFILES = click.option(
    "--profiles",
    type=FOLDER,
    metavar="DIR",
    help="Folder that `mlx_cc fingerprint` wrote; without it the agents of FILE are profiled here.",
)
ANSWERS = click.option(
    "--answers",
    type=FILE,
    metavar="FILE",
    help="A model's answers: the lines that `mlx_cc analyze --json` prints. Keys may be missing.",
)

TRANSCRIPTS = (
    click.option("--format", default="auto", show_default=True, help="Format of the files; auto decides by content."),
    click.option("--map", "columns", type=PATH, help="Column map (YAML) for tables and objects of your own."),
    click.option(
        "--contacts",
        multiple=True,
        type=PATH,
        help="File or folder of contact records (CTRs, call logs, reports, scorecards), joined by id. Repeatable.",
    ),
    click.option("--contact-map", "contact_columns", type=PATH, help="Column map (YAML) for contact tables."),
    click.option(
        "--followup-days",
        type=click.FloatRange(min=0, min_open=True),
        help="Count a contact as a follow-up when the same customer had one within so many days before it.",
    ),
    DEFAULT_ROLE,
    click.option(
        "--role",
        "roles",
        multiple=True,
        metavar="LABEL=ROLE",
        help="Role of a speaker label or channel, for example 0=agent. Repeatable; wins over all guesses.",
    ),
    click.option("--swap", is_flag=True, help="Swap agent and customer: these files have them the wrong way round."),
    TIMEZONE,
    COUNTRY,
    click.option("--analyses", "--analyses-dir", "analyses", type=PATH, help="File or folder of analyses: the labels."),
    click.option(
        "--label-source",
        type=click.Choice(SOURCES),
        default="teacher",
        show_default=True,
        help="Source of analyses that name none.",
    ),
    click.option("--no-redact", is_flag=True, help="Leave personal data in; needs --keep-personal-data as well."),
    click.option(
        "--keep-personal-data",
        is_flag=True,
        help="Confirm that you are allowed to keep personal data (required with --no-redact).",
    ),
    click.option(
        "--ner", metavar="SPACY_MODEL", help="Also find names with presidio and this spaCy model (extra `pii`)."
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        help="Processes that read.  [default: one per core for large input]",
    ),
    click.option("--strict", is_flag=True, help="Stop at the first file or record that can't be read."),
)
"""How transcripts are read: the fields of `mlx_cc.ingest.run.Transcripts`, besides the paths."""
FIELDS = (
    *("format", "columns", "contacts", "contact_columns", "followup_days", "default_role", "roles", "swap", "timezone"),
    *("country", "analyses", "label_source", "keep_personal_data", "ner", "workers", "strict"),
)


def transcripts(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `TRANSCRIPTS`; it receives them together, as `how`.

    Raises:
        UserError: only one of the two flags that leave personal data in is given.
    """

    @wraps(command)
    def gathered(*args: Any, no_redact: bool, **given: Any) -> Any:
        from mlx_cc.ingest.run import roles_of

        if no_redact != given["keep_personal_data"]:
            raise UserError(
                "personal data stays only with both --no-redact and --keep-personal-data: cards, names and numbers "
                "would be in the files, the model and its answers. Leave both out to redact."
            )
        how = {name: given.pop(name) for name in FIELDS}
        return command(*args, how={**how, "roles": roles_of(how["roles"])}, **given)

    for option in reversed(TRANSCRIPTS):
        gathered = option(gathered)
    return gathered


def names(text: str | None) -> list[str]:
    """The names in a comma-separated option; none where it is not given."""
    return [name.strip() for name in text.split(",")] if text else []
