"""Templates and their versions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.caller import Right
from api.reads.asking import USUAL_ROWS, Read, RowList, Viewer
from api.reads.finding import visible_organization
from db.catalog.templates import get_template, get_version
from db.errors import NotFoundError
from db.reads.imports import VersionDetails, VersionListing, get_version_details, list_versions
from db.reads.templates import TemplateListing, list_templates

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.schema.tables import Template


class TemplateList(RowList[TemplateListing]):
    """List the templates that are not deleted, by organization and name."""

    path = "/templates"
    rows = staticmethod(list_templates)
    right = Right.READ_TEMPLATES


@dataclass(frozen=True, kw_only=True)
class VersionList(Read[list[VersionListing]]):
    """List the versions of a template, newest first."""

    path = "/template/versions"
    template: str
    organization: str | None = None
    archived: bool = False
    limit: int = USUAL_ROWS

    def answer(self, session: Session, viewer: Viewer) -> list[VersionListing]:
        """Return the versions; archived ones only if they are asked for."""
        found = _template(session, viewer, self.template, self.organization)
        return list_versions(
            session, template_id=found.id, with_archived=self.archived, limit=self.limit
        )


@dataclass(frozen=True, kw_only=True)
class VersionShown(Read[VersionDetails]):
    """Return a version of a template with everything that its import found."""

    path = "/template/version"
    template: str
    version: str | None = None  #: None: the active one
    organization: str | None = None

    def answer(self, session: Session, viewer: Viewer) -> VersionDetails:
        """Return the version."""
        found = _template(session, viewer, self.template, self.organization)
        return get_version_details(session, self._wanted(session, found))

    def _wanted(self, session: Session, template: Template) -> uuid.UUID:
        if self.version:
            return get_version(session, template_id=template.id, name=self.version)
        if template.active_version_id is None:
            raise NotFoundError(
                f"template {template.name!r} has no active version; `provisionerd template versions"
                f" {template.name}` lists those it has"
            )
        return template.active_version_id


def _template(session: Session, viewer: Viewer, name: str, organization: str | None) -> Template:
    home = visible_organization(session, viewer, organization)
    return get_template(session, name=name, organization=home)
