"""Changes to webhooks over the API, and finding one by the beginning of its ID."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from cli.remote.answers import field_of, id_of
from cli.remote.client import Client, route
from cli.remote.people import get_organization, get_user
from db.errors import ConflictError, InvalidError, NotFoundError


def create(
    client: Client, url: str, username: str, organization: str | None, types: Sequence[str]
) -> tuple[uuid.UUID, str]:
    """Create a webhook of the user of the token; return its ID and its secret."""
    own = field_of(client, get_user(client, "me"), "username", str)
    if username.lower() != own.lower():
        raise InvalidError(f"over the API, a webhook belongs to the user of the token, {own}")
    home = get_organization(client, organization) if organization else None
    body = {
        "url": url,
        "organization_id": field_of(client, home, "id", str) if home else None,
        "types": list(types),
    }
    made = client.ask("POST", route("webhooks"), body=body)
    return id_of(client, made), field_of(client, made, "secret", str)


def act(client: Client, method: str, prefix: str, *verb: str) -> uuid.UUID:
    """Send a change of the webhook whose ID begins with ``prefix``; return the ID."""
    webhook_id = _find(client, prefix)
    client.ask(method, route("webhooks", webhook_id, *verb))
    return webhook_id


def replay(client: Client, prefix: str) -> int:
    """Send events again; return their number."""
    answer = client.ask("POST", route("webhooks", _find(client, prefix), "replay"))
    return field_of(client, answer, "count", int)


def _find(client: Client, prefix: str) -> uuid.UUID:
    return one_of([id_of(client, row) for row in client.get(route("webhooks"))], prefix)


def one_of(ids: Iterable[uuid.UUID], prefix: str) -> uuid.UUID:
    """Return the ID of a webhook that begins with ``prefix``.

    Raises:
        NotFoundError: there is none.
        ConflictError: there are several.
    """
    found = [each for each in ids if str(each).startswith(prefix.lower())]
    # An empty text, such as an unset variable of a shell, begins every ID.
    if not found or not prefix:
        raise NotFoundError(
            f"there is no webhook {prefix!r}; `provisionerd webhook list` shows them"
        )
    if len(found) > 1:
        raise ConflictError(f"several webhooks begin with {prefix!r}; give more of the ID")
    return found[0]
