"""Users, and what they are members of."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.answers import Message
from api.caller import Right
from api.errors import conflict, forbidden, hidden, refused
from api.gate import GateOf, Visit
from api.models.requests import CreateUser, MemberRoles, SiteRoles
from api.routes.finding import or_hidden, user_id_of, visible_organization, visible_user
from api.routes.paging import Paged, Search, part_of, terms_of
from db.catalog.audit import AuditAction
from db.catalog.people import (
    create_user,
    get_organization,
    join_organization,
    set_member_roles,
    set_site_roles,
    set_user_status,
)
from db.errors import ConflictError, InvalidError
from db.reads.accounts import (
    EVERYTHING,
    find_members,
    find_organization,
    find_organizations,
    find_users,
    get_user,
)
from db.reads.contract import WorkspaceQuota
from db.reads.shapes import Member, Organization, User, Users
from db.schema.enums import TokenScope, UserStatus
from db.schema.tables import User as UserRow
from quota.details import get_workspace_quota

router = APIRouter(prefix="/api/v2", tags=["users"])
KNOWN_TERMS = {"search", "name", "status", "role", "login_type", "github_com_user_id"}


@router.get("/users")
def list_users(gate: GateOf, page: Paged, q: Search = "") -> Users:
    """List the users that the caller may see, by name."""
    terms = terms_of(q, known=KNOWN_TERMS, bare="search")
    with gate.enter() as visit:
        users, count = find_users(
            visit.session,
            search=terms.get("search") or terms.get("name", ""),
            statuses=[terms["status"]] if "status" in terms else [],
            organizations=visit.caller.organizations_with(Right.READ_MEMBERS),
            seen_by=visit.caller.user_id,
            limit=EVERYTHING if page.after_id else page.limit or EVERYTHING,
            offset=0 if page.after_id else page.offset,
        )
        return Users(users=part_of(users, page) if page.after_id else users, count=count)


@router.post("/users", status_code=201)
def add_user(gate: GateOf, body: CreateUser) -> User:
    """Create a user, as a member of organizations."""
    with gate.enter(TokenScope.ADMIN) as visit:
        if not visit.caller.may_everywhere(Right.WRITE_MEMBERS):
            raise forbidden("Only user admins create users.")
        if body.roles and not visit.caller.is_owner:
            raise forbidden("Only owners give roles.")
        organizations = [
            find_organization(visit.session, str(wanted)).name for wanted in body.organization_ids
        ]
        try:
            made = _create(visit, body, organizations)
        except ConflictError as error:
            raise conflict(f"User {body.username!r} already exists.", field="username") from error
        except InvalidError as error:
            raise refused("Validation failed.", str(error), field="username") from error
        return get_user(visit.session, made.id)


def _create(visit: Visit, body: CreateUser, organizations: list[str]) -> UserRow:
    made = create_user(visit.session, username=body.username, email=body.email)
    for name in dict.fromkeys(organizations) or [None]:  # none is given: the default one
        join_organization(visit.session, made, get_organization(visit.session, name))
    made.name = body.name
    set_site_roles(visit.session, made, body.roles)
    visit.audit(
        AuditAction.CREATE,
        resource=("user", made.id, made.username),
    )
    return made


@router.get("/users/{user}")
def read_user(gate: GateOf, user: str) -> User:
    """Return a user by id or name; ``me`` is the caller."""
    with gate.enter() as visit:
        return visible_user(visit, user)


@router.put("/users/{user}/status/activate")
def activate(gate: GateOf, user: str) -> User:
    """Let a suspended user in again."""
    return _set_status(gate, user, UserStatus.ACTIVE)


@router.put("/users/{user}/status/suspend")
def suspend(gate: GateOf, user: str) -> User:
    """Refuse the user's requests from now on; running workspaces are not affected."""
    return _set_status(gate, user, UserStatus.SUSPENDED)


def _set_status(gate: GateOf, user: str, status: UserStatus) -> User:
    with gate.enter(TokenScope.ADMIN) as visit:
        found = visible_user(visit, user)
        if not visit.caller.may_everywhere(Right.WRITE_MEMBERS):
            raise forbidden("Only user admins change the status of users.")
        if found.id == visit.caller.user_id and status is UserStatus.SUSPENDED:
            raise refused("You cannot suspend yourself.")
        row = visit.session.get_one(UserRow, found.id)
        set_user_status(visit.session, row, status)
        visit.audit(
            AuditAction.WRITE,
            resource=("user", found.id, found.username),
            diff={"status": {"old": found.status, "new": status}},
        )
        return get_user(visit.session, found.id)


@router.get("/users/{user}/roles")
def read_roles(gate: GateOf, user: str) -> dict[str, Any]:
    """Return a user's roles in the site and in organizations."""
    with gate.enter() as visit:
        found = visible_user(visit, user)
        organization_roles: dict[str, list[str]] = {
            str(organization_id): [
                role.name for role in found.roles if role.organization_id == organization_id
            ]
            for organization_id in found.organization_ids
        }
        roles = [role.name for role in found.roles if role.organization_id is None]
        return {"roles": roles, "organization_roles": organization_roles}


@router.put("/users/{user}/roles")
def write_roles(gate: GateOf, user: str, body: SiteRoles) -> User:
    """Replace a user's roles in the site."""
    with gate.enter(TokenScope.ADMIN) as visit:
        found = visible_user(visit, user)
        if not visit.caller.is_owner:
            raise forbidden("Only owners give roles.")
        if found.id == visit.caller.user_id:
            raise refused("You cannot change your own roles.")
        old = [role.name for role in found.roles if role.organization_id is None]
        set_site_roles(visit.session, visit.session.get_one(UserRow, found.id), body.roles)
        visit.audit(
            AuditAction.WRITE,
            resource=("user", found.id, found.username),
            diff={"roles": {"old": old, "new": sorted(body.roles)}},
        )
        return get_user(visit.session, found.id)


@router.get("/users/{user}/organizations")
def list_own_organizations(gate: GateOf, user: str) -> list[Organization]:
    """List the organizations that a user is a member of."""
    with gate.enter() as visit:
        found = visible_user(visit, user)
        return find_organizations(visit.session, ids=found.organization_ids)


@router.get("/users/{user}/organizations/{organization}")
def read_own_organization(gate: GateOf, user: str, organization: str) -> Organization:
    """Return one of the organizations that a user is a member of."""
    with gate.enter() as visit:
        found = visible_user(visit, user)
        with or_hidden():
            wanted = find_organization(visit.session, organization)
        if wanted.id not in found.organization_ids:
            raise hidden()
        return wanted


@router.get("/users/{user}/autofill-parameters")
def autofill(gate: GateOf, user: str) -> list[dict[str, str]]:
    """Suggest values of parameters: none."""
    with gate.enter() as visit:
        visible_user(visit, user)
        return []


@router.get("/organizations")
def list_organizations(gate: GateOf) -> list[Organization]:
    """List the organizations that the caller may see."""
    with gate.enter() as visit:
        visible = visit.caller.organizations_with(Right.READ_TEMPLATES)
        return find_organizations(visit.session, ids=visible)


@router.get("/organizations/{organization}")
def read_organization(gate: GateOf, organization: str) -> Organization:
    """Return an organization by id or name; ``default`` is the default one."""
    with gate.enter() as visit:
        return visible_organization(visit, organization)


@router.get("/organizations/{organization}/members")
def list_members(gate: GateOf, organization: str, q: Search = "") -> list[Member]:
    """List the members of an organization; a member without a role sees itself only."""
    terms = terms_of(q, known={"user_id", "include_system", "github_user_id"}, bare="user_id")
    with gate.enter() as visit:
        home = visible_organization(visit, organization)
        sees_all = visit.caller.may(Right.READ_MEMBERS, home.id)
        members = find_members(
            visit.session, home.id, user_id=None if sees_all else visit.caller.user_id
        )
        wanted = terms.get("user_id")
        return [member for member in members if wanted in {None, str(member.user_id)}]


@router.get("/organizations/{organization}/members/{user}")
def read_member(gate: GateOf, organization: str, user: str) -> Member:
    """Return a member of an organization."""
    with gate.enter() as visit:
        home = visible_organization(visit, organization)
        user_id = user_id_of(visit, user)
        if user_id != visit.caller.user_id and not visit.caller.may(Right.READ_MEMBERS, home.id):
            raise hidden()
        members = find_members(visit.session, home.id, user_id=user_id)
        if not members:
            raise hidden()
        return members[0]


@router.put("/organizations/{organization}/members/{user}/roles")
def write_member_roles(gate: GateOf, organization: str, user: str, body: MemberRoles) -> Member:
    """Replace a member's roles in an organization."""
    with gate.enter(TokenScope.ADMIN) as visit:
        home = visible_organization(visit, organization)
        found = visible_user(visit, user)
        if not visit.caller.may(Right.ADMINISTER, home.id):
            raise forbidden("Only organization admins give roles.")
        row = visit.session.get_one(UserRow, found.id)
        with or_hidden():
            set_member_roles(
                visit.session, row, get_organization(visit.session, home.name), body.roles
            )
        visit.audit(
            AuditAction.WRITE,
            organization_id=home.id,
            resource=("organization_member", found.id, found.username),
            facts={"roles": sorted(body.roles)},
        )
        return find_members(visit.session, home.id, user_id=found.id)[0]


@router.get("/organizations/{organization}/members/{user}/workspace-quota")
def read_quota(gate: GateOf, organization: str, user: str) -> WorkspaceQuota:
    """Return what a user's workspaces cost, and the budget."""
    with gate.enter() as visit:
        return _quota(visit, organization, user)


@router.get("/workspace-quota/{user}")
def read_default_quota(gate: GateOf, user: str) -> WorkspaceQuota:
    """Return the quota in the default organization."""
    with gate.enter() as visit:
        return _quota(visit, "default", user)


def _quota(visit: Visit, organization: str, user: str) -> WorkspaceQuota:
    home = visible_organization(visit, organization)
    user_id = user_id_of(visit, user)
    if user_id != visit.caller.user_id and not visit.caller.may(Right.READ_MEMBERS, home.id):
        raise hidden()
    return get_workspace_quota(visit.session, organization_id=home.id, user_id=user_id)


@router.delete("/users/{user}")
def delete_user(gate: GateOf, user: str) -> Message:
    """Refuse: a user's builds and audit rows name the user; suspend the user instead."""
    with gate.enter(TokenScope.ADMIN) as visit:
        visible_user(visit, user)
        raise refused("Users are not deleted here. Suspend the user instead.")
