"""`mlx_cc bench`."""

import click


@click.group(name="bench")
def command() -> None:
    """Measure speed on this machine."""


@command.command()
@click.option("--conversations", type=click.IntRange(min=10), default=200_000, show_default=True, help="How many.")
@click.option("--turns", type=click.IntRange(min=1), default=20, show_default=True, help="Turns in each.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def records(conversations: int, turns: int, as_json: bool) -> None:
    """Read, validate and write back conversation records.

    \b
    Examples:
      mlx_cc bench records
      mlx_cc bench records --conversations 20000 --json
    """
    import json

    from mlx_cc.bench import record_speed

    found = record_speed(conversations, turns)
    if as_json:
        click.echo(json.dumps(found._asdict()))
        return
    click.echo(
        f"{found.conversations:,} conversations of {found.turns} turns ({found.bytes_each:,.0f} bytes each): "
        f"{found.conversations_per_s:,.0f} conversations/s; peak memory {found.memory_first_tenth_mb:,.1f} MB after a "
        f"tenth, {found.memory_mb:,.1f} MB at the end"
    )
