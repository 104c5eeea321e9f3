"""New organizations; groups, their members and their allowances."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from api.caller import Right
from api.errors import ApiError, forbidden
from api.gate import Gate, GateOf, Visit
from api.models.fields import Name, RequestModel
from api.routes.finding import visible_organization, visible_user
from db.catalog.audit import AuditAction
from db.catalog.people import (
    MAX_ALLOWANCE,
    add_group_member,
    create_group,
    create_organization,
    get_group,
    remove_group_member,
    set_quota_allowance,
)
from db.errors import unknown_user
from db.reads.accounts import find_organization, find_organizations
from db.reads.contractbase import ContractModel
from db.reads.shapes import Organization
from db.schema.enums import TokenScope
from db.schema.tables import Group as GroupRow
from db.schema.tables import Organization as OrganizationRow
from db.schema.tables import User as UserRow

router = APIRouter(prefix="/api/v2/organizations", tags=["groups"])
Credits = Annotated[
    int, Field(ge=0, le=MAX_ALLOWANCE, description="credits per day for each member")
]


class CreateOrganization(RequestModel):
    """A new organization."""

    name: Name
    everyone_allowance: Credits = 0


class CreateGroup(RequestModel):
    """A new group."""

    name: Name
    quota_allowance: Credits = 0


class Allowance(RequestModel):
    """What a group gives each member."""

    quota_allowance: Credits


class Group(ContractModel):
    """A group, and what it gives each member."""

    id: uuid.UUID
    organization_id: uuid.UUID
    name: str
    quota_allowance: Credits


@router.post("", status_code=201)
def add_organization(gate: GateOf, body: CreateOrganization) -> Organization:
    """Create an organization, with its group Everyone."""
    with gate.enter(TokenScope.ADMIN) as visit:
        if not visit.caller.is_owner:
            raise forbidden("Only owners create organizations.")
        made = create_organization(
            visit.session,
            name=body.name,
            everyone_allowance=body.everyone_allowance,
            is_default=not find_organizations(visit.session, ids=None),
        )
        resource = ("organization", made.id, made.name)
        visit.audit(AuditAction.CREATE, organization_id=made.id, resource=resource)
        return find_organization(visit.session, str(made.id))


@router.post("/{organization}/groups", status_code=201)
def add_group(gate: GateOf, organization: str, body: CreateGroup) -> Group:
    """Create a group in an organization."""
    with gate.enter(TokenScope.ADMIN) as visit:
        home = _administered(visit, organization, Right.ADMINISTER)
        made = create_group(
            visit.session,
            name=body.name,
            organization=visit.session.get_one(OrganizationRow, home.id),
            quota_allowance=body.quota_allowance,
        )
        facts = {"quota_allowance": made.quota_allowance}
        _audit(visit, AuditAction.CREATE, made, facts=facts)
        return _shown(made)


@router.put("/{organization}/groups/{group}/allowance")
def write_allowance(gate: GateOf, organization: str, group: str, body: Allowance) -> Group:
    """Change what a group gives each member."""
    with gate.enter(TokenScope.ADMIN) as visit:
        found = _group(visit, organization, group, Right.ADMINISTER)
        old = found.quota_allowance
        set_quota_allowance(visit.session, found, body.quota_allowance)
        diff = {"quota_allowance": {"old": old, "new": found.quota_allowance}}
        _audit(visit, AuditAction.WRITE, found, diff=diff)
        return _shown(found)


@router.put("/{organization}/groups/{group}/members/{user}")
def add_member(gate: GateOf, organization: str, group: str, user: str) -> Group:
    """Add a user to a group of an organization that the user is a member of."""
    return _change_members(gate, organization, group, user, add_group_member)


@router.delete("/{organization}/groups/{group}/members/{user}")
def remove_member(gate: GateOf, organization: str, group: str, user: str) -> Group:
    """Remove a user from a group."""
    return _change_members(gate, organization, group, user, remove_group_member)


def _change_members(
    gate: Gate, organization: str, group: str, user: str, change: Callable[..., None]
) -> Group:
    with gate.enter(TokenScope.ADMIN) as visit:
        found = _group(visit, organization, group, Right.WRITE_MEMBERS)
        member = _seen(visit, user)
        change(visit.session, group=found, user=member)
        verb = "added" if change is add_group_member else "removed"
        _audit(visit, AuditAction.WRITE, found, facts={verb: member.username})
        return _shown(found)


def _seen(visit: Visit, username: str) -> UserRow:
    try:
        return visit.session.get_one(UserRow, visible_user(visit, username).id)
    except ApiError as error:
        raise unknown_user(username) from error


def _group(visit: Visit, organization: str, name: str, right: Right) -> GroupRow:
    home = _administered(visit, organization, right)
    row = visit.session.get_one(OrganizationRow, home.id)
    return get_group(visit.session, name=name, organization=row)


def _administered(visit: Visit, organization: str, right: Right) -> Organization:
    home = visible_organization(visit, organization)
    if not visit.caller.may(right, home.id):
        raise forbidden("Only admins of the organization change its groups.")
    return home


def _audit(
    visit: Visit,
    action: AuditAction,
    group: GroupRow,
    *,
    diff: Mapping[str, object] | None = None,
    facts: Mapping[str, object] | None = None,
) -> None:
    visit.audit(
        action,
        organization_id=group.organization_id,
        resource=("group", group.id, group.name),
        diff=diff,
        facts=facts,
    )


def _shown(group: GroupRow) -> Group:
    return Group.model_validate(group, from_attributes=True)
