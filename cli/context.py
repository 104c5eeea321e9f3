"""``provisionerd context``: named sets of variables for commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import click

from cli.confirming import confirm, yes_option
from cli.contexts import FIELDS, SECRETS, current_name, load, save
from cli.lazy import AliasGroup
from cli.listing import Kind, Listing, listing_options
from cli.options import output_option, to_mapping
from cli.printing import DOCUMENTS, print_document, print_facts
from cli.table import Column

HIDDEN = "(set)"


@dataclass(frozen=True, kw_only=True)
class ContextRow:
    """A context, without its secrets."""

    name: str
    is_current: bool
    values: dict[str, str]


def _server(row: ContextRow) -> str:
    """Return where the server's address comes from: a secret is not shown."""
    found = ("url", "database_url_file", "database_url", "data_dir")
    return next((f"{each} {row.values[each]}" for each in found if each in row.values), "")


KIND: Kind[ContextRow] = Kind(
    plural="contexts",
    columns={
        "NAME": lambda row: row.name,
        "CURRENT": lambda row: "current" if row.is_current else "",
        "OWNER": lambda row: row.values.get("owner"),
        "ORGANIZATION": Column(lambda row: row.values.get("organization"), 1),
        "SERVER": _server,
    },
    name=lambda row: row.name,
)


@click.group(cls=AliasGroup)
def context() -> None:
    r"""Manage contexts: named sets of variables for commands.

    A context says which server's API, or which database and Redis commands use,
    and which owner and organization are meant. A variable of the environment takes
    precedence; if it names any server, those of the context are not used. Workers,
    `up`, `serve`, `exporter` and `demo` use no context.

    \b
    Example:
        provisionerd context set staging owner=alice database_url_file=/etc/db
        provisionerd context use staging
    """


@context.command("list")
@listing_options(KIND)
def list_(listing: Listing[ContextRow]) -> None:
    r"""List the contexts.

    \b
    Example:
        provisionerd context list
    """
    listing.print(lambda limit: _rows()[:limit])


@context.command()
@click.argument("name")
def use(name: str) -> None:
    r"""Make NAME the context of later commands.

    \b
    Example:
        provisionerd context use staging
    """
    save(load().used(name))
    click.echo(f"Commands use the context {name}.")


@context.command()
@click.argument("name", required=False)
@output_option
def show(name: str | None, output: str) -> None:
    r"""Show the context NAME, or the one that commands use now. Secrets are hidden.

    \b
    Example:
        provisionerd context show
    """
    contexts = load()
    wanted = name or current_name(contexts)
    if wanted is None:
        raise click.ClickException("there is no context; `provisionerd context set NAME` makes one")
    contexts.get(wanted)
    row = next(row for row in _rows() if row.name == wanted)
    facts = {"name": row.name, "is_current": row.is_current, **row.values}
    if output in DOCUMENTS:
        print_document(facts, output)
    else:
        print_facts({**facts, "is_current": "yes" if row.is_current else "no"})


@context.command("set")
@click.argument("name")
@click.argument("values", metavar="FIELD=VALUE...", nargs=-1, required=True, callback=to_mapping)
def set_(name: str, values: dict[str, str]) -> None:
    r"""Set fields of the context NAME, or create it.

    The fields are owner, organization, url, token, token_file, database_url,
    database_url_file, redis_url, redis_url_file and data_dir. An empty value
    removes one. The first context is the current one.

    \b
    Example:
        provisionerd context set staging owner=alice data_dir=/srv/staging
    """
    save(load().changed(name, values))
    click.echo(f"Context {name} was changed.")


@context.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    r"""Delete the context NAME.

    \b
    Example:
        provisionerd context delete staging
    """
    without = load().without(name)
    confirm(f"Delete the context {name}?", yes=yes)
    save(without)
    click.echo(f"Context {name} was deleted.")


def _rows() -> list[ContextRow]:
    contexts = load()
    current = current_name(contexts)
    return [
        ContextRow(name=name, is_current=name == current, values=_shown(values))
        for name, values in sorted(contexts.named.items())
    ]


def _shown(values: Mapping[str, str]) -> dict[str, str]:
    return {each: HIDDEN if each in SECRETS else values[each] for each in FIELDS if each in values}
