"""`mlx_cc schema`: what a settings file may hold, for editors."""

import click


@click.command()
@click.argument("file", type=click.Choice(["run", "centre", "map", "contact-map"]))
def command(file: str) -> None:
    """Print the JSON schema of a settings file, so that an editor can check and complete it.

    FILE is run (`mlx_cc train --config`), centre (--centre), map (--map) or contact-map (--contact-map). An editor
    with a YAML language server uses the schema that the first line of a file names, as in the files under configs/.

    \b
    Examples:
      mlx_cc schema run > run.schema.json    # and in the YAML:  # yaml-language-server: $schema=run.schema.json
    """
    import msgspec

    from mlx_cc.schema import schema

    click.echo(msgspec.json.format(msgspec.json.encode(schema(file)), indent=2))
