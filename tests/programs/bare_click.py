"""The least that a command line made with click can be. The rival of `paddock --help`."""

import click


@click.command()
@click.option("--name", help="A name.")
def bare(name: str) -> None:
    """Say a name."""
    click.echo(name)


bare()
