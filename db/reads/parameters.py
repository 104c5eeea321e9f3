"""The parameters of template versions, typed."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.errors import InvalidError
from db.jobs.declarations import TemplateParameter
from db.jobs.parameters import PARAMETERS, parameters_of

# Uses: pk_template_version_terraform_values, pk_template_version_parameters.
_PARAMETERS = text(f"""
    SELECT {PARAMETERS}
    FROM (SELECT CAST(:id AS uuid) AS id) AS version
""")  # noqa: S608 - made of constants

_VERSION_OF_BUILD = text("SELECT template_version_id FROM workspace_builds WHERE id = :build_id")


def list_parameters(session: Session, template_version_id: uuid.UUID) -> list[TemplateParameter]:
    """Return the parameters of a version in the order of its form; none without an import."""
    rows = session.execute(_PARAMETERS, {"id": template_version_id}).scalar_one()
    return parameters_of(rows) or []


def check_ephemeral(session: Session, build_id: uuid.UUID, names: Collection[str]) -> None:
    """Check that values that are given for one build are of parameters that keep no value.

    Raises:
        InvalidError: a parameter is not ephemeral.
    """
    if not names:
        return
    version_id = session.execute(_VERSION_OF_BUILD, {"build_id": build_id}).scalar_one()
    for parameter in list_parameters(session, version_id):
        if parameter.name in names and not parameter.ephemeral:
            raise InvalidError(
                f'the parameter "{parameter.name}" is not ephemeral: later builds keep its'
                " value; give it with --param"
            )


def sensitive_names(session: Session, template_version_id: uuid.UUID) -> frozenset[str]:
    """Return the names of a version's parameters whose values must not be shown."""
    declared = list_parameters(session, template_version_id)
    return frozenset(one.name for one in declared if one.sensitive)
