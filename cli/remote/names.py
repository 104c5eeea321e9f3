"""Names that a server of the API knows, for the completion of words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.remote.client import Client, Query, route
from cli.remote.server import find_server
from cli.vocabulary import (
    JOBS,
    ORGANIZATIONS,
    QUEUES,
    TEMPLATES,
    USERS,
    WEBHOOKS,
    WORKERS,
    WORKSPACES,
)

ROWS = 500  #: of an answer, most of which may begin with other letters
_OF_ORGANIZATION = ("organizations", "default")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A route, and where the names are in its answer."""

    path: str
    name: str = "name"
    note: str = ""
    rows: str | None = None  #: the field with the list; None: the answer is the list


_PLACES: Mapping[str, _Place] = {
    JOBS: _Place(path=route(*_OF_ORGANIZATION, "provisionerjobs"), name="id", note="status"),
    ORGANIZATIONS: _Place(path=route("organizations"), note="display_name"),
    QUEUES: _Place(path=route("queues"), name="queue"),
    TEMPLATES: _Place(path=route("templates"), note="display_name"),
    USERS: _Place(path=route("users"), name="username", note="name", rows="users"),
    WEBHOOKS: _Place(path=route("webhooks"), name="id", note="url"),
    WORKERS: _Place(path=route(*_OF_ORGANIZATION, "provisionerdaemons"), note="status"),
    WORKSPACES: _Place(path=route("workspaces"), note="template_name", rows="workspaces"),
}


def find_names(kind: str, start: str, *, within: str | None) -> list[tuple[str, str]]:  # noqa: ARG001
    """Return names of a kind, with notes, among which are those that begin with ``start``.

    None of a kind that has no route.

    Args:
        kind: one of ``cli.vocabulary``, for jobs with the statuses that are wanted.

    Raises:
        click.ClickException: the server cannot be asked, or refuses.
    """
    noun, *statuses = kind.split()
    place = _PLACES.get(noun)
    if place is None:
        return []
    answer = Client(server=find_server()).get(place.path, _query(noun, start, statuses))
    return [
        (_name(noun, row, place), str(row.get(place.note) or ""))
        for row in (answer[place.rows] if place.rows else answer)
    ]


def _query(noun: str, start: str, statuses: list[str]) -> Query:
    owner, separator, _name = start.partition("/")
    queries: Mapping[str, Query] = {
        JOBS: {"limit": ROWS, "status": ",".join(statuses)},
        USERS: {"limit": ROWS, "q": start and f"search:{start}"},
        WORKSPACES: {"limit": ROWS, "q": separator and f"owner:{owner}"},
    }
    return queries.get(noun, {})


def _name(noun: str, row: Mapping[str, Any], place: _Place) -> str:
    if noun == WORKSPACES:
        return f"{row['owner_name']}/{row['name']}"
    return str(row[place.name])
