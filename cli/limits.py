"""``provisionerd limits``: how many builds and workspaces an owner or a chat may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import click

from api.reads.operations import LimitList
from cli.actor import as_option
from cli.changing import change
from cli.lazy import AliasGroup
from cli.listing import Kind, Listing, listing_options
from cli.remote.answers import field_of
from cli.remote.client import Client, route
from cli.source import Source, source
from cli.table import Column
from db.catalog.limits import MOST_ALLOWED, Limit, change_limit

MEANINGS: Mapping[str, str] = {
    Limit.BUILDS_PER_OWNER: "unfinished builds of one owner",
    Limit.WORKSPACES_PER_OWNER: "workspaces of one owner",
    Limit.WORKSPACES_PER_CHAT: "workspaces that one chat has made",
    Limit.WORKSPACES_OF_AGENTS: "workspaces that agents have made for one owner",
    Limit.AUTOMATIC_FAILURES: "failed automatic starts of a version in a row",
    Limit.PERSONAL_FAILURES: "failed starts of a version in a row, for people's own starts",
}


@dataclass(frozen=True, kw_only=True)
class LimitListing:
    """A limit, and what it is unless somebody changes it."""

    name: str
    allowed: int | None  #: None: any number
    default: int | None
    meaning: str


KIND: Kind[LimitListing] = Kind(
    plural="limits",
    columns={
        "NAME": lambda row: row.name,
        "ALLOWED": lambda row: _shown(row.allowed),
        "DEFAULT": lambda row: _shown(row.default),
        "MEANING": Column(lambda row: row.meaning, 1),
    },
    name=lambda row: row.name,
)


@click.group(cls=AliasGroup)
def limits() -> None:
    """Show and change how many builds and workspaces an owner or a chat may have.

    Quota limits what workspaces cost; these limit their number. A start or a new
    workspace beyond one is refused, stops and deletes never.
    """


@limits.command("list")
@listing_options(KIND)
def list_(listing: Listing[LimitListing]) -> None:
    r"""List the limits.

    \b
    Example:
        provisionerd limits list
    """
    with source() as opened_source:
        listing.print(lambda limit: _rows(opened_source)[:limit])


def _rows(opened_source: Source) -> list[LimitListing]:
    return [
        LimitListing(**asdict(found), meaning=MEANINGS.get(found.name, ""))
        for found in opened_source.read(LimitList())
    ]


@limits.command("set")
@click.argument("name", metavar="NAME", type=click.Choice([limit.value for limit in Limit]))
@click.argument("allowed", metavar="NUMBER|off")
@as_option
def set_(name: str, allowed: str, as_user: str | None) -> None:
    r"""Set the limit NAME to a number, or turn it off.

    `provisionerd limits list` shows the names. What exists already is kept, even
    if it is more.

    \b
    Example:
        provisionerd limits set workspaces_per_owner 10
        provisionerd limits set workspaces_per_owner off
    """
    limit, number = Limit(name), _number(allowed)
    before = change(
        lambda session, actor: change_limit(session, limit, number, actor=actor),
        lambda client: _change(client, limit, number),
        look="limits list",
        as_user=as_user,
    )
    click.echo(f"{limit.value} was {_shown(before)} and is now {_shown(number)}.")


def _change(client: Client, limit: Limit, allowed: int | None) -> int | None:
    answer = client.ask("PUT", route("limits", limit.value), body={"allowed": allowed})
    return field_of(client, answer, "before", int) if "before" in answer else None


def _number(text: str) -> int | None:
    if text == "off":
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or int(text) > MOST_ALLOWED:
        raise click.BadParameter(f"{text!r} is not a number of at most {MOST_ALLOWED}, or off")
    return int(text)


def _shown(number: int | None) -> str:
    return "off" if number is None else str(number)
