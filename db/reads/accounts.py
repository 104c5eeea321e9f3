"""Users, organizations and members, as the HTTP API shows them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from db.engine import sql
from db.errors import NotFoundError
from db.reads.listings import read_row
from db.reads.shapes import Member, Organization, Role, User

EVERYTHING = 100_000  #: rows of a list without a limit

MEMBERSHIPS = """
    coalesce((
        SELECT jsonb_object_agg(member.organization_id, to_jsonb(member.roles))
        FROM organization_members AS member
        WHERE member.user_id = person.id
    ), '{}'::jsonb)
"""
"""The roles of ``person`` in each organization, by its id."""

_USERS = f"""
    SELECT person.id, person.username, person.name, person.avatar_url, person.email,
           person.created_at, person.updated_at, person.status::text, person.rbac_roles,
           coalesce(
               (SELECT max(last_used_at) FROM api_tokens WHERE user_id = person.id),
               '0001-01-01 00:00:00+00'
           ) AS last_seen_at,
           {MEMBERSHIPS} AS memberships
    FROM users AS person
"""  # noqa: S608 - made of constants
_ORGANIZATIONS = """
    SELECT organization.id, organization.name, organization.display_name,
           organization.description, organization.created_at, organization.updated_at,
           organization.is_default
    FROM organizations AS organization
"""


def find_user_id(session: Session, reference: str) -> uuid.UUID:
    """Return the id of the user with this id or name.

    Raises:
        NotFoundError: there is none.
    """
    found = session.execute(
        sql("""
            SELECT id
            FROM users
            WHERE NOT deleted
              AND (id = :id OR lower(username) = lower(:name))
            ORDER BY id = :id DESC
            LIMIT 1
        """),
        {"id": as_uuid(reference), "name": reference},
    ).scalar_one_or_none()
    if found is None:
        raise NotFoundError(f"there is no user {reference!r}")
    return uuid.UUID(str(found))


def get_user(session: Session, user_id: uuid.UUID) -> User:
    """Return one user.

    Raises:
        NotFoundError: there is none.
    """
    query = f"{_USERS} WHERE person.id = :id AND NOT person.deleted"
    return _user(read_row(session, query, missing=f"there is no user {user_id}", id=user_id))


def find_users(
    session: Session,
    *,
    search: str = "",
    statuses: Collection[str] = (),
    organizations: Collection[uuid.UUID] | None = None,
    seen_by: uuid.UUID | None = None,
    limit: int = EVERYTHING,
    offset: int = 0,
) -> tuple[list[User], int]:
    """Return a page of the users by name, and the number of users on all pages.

    Args:
        search: a part of the name or of the email address.
        organizations: only members of one of these; None for all users.
        seen_by: a user who is found in any case.
    """
    rows = session.execute(
        sql(f"""
            SELECT found.*, count(*) OVER () AS total
            FROM ({_USERS}
                WHERE NOT person.deleted
                  AND (position(lower(:search) IN lower(person.username)) > 0
                       OR position(lower(:search) IN lower(person.email)) > 0)
                  AND (cardinality(CAST(:statuses AS text[])) = 0
                       OR person.status::text = ANY(:statuses))
                  AND (CAST(:organizations AS uuid[]) IS NULL OR person.id = :seen_by OR EXISTS (
                       SELECT 1 FROM organization_members AS member
                       WHERE member.user_id = person.id
                         AND member.organization_id = ANY(:organizations)))
            ) AS found
            ORDER BY lower(found.username)
            LIMIT :limit OFFSET :offset
        """),  # noqa: S608 - made of constants
        {
            "search": search,
            "statuses": list(statuses),
            "organizations": None if organizations is None else list(organizations),
            "seen_by": seen_by,
            "limit": limit,
            "offset": offset,
        },
    ).all()
    return [_user(row) for row in rows], rows[0].total if rows else 0


def find_organizations(
    session: Session, *, ids: Collection[uuid.UUID] | None = None
) -> list[Organization]:
    """Return the organizations with these ids, or all, the default one first."""
    rows = session.execute(
        sql(f"""
            {_ORGANIZATIONS}
            WHERE CAST(:ids AS uuid[]) IS NULL OR organization.id = ANY(:ids)
            ORDER BY organization.is_default DESC, lower(organization.name)
        """),
        {"ids": None if ids is None else list(ids)},
    )
    return [_organization(row) for row in rows]


def find_organization(session: Session, reference: str) -> Organization:
    """Return the organization with this id or name; ``default`` and zeros mean the default one.

    Raises:
        NotFoundError: there is none.
    """
    wanted = as_uuid(reference)
    is_default = reference.lower() == "default" or (wanted is not None and wanted.int == 0)
    row = read_row(
        session,
        f"""
        {_ORGANIZATIONS}
        WHERE organization.id = :id
           OR lower(organization.name) = lower(:name)
           OR (:is_default AND organization.is_default)
        ORDER BY organization.id = :id DESC, organization.is_default DESC
        LIMIT 1
        """,
        missing=f"there is no organization {reference!r}",
        id=wanted,
        name=reference,
        is_default=is_default,
    )
    return _organization(row)


def find_members(
    session: Session, organization_id: uuid.UUID, *, user_id: uuid.UUID | None = None
) -> list[Member]:
    """Return the members of an organization by name, or only the one with this id."""
    rows = session.execute(
        sql("""
            SELECT member.user_id, member.organization_id, member.created_at, member.updated_at,
                   member.roles, person.rbac_roles,
                   person.username, person.name, person.email, person.avatar_url,
                   person.status::text, person.created_at AS user_created_at,
                   person.updated_at AS user_updated_at
            FROM organization_members AS member
            JOIN users AS person ON person.id = member.user_id AND NOT person.deleted
            WHERE member.organization_id = :organization_id
              AND (CAST(:user_id AS uuid) IS NULL OR member.user_id = :user_id)
            ORDER BY lower(person.username)
        """),
        {"organization_id": organization_id, "user_id": user_id},
    )
    return [_member(row) for row in rows]


def as_uuid(reference: str) -> uuid.UUID | None:
    """Return the UUID that the text is, or None if it is not a UUID."""
    try:
        return uuid.UUID(reference)
    except ValueError:
        return None


def shown_roles(names: Iterable[str], organization_id: uuid.UUID | None = None) -> list[Role]:
    """Return roles with their names for people."""
    return [
        Role(
            name=name,
            display_name=name.removeprefix("organization-").replace("-", " ").title(),
            organization_id=organization_id,
        )
        for name in sorted(names)
    ]


def _user(row: Row[Any]) -> User:
    fields: dict[str, Any] = row._asdict()
    memberships: dict[str, Sequence[str]] = fields.pop("memberships")
    of_organizations = [
        role
        for id_, names in sorted(memberships.items())
        for role in shown_roles(names, uuid.UUID(id_))
    ]
    fields["roles"] = [*shown_roles(fields.pop("rbac_roles")), *of_organizations]
    return User(**fields, organization_ids=[uuid.UUID(id_) for id_ in sorted(memberships)])


def _organization(row: Row[Any]) -> Organization:
    fields: dict[str, Any] = row._asdict()
    fields["display_name"] = row.display_name or row.name
    return Organization(**fields)


def _member(row: Row[Any]) -> Member:
    fields: dict[str, Any] = row._asdict()
    fields["roles"] = shown_roles(row.roles, row.organization_id)
    fields["global_roles"] = shown_roles(fields.pop("rbac_roles"))
    return Member(**fields)
