"""Stands in for the import of a template version, without a worker and without a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.catalog.templates import Push, push_template
from db.catalog.versions import EnqueuedImport
from db.jobs.declarations import PlannedDeclarations, Template
from db.jobs.imports import ImportResult, store_import
from db.jobs.variables import VariableValue
from db.schema.enums import ProvisionerType
from provisioner.engines.echo import EchoEngine
from provisioner.engines.port import EngineError
from provisioner.engines.terraform.declarations import read_template
from provisioner.host.archive import read_archive
from provisioner.host.members import ArchiveError
from provisioner.template.variables import fill_variables

READERS = {ProvisionerType.ECHO: EchoEngine().parse, ProvisionerType.TERRAFORM: read_template}


def push_imported(
    session: Session, push: Push, *, variables: Sequence[VariableValue] = ()
) -> EnqueuedImport:
    """Push a version and let its import have succeeded, with what its files declare.

    Files that cannot be read declare nothing, so that a build of them can be tested.

    Args:
        variables: take the place of declared variables of the same name.
    """
    pushed = push_template(session, replace(push, values={}))
    template = _read(push)
    filled = fill_variables(template.variables, push.values, {})
    declared = {found.name: found for found in filled}
    declared |= {found.name: found for found in variables}
    session.execute(
        text("""
            UPDATE provisioner_jobs SET started_at = now(), completed_at = now() WHERE id = :id
        """),
        {"id": pushed.job_id},
    )
    found = ImportResult(
        variables=list(declared.values()),
        declares=PlannedDeclarations(parameters=template.parameters),
    )
    store_import(session, pushed.job_id, found, is_ok=True)
    session.expire_all()
    return pushed


def _read(push: Push) -> Template:
    try:
        return READERS[push.provisioner](read_archive(push.archive))
    except (ArchiveError, EngineError):
        return Template()
