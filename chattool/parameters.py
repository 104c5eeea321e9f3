"""Refuses parameters that a template does not declare, before anything is created.

A build would refuse them too, but would leave a failed workspace behind. A *missing* parameter is
left to the build, so that the job row gets its error code.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from sqlalchemy.orm import Session

from db.errors import InvalidError
from db.reads.templates import get_version_source
from provisioner.template.parameters import UnknownParameterError, check_known
from provisioner.template.source import read_source


def refuse_unknown_parameters(
    session: Session, template_version_id: uuid.UUID, parameters: Mapping[str, str]
) -> None:
    """Check the names of parameters against the template's files; cheap without parameters.

    Raises:
        InvalidError: the template does not declare one; the message lists those that it declares.
        ArchiveError: the template's archive was refused.
        EngineError: the template's files cannot be read.
    """
    if not parameters:
        return
    provisioner, archive = get_version_source(session, template_version_id)
    template = read_source(archive, provisioner)
    try:
        check_known(template, parameters)
    except UnknownParameterError as error:
        raise InvalidError(str(error)) from error
