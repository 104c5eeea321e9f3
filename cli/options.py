"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence

import click


def to_mapping(
    _context: click.Context, parameter: click.Parameter, pairs: Sequence[str]
) -> dict[str, str]:
    """Return NAME=VALUE pairs as a mapping; the value may be empty and hold equals signs.

    Use it as the callback of an option that may be given several times.

    Raises:
        click.BadParameter: a value is not a pair, or a name is given twice.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        name = name.strip()
        if not separator or not name:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param=parameter)
        if name in values:
            raise click.BadParameter(f"{name!r} is given twice", param=parameter)
        values[name] = value
    return values


output_option = click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="A table for people; JSON or YAML for programs.",
)
organization_option = click.option(
    "--organization",
    metavar="NAME",
    envvar="PROVISIONERD_ORGANIZATION",
    help="Organization; otherwise PROVISIONERD_ORGANIZATION, or the default one.",
)
limit_option = click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="Maximum number of rows.",
)
