"""``provisionerd version``: the version of the program."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of

import click

from cli.options import output_option
from cli.printing import DOCUMENTS, print_document


@click.command()
@output_option
def version(output: str) -> None:
    r"""Print the version of provisionerd and of Python.

    \b
    Example:
        provisionerd version --output json
    """
    facts = {"version": version_of("provisionerd"), "python": platform.python_version()}
    if output in DOCUMENTS:
        print_document(facts, output)
    else:
        click.echo(f"provisionerd {facts['version']}, Python {facts['python']}")
