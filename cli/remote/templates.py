"""Changes to templates and their versions, over the API."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from cli.changing import no_organization, organization_route, unless_seen
from cli.remote.answers import as_pairs, field_of, id_of
from cli.remote.client import Client, route
from cli.remote.people import get_organization
from db.catalog.versions import EnqueuedImport
from db.errors import NotFoundError, unknown_template, unknown_version

NANOSECONDS = 1_000_000  #: of a millisecond
TAR = "application/x-tar"
#: What a column is called in a request, and its unit in the units of the request.
FIELDS: Mapping[str, tuple[str, int]] = {
    "default_ttl": ("default_ttl_ms", NANOSECONDS),
    "activity_bump": ("activity_bump_ms", NANOSECONDS),
    "deprecated": ("deprecation_message", 0),
}


def find_template(client: Client, name: str, organization: str | None) -> uuid.UUID:
    """Return the id of a template.

    Raises:
        NotFoundError: the user of the token sees none of that name.
    """
    return id_of(client, _template(client, name, organization))


def _template(client: Client, name: str, organization: str | None) -> Any:
    if organization is not None:
        get_organization(client, organization)
    with unless_seen(unknown_template(name)):
        return client.get(organization_route(organization, "templates", name))


def _version(client: Client, template_id: uuid.UUID, name: str) -> Any:
    try:
        return client.get(route("templates", template_id, "versions", name))
    except NotFoundError as error:
        raise unknown_version(name) from error


def find_version(client: Client, template_id: uuid.UUID, name: str) -> uuid.UUID:
    """Return the id of a version of a template.

    Raises:
        NotFoundError: there is none of that name.
    """
    return id_of(client, _version(client, template_id, name))


def no_active_version(template: str) -> NotFoundError:
    """Return the error about a template without an active version."""
    return NotFoundError(f"template {template!r} has no active version; give one with --version")


def download(
    client: Client, name: str, version_name: str | None, organization: str | None
) -> bytes:
    """Return the archive of a version of a template; by default, of the active one.

    Raises:
        NotFoundError: the user of the token sees no such version, or may not read its files.
    """
    template = _template(client, name, organization)
    if version_name:
        version = _version(client, id_of(client, template), version_name)
    else:
        active = id_of(client, template, "active_version_id")
        if not active.int:
            raise no_active_version(name)
        version = client.get(route("templateversions", active))
    with unless_seen(NotFoundError(f"only template admins read the files of template {name!r}")):
        return client.send("GET", route("files", id_of(client, version, "job.file_id")))


def activate(client: Client, name: str, version: str, organization: str | None) -> None:
    """Make a version the active one of a template."""
    template_id = find_template(client, name, organization)
    version_id = find_version(client, template_id, version)
    body = {"id": str(version_id)}
    client.ask("PATCH", route("templates", template_id, "versions"), body=body)


def archive(
    client: Client, name: str, version: str, organization: str | None, *, archived: bool
) -> None:
    """Archive a version, or undo that."""
    version_id = find_version(client, find_template(client, name, organization), version)
    verb = "archive" if archived else "unarchive"
    client.ask("POST", route("templateversions", version_id, verb))


def edit(
    client: Client, name: str, organization: str | None, changes: Mapping[str, object]
) -> None:
    """Change columns of a template."""
    template_id = find_template(client, name, organization)
    client.ask("PATCH", route("templates", template_id), body=_body(changes))


def _body(changes: Mapping[str, object]) -> dict[str, object]:
    body = {}
    for column, value in changes.items():
        name, unit = FIELDS.get(column, (column, 0))
        body[name] = value // unit if unit and isinstance(value, int) else value
    return body


def push(
    client: Client,
    name: str,
    organization: str | None,
    archive: bytes,
    facts: Mapping[str, Any],
) -> EnqueuedImport:
    """Upload an archive, store it as the next version of a template, and enqueue its import.

    Args:
        facts: about the version, as fields of ``db.catalog.templates.Push``.
    """
    values = as_pairs(facts["values"])
    body = {**facts, "provisioner": facts["provisioner"].value, "user_variable_values": values}
    with unless_seen(no_organization(organization)):
        uploaded = client.upload(route("files"), archive, media=TAR)
        pushed = client.ask(
            "POST",
            organization_route(organization, "templates", name, "push"),
            body={**body, "file_id": field_of(client, uploaded, "hash", str)},
        )
    return EnqueuedImport(
        version_id=id_of(client, pushed, "version_id"),
        version_name=field_of(client, pushed, "version_name", str),
        job_id=id_of(client, pushed, "job_id"),
        queue=field_of(client, pushed, "queue", str),
    )
