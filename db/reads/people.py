"""Organizations, users and groups."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.reads.listings import LIMIT, read_listings
from db.reads.sight import EVERYTHING, Sight, seen
from db.schema.enums import UserStatus
from db.schema.tables import Organization, OrganizationMember, User


@dataclass(frozen=True, kw_only=True)
class OrganizationListing:
    """An organization, its number of members, and the allowance that each of them gets."""

    id: uuid.UUID
    name: str
    is_default: bool
    members: int
    everyone_allowance: int  #: of the Everyone group, in credits per day


def list_organizations(
    session: Session, *, sight: Sight = EVERYTHING, limit: int = LIMIT
) -> list[OrganizationListing]:
    """Return the organizations, the default one first."""
    return read_listings(
        session,
        OrganizationListing,
        f"""
        SELECT organization.id, organization.name, organization.is_default,
               everyone.quota_allowance AS everyone_allowance,
               (SELECT count(*) FROM organization_members AS member
                WHERE member.organization_id = organization.id) AS members
        FROM organizations AS organization
        JOIN groups AS everyone ON everyone.id = organization.id
        WHERE {seen("organization.id")}
        ORDER BY organization.is_default DESC, organization.name
        LIMIT :limit
        """,  # noqa: S608 - made of constants
        limit=limit,
        **sight.values,
    )


@dataclass(frozen=True, kw_only=True)
class UserListing:
    """A user and the organizations that they are a member of."""

    id: uuid.UUID
    username: str
    email: str
    status: str
    organizations: Sequence[str]
    created_at: datetime


def list_users(
    session: Session, *, sight: Sight = EVERYTHING, limit: int = LIMIT
) -> list[UserListing]:
    """Return the users that are not deleted, by name."""
    return read_listings(
        session,
        UserListing,
        f"""
        SELECT person.id, person.username, person.email, person.status::text,
               person.created_at,
               ARRAY(
                   SELECT organization.name
                   FROM organization_members AS member
                   JOIN organizations AS organization
                       ON organization.id = member.organization_id
                   WHERE member.user_id = person.id
                   ORDER BY organization.name
               ) AS organizations
        FROM users AS person
        WHERE NOT person.deleted
          AND ({seen("NULL", "person.id")} OR EXISTS (
              SELECT 1
              FROM organization_members AS member
              WHERE member.user_id = person.id
                AND member.organization_id = ANY(:seen_organizations)
          ))
        ORDER BY lower(person.username)
        LIMIT :limit
        """,  # noqa: S608 - made of constants
        limit=limit,
        **sight.values,
    )


@dataclass(frozen=True, kw_only=True)
class GroupListing:
    """A group, its allowance, and its members."""

    id: uuid.UUID
    name: str
    organization_name: str
    quota_allowance: int
    members: Sequence[str]


def list_groups(
    session: Session, *, sight: Sight = EVERYTHING, limit: int = LIMIT
) -> list[GroupListing]:
    """Return the groups by organization, Everyone first."""
    return read_listings(
        session,
        GroupListing,
        f"""
        SELECT groups.id, groups.name, organization.name AS organization_name,
               groups.quota_allowance,
               ARRAY(
                   SELECT person.username
                   FROM group_members_expanded AS member
                   JOIN users AS person ON person.id = member.user_id
                   WHERE member.group_id = groups.id
                   ORDER BY person.username
               ) AS members
        FROM groups
        JOIN organizations AS organization ON organization.id = groups.organization_id
        WHERE {seen("groups.organization_id")}
        ORDER BY organization.name, groups.id <> organization.id, groups.name
        LIMIT :limit
        """,  # noqa: S608 - made of constants
        limit=limit,
        **sight.values,
    )


def first_member(session: Session, organization: Organization) -> User | None:
    """Return the member who joined the organization first, or None when it has no members."""
    return session.scalars(
        select(User)
        .join(OrganizationMember, OrganizationMember.user_id == User.id)
        .where(OrganizationMember.organization_id == organization.id, ~User.deleted)
        .order_by(OrganizationMember.created_at, User.username)
        .limit(1)
    ).one_or_none()


@dataclass(frozen=True, kw_only=True)
class OwnerFacts:
    """A user, with their roles and groups in one organization."""

    id: uuid.UUID
    username: str
    status: UserStatus
    deleted: bool
    is_member: bool
    roles: Sequence[str]
    groups: Sequence[str]


def find_owner(
    session: Session, *, owner_id: uuid.UUID, organization_id: uuid.UUID
) -> OwnerFacts | None:
    """Return the user with their roles and groups in the organization, or None."""
    row = session.execute(
        text("""
            SELECT owner.id,
                   owner.username,
                   owner.status::text,
                   owner.deleted,
                   member.user_id IS NOT NULL AS is_member,
                   owner.rbac_roles || coalesce(member.roles, '{}') AS roles,
                   ARRAY(
                       SELECT expanded.group_name
                       FROM group_members_expanded AS expanded
                       WHERE expanded.user_id = owner.id
                         AND expanded.organization_id = :organization_id
                       ORDER BY expanded.group_name
                   ) AS groups
            FROM users AS owner
            LEFT JOIN organization_members AS member
                   ON member.user_id = owner.id AND member.organization_id = :organization_id
            WHERE owner.id = :owner_id
        """),
        {"owner_id": owner_id, "organization_id": organization_id},
    ).one_or_none()
    return OwnerFacts(**{**row._asdict(), "status": UserStatus(row.status)}) if row else None
