"""`mlx_cc prepare`: transcripts and analyses -> training, validation and test files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mlx_cc.conversation import Role
    from mlx_cc.splits import SplitKey


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--input",
    "inputs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Conversations file or transcripts, like PATH.",
)
@click.option("--transcripts-dir", type=click.Path(path_type=Path), help="Folder of transcripts, like PATH.")
@click.option("--analyses-dir", type=click.Path(path_type=Path), help="Folder or file of analyses: the labels.")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default="data",
    show_default=True,
    help="Where the files go.",
)
@click.option("--centre", "centre_file", type=click.Path(path_type=Path), help="The centre's settings (YAML).")
@click.option(
    "--issues",
    type=click.Choice(["centre", "auto"]),
    default="centre",
    show_default=True,
    help="Issue classes: the centre's, or those that occur in the labels.",
)
@click.option("--tasks", help="Comma-separated tasks that get rows; the six when left out.")
@click.option(
    "--split-by",
    type=click.Choice(["conversation", "agent", "customer"]),
    default="conversation",
    show_default=True,
    help="What never straddles two splits.",
)
@click.option(
    "--shares",
    nargs=2,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=(0.8, 0.1),
    show_default=True,
    metavar="TRAIN VALIDATION",
    help="Shares of the training and validation split; the rest is test.",
)
@click.option("--train-limit", type=click.IntRange(min=1), help="Keep only N training conversations.")
@click.option(
    "--customer-turns",
    type=click.IntRange(min=0),
    default=0,
    help="Show only the customer's first N turns; 0 shows all.",
)
@click.option(
    "--tokenizer",
    "tokenizer_name",
    metavar="MODEL",
    help="Model whose tokenizer measures lengths; without one they are in words.",
)
@click.option(
    "--map", "map_file", type=click.Path(path_type=Path), help="Column map (YAML) for JSON objects of another shape."
)
@click.option("--format", default="auto", show_default=True, help="Format of the files; auto decides by content.")
@click.option(
    "--default-role",
    type=click.Choice(["agent", "customer", "bot", "system", "unknown"]),
    help="Role of speakers with an unknown label.",
)
@click.option("--timezone", help="IANA zone of the site, for conversations that name none.")
@click.option("--country", help="ISO 3166-1 country of the site, for conversations that name none.")
@click.option(
    "--label-source",
    type=click.Choice(["human_qa", "survey", "platform", "teacher", "simulated"]),
    default="teacher",
    show_default=True,
    help="Source of analyses that name none.",
)
@click.option("--no-redact", is_flag=True, help="Leave personal data in; needs --keep-personal-data as well.")
@click.option("--keep-personal-data", is_flag=True, help="Say that you may keep it, and mean to.")
@click.option("--ner", metavar="SPACY_MODEL", help="Also find names with presidio and this spaCy model (extra `pii`).")
@click.option("--workers", type=click.IntRange(min=1), help="Reading processes.  [default: one per core, large input]")
@click.option("--strict", is_flag=True, help="Stop at the first file or record that can't be read.")
@click.option("--json", "as_json", is_flag=True, help="Print the statistics as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    inputs: tuple[Path, ...],
    transcripts_dir: Path | None,
    analyses_dir: Path | None,
    output_dir: Path,
    centre_file: Path | None,
    issues: str,
    tasks: str | None,
    split_by: str,
    shares: tuple[float, float],
    train_limit: int | None,
    customer_turns: int,
    tokenizer_name: str | None,
    map_file: Path | None,
    format: str,
    default_role: str | None,
    timezone: str | None,
    country: str | None,
    label_source: str,
    no_redact: bool,
    keep_personal_data: bool,
    ner: str | None,
    workers: int | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Make training, validation and test files from transcripts and analyses.

    Writes {train,validation,test}_chatml.jsonl, conversations.jsonl, centre.yaml and
    statistics.json. Personal data is replaced by placeholders where `mlx_cc ingest` has not done
    so. What can't be read is set aside in rejects.jsonl; the exit status is then 3.

    \b
    Examples:
      mlx_cc prepare --transcripts-dir transcripts --analyses-dir analyses --output-dir data
      mlx_cc prepare conversations.jsonl --output-dir data --split-by agent --train-limit 500
      mlx_cc prepare export.jsonl --map configs/maps/star.yaml --issues auto --output-dir data
    """
    from collections import Counter
    from functools import partial
    from typing import cast

    import msgspec

    from mlx_cc.centre import read_centre
    from mlx_cc.commands.ingest import cleaner, processes_for, redactor_of, tell_what_was_left
    from mlx_cc.errors import UserError
    from mlx_cc.ingest.analyses import read_labelled
    from mlx_cc.ingest.format import Reading
    from mlx_cc.ingest.jsonl_map import read_map
    from mlx_cc.ingest.rejects import rejects_file
    from mlx_cc.ingest.source import input_files, size_on_disk
    from mlx_cc.prepare import OUTPUTS, Options, class_hint, prepare
    from mlx_cc.prompt import PromptSettings
    from mlx_cc.redact.key import pseudonym_key
    from mlx_cc.terminal import bars

    sources = [*paths, *inputs, *([transcripts_dir] if transcripts_dir else [])]
    if not sources:
        raise UserError("nothing to prepare. Pass --transcripts-dir FOLDER, or a conversations file.")
    if sum(shares) >= 1:
        raise UserError(f"--shares {shares[0]:g} {shares[1]:g}: leaves nothing for test. Their sum must be below 1.")
    centre = read_centre(centre_file)
    if timezone or country:
        centre = msgspec.structs.replace(
            centre, timezone=timezone or centre.timezone, country=country or centre.country
        )
    columns = read_map(map_file) if map_file else None
    rejected = output_dir / "rejects.jsonl"
    made = [rejected, *(output_dir / name for name in OUTPUTS)]
    encoder = _encoder(tokenizer_name) if tokenizer_name else None
    files = input_files(sources, [*made, *([analyses_dir] if analyses_dir else [])])
    sizes = sum(map(size_on_disk, files))
    redactor = redactor_of(no_redact, keep_personal_data, centre.country, ner)
    with rejects_file(rejected, cleaner(redactor)) as rejects, bars() as shown:
        bar, second = shown.add_task("reading", total=sizes), shown.add_task("writing", total=None)
        advance = partial(shown.advance, bar)
        reading = Reading(
            default_role=cast("Role | None", default_role),
            timezone=centre.timezone,
            columns=columns,
            redactor=redactor,
            keep_personal_data=keep_personal_data,
            pseudonym_key=pseudonym_key() if redactor else None,
            advance=advance,
        )
        processes = processes_for(sizes, workers)
        stream = read_labelled(files, reading, rejects, format, analyses_dir, label_source, strict, processes)
        options = Options(
            prompt=PromptSettings(customer_turns=customer_turns),
            tasks=tuple(name.strip() for name in tasks.split(",")) if tasks else (),
            split_by=cast("SplitKey", split_by),
            shares=shares,
            train_limit=train_limit,
            issues_from_labels=issues == "auto",
            encoder=encoder,
            rejects=rejects,
            progress=lambda done, total: shown.update(second, completed=done, total=total),
        )
        statistics = prepare(stream, output_dir, centre, options)
    statistics = {**statistics, "rejected": dict(rejects.reasons.most_common())}
    if as_json:
        click.echo(msgspec.json.encode(statistics))
    else:
        _table(statistics, output_dir)
        tell_what_was_left(rejects, rejected, Counter(statistics["labels_dropped"]), reading.ignored)
        if hint := class_hint(statistics["labels_dropped"]):
            click.echo(f" {hint}")
    if rejects.count:
        ctx.exit(3)


def _encoder(name: str):
    """The tokenizer of a model, for lengths."""
    from transformers import AutoTokenizer

    from mlx_cc.model.pull import resolve
    from mlx_cc.prompt import Encoder

    return Encoder(AutoTokenizer.from_pretrained(resolve(name)))


def _table(statistics: dict[str, Any], folder: Path) -> None:
    """Print what was made: rows per task and split, lengths, and the baselines to beat."""
    from rich.table import Table

    from mlx_cc.splits import SPLITS
    from mlx_cc.terminal import console

    rows, lengths, baselines = statistics["rows"], statistics["lengths"], statistics["baselines"]
    table = Table("rows", *SPLITS, "constant answer", "its score (95%)", title=f"{folder}", title_justify="left")
    for task in statistics["label_sources"]:
        base = baselines.get(task)
        score = ""
        if base:
            main, (low, high) = next(iter(base["interval"].items()))
            number = base["metrics"][main]
            inside = "" if low is None else f" [{low:.2f}, {high:.2f}]"
            score = "" if number is None else f"{main} {number:.2f}{inside}, n={base['n']}"
        table.add_row(
            task, *(str(rows[split].get(task, 0)) for split in SPLITS), _short(base["answer"]) if base else "", score
        )
    table.add_row("all", *(str(rows[split]["total"]) for split in SPLITS), "", "", end_section=True)
    table.add_row("conversations", *(str(statistics["conversations"][split]) for split in SPLITS), "", "")
    for name in ("p50", "p95", "max"):
        cells = (str(lengths[split][name]) if split in lengths else "" for split in SPLITS)
        table.add_row(f"{lengths['unit']} a row, {name}", *cells, "", "")
    console().print(table)
    if lengths["unit"] == "words":
        click.echo("Lengths are in words; pass --tokenizer MODEL for tokens.")
    agents = statistics["agents"]
    if agents["in_several_splits"]:
        click.echo(
            f"{agents['in_several_splits']} of {agents['total']} agents are in several splits "
            "(--split-by agent keeps them apart)."
        )
    for reason, n in statistics["left_out"].items():
        click.echo(f"{n} conversations without rows: {reason}")


def _short(answer) -> str:
    """A constant answer in a few words."""
    if isinstance(answer, dict):
        return ", ".join(str(value) for value in answer.values())
    if isinstance(answer, list):
        return ", ".join(item["skill"] for item in answer)
    return f"{answer:g}" if isinstance(answer, int | float) else str(answer)
