"""Quotas: a user's budget and consumption, those of all members, and a forecast."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.caller import Right
from api.reads.asking import USUAL_ROWS, Read, Viewer
from api.reads.finding import visible_organization, visible_user
from db.catalog.workspaces import get_workspace
from db.errors import unknown_user
from quota.details import QuotaDetails, workspace_quota_details
from quota.forecast import QuotaForecast, forecast_quota
from quota.overview import UserQuota, list_quotas

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.schema.tables import User


@dataclass(frozen=True, kw_only=True)
class QuotaOfUser:
    """A user's quota in an organization."""

    user: str
    organization: str
    details: QuotaDetails


@dataclass(frozen=True, kw_only=True)
class QuotaShown(Read[QuotaOfUser]):
    """Return a user's budget by group and consumption by workspace, in credits per day."""

    path = "/quota"
    user: str
    organization: str | None = None

    def answer(self, session: Session, viewer: Viewer) -> QuotaOfUser:
        """Return the quota of the viewer, or of a member that it may read."""
        owner = visible_user(session, viewer, self.user)
        home = visible_organization(session, viewer, self.organization)
        _check_member(viewer, owner, home.id)
        details = workspace_quota_details(session, organization_id=home.id, owner_id=owner.id)
        return QuotaOfUser(user=owner.username, organization=home.name, details=details)


@dataclass(frozen=True, kw_only=True)
class QuotaList(Read[list[UserQuota]]):
    """List the quotas of an organization's members, those that consume the most first."""

    path = "/quotas"
    organization: str | None = None
    limit: int = USUAL_ROWS

    def answer(self, session: Session, viewer: Viewer) -> list[UserQuota]:
        """Return the quotas of all members if the viewer may read them, otherwise its own."""
        home = visible_organization(session, viewer, self.organization)
        only = None if viewer.may(Right.READ_MEMBERS, home.id) else viewer.user_id
        return list_quotas(session, organization_id=home.id, user_id=only, limit=self.limit)


@dataclass(frozen=True, kw_only=True)
class ForecastOfUser:
    """What the quota would decide about a build of a user."""

    user: str
    forecast: QuotaForecast


@dataclass(frozen=True, kw_only=True)
class QuotaForecastShown(Read[ForecastOfUser]):
    """Return what the quota would decide now about a build. Nothing is charged."""

    path = "/quota/forecast"
    user: str
    cost: int = 0  #: of the build, in credits per day
    workspace: str | None = None  #: that is built again; None: a new one
    organization: str | None = None

    def answer(self, session: Session, viewer: Viewer) -> ForecastOfUser:
        """Return the forecast for the viewer, or for a member that it may read."""
        owner = visible_user(session, viewer, self.user)
        home, built = self._place(session, viewer, owner)
        _check_member(viewer, owner, home)
        now = forecast_quota(
            session,
            organization_id=home,
            owner_id=owner.id,
            daily_cost=self.cost,
            workspace_id=built,
        )
        return ForecastOfUser(user=owner.username, forecast=now)

    def _place(
        self, session: Session, viewer: Viewer, owner: User
    ) -> tuple[uuid.UUID, uuid.UUID | None]:
        """Return the organization and the workspace that the build is for."""
        if self.workspace is None:
            return visible_organization(session, viewer, self.organization).id, None
        built = get_workspace(session, owner=owner, name=self.workspace)
        return built.organization_id, built.id


def _check_member(viewer: Viewer, owner: User, organization_id: uuid.UUID) -> None:
    if owner.id != viewer.user_id and not viewer.may(Right.READ_MEMBERS, organization_id):
        raise unknown_user(owner.username)
