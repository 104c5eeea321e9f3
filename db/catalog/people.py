"""Creating and finding organizations, users and groups."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from enum import StrEnum

from sqlalchemy import any_, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.catalog.names import check_name, insert_named
from db.errors import ConflictError, InvalidError, NotFoundError, unknown_user
from db.schema.enums import UserStatus
from db.schema.roles import PREBUILDS_USER_ID, OrganizationRole, SiteRole
from db.schema.tables import Group, GroupMember, Organization, OrganizationMember, User

EVERYONE = "Everyone"
MAX_ALLOWANCE = 2**31 - 1


def create_organization(
    session: Session, *, name: str, everyone_allowance: int = 0, is_default: bool = False
) -> Organization:
    """Create an organization and its Everyone group, which has the same id.

    Raises:
        InvalidError: the name is not allowed.
        ConflictError: an organization has that name, or another one is the default.
    """
    organization = Organization(
        id=uuid.uuid4(), name=check_name("organization", name), is_default=is_default
    )
    everyone = Group(
        id=organization.id,
        organization_id=organization.id,
        name=EVERYONE,
        quota_allowance=_check_allowance(everyone_allowance),
    )
    try:
        with session.begin_nested():
            session.add(organization)
            session.flush()
            session.add(everyone)
    except IntegrityError as error:
        is_second_default = "uq_organizations_default" in str(error.orig)
        taken = "a default organization" if is_second_default else f"an organization {name!r}"
        raise ConflictError(f"there is already {taken}") from error
    return organization


def get_organization(session: Session, name: str | None = None) -> Organization:
    """Return the organization of that name, or the default one.

    Raises:
        NotFoundError: there is none.
    """
    query = select(Organization)
    if name is None:
        query = query.order_by(Organization.is_default.desc(), Organization.created_at).limit(1)
    else:
        query = query.where(func.lower(Organization.name) == name.lower())
    organization = session.scalars(query).one_or_none()
    if organization is None:
        raise NotFoundError(
            "there is no organization yet" if name is None else f"there is no organization {name!r}"
        )
    return organization


def create_user(
    session: Session, *, username: str, organization: Organization | None = None, email: str = ""
) -> User:
    """Create a user, as a member of the organization if one is given.

    Raises:
        InvalidError: the name is not allowed.
        ConflictError: a user has that name.
    """
    user = User(id=uuid.uuid4(), username=check_name("user", username), email=email)
    insert_named(session, user, taken=f"there is already a user {username!r}")
    if organization is not None:
        join_organization(session, user, organization)
    return user


def join_organization(session: Session, user: User, organization: Organization) -> None:
    """Make a user, who is not one yet, a member of an organization."""
    session.add(OrganizationMember(organization_id=organization.id, user_id=user.id))
    session.flush()


def get_user(session: Session, username: str) -> User:
    """Return the user of that name.

    Raises:
        NotFoundError: there is none.
    """
    query = select(User).where(func.lower(User.username) == username.lower(), ~User.deleted)
    user = session.scalars(query).one_or_none()
    if user is None:
        raise unknown_user(username)
    return user


def has_people(session: Session) -> bool:
    """Return whether there is a user, other than the one that requests prebuilds."""
    people = select(User.id).where(User.id != PREBUILDS_USER_ID).limit(1)
    return session.scalars(people).first() is not None


def first_owner(session: Session) -> uuid.UUID | None:
    """Return the id of the active user who became an owner of the site first, or None."""
    return session.scalars(
        select(User.id)
        .where(
            literal(SiteRole.OWNER.value) == any_(User.rbac_roles),
            User.status == UserStatus.ACTIVE,
            ~User.deleted,
        )
        .order_by(User.created_at)
        .limit(1)
    ).one_or_none()


def set_site_roles(session: Session, user: User, roles: Collection[str]) -> None:
    """Replace the user's roles in the whole site.

    Raises:
        InvalidError: there is no such role.
    """
    user.rbac_roles = check_roles(SiteRole, roles)
    session.flush()


def set_member_roles(
    session: Session, user: User, organization: Organization, roles: Collection[str]
) -> None:
    """Replace the user's roles in the organization.

    Raises:
        InvalidError: there is no such role.
        NotFoundError: the user is not a member of the organization.
    """
    member = session.get(OrganizationMember, (organization.id, user.id))
    if member is None:
        raise NotFoundError(
            f"user {user.username!r} is not a member of organization {organization.name!r}"
        )
    member.roles = check_roles(OrganizationRole, roles)
    session.flush()


def set_user_status(session: Session, user: User, status: UserStatus) -> None:
    """Set the status of a user, which says whether the user may build."""
    user.status = status
    session.flush()


def create_group(
    session: Session, *, name: str, organization: Organization, quota_allowance: int = 0
) -> Group:
    """Create a group that gives each member ``quota_allowance`` credits per day.

    Raises:
        InvalidError: the name or the allowance is not allowed.
        ConflictError: the organization has a group of that name.
    """
    group = Group(
        id=uuid.uuid4(),
        name=check_name("group", name),
        organization_id=organization.id,
        quota_allowance=_check_allowance(quota_allowance),
    )
    insert_named(session, group, taken=f"there is already a group {name!r}")
    return group


def get_group(session: Session, *, name: str, organization: Organization) -> Group:
    """Return the organization's group of that name.

    Raises:
        NotFoundError: there is none.
    """
    query = select(Group).where(
        Group.organization_id == organization.id, func.lower(Group.name) == name.lower()
    )
    group = session.scalars(query).one_or_none()
    if group is None:
        raise NotFoundError(f"there is no group {name!r} in organization {organization.name!r}")
    return group


def set_quota_allowance(session: Session, group: Group, quota_allowance: int) -> None:
    """Change what the group gives each member, in credits per day.

    Raises:
        InvalidError: it is negative or out of range.
    """
    group.quota_allowance = _check_allowance(quota_allowance)
    session.flush()


def add_group_member(session: Session, *, group: Group, user: User) -> None:
    """Make the user a member of the group, unless they are one already.

    Raises:
        ConflictError: it is the Everyone group, or the user is not in the group's organization.
    """
    if group.id == group.organization_id:
        raise ConflictError("every member of the organization is in its Everyone group already")
    if session.get(OrganizationMember, (group.organization_id, user.id)) is None:
        raise ConflictError(f"user {user.username!r} is not a member of the group's organization")
    session.execute(
        insert(GroupMember).values(user_id=user.id, group_id=group.id).on_conflict_do_nothing()
    )


def remove_group_member(session: Session, *, group: Group, user: User) -> None:
    """End the user's membership of the group, if there is one."""
    member = session.get(GroupMember, (user.id, group.id))
    if member is not None:
        session.delete(member)
        session.flush()


def check_roles(known: type[StrEnum], roles: Collection[str]) -> list[str]:
    """Return roles without repetitions, in order.

    Raises:
        InvalidError: one is not a role of this kind.
    """
    for role in roles:
        if role not in set(known):
            raise InvalidError(f"there is no role {role!r}; there are {', '.join(known)}")
    return sorted(set(roles))


def _check_allowance(quota_allowance: int) -> int:
    if not 0 <= quota_allowance <= MAX_ALLOWANCE:
        raise InvalidError(
            f"a quota allowance is a whole number from 0 to {MAX_ALLOWANCE}, not {quota_allowance}"
        )
    return quota_allowance
