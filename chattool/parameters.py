"""The values that an agent chooses for a build.

The enqueue transaction judges them. Only the names of a version without an import are judged here,
before anything is created: its declarations stand nowhere but in its files.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.errors import InvalidError
from db.reads.parameters import is_imported
from db.reads.templates import get_version_source
from provisioner.template.parameters import UnknownParameterError, check_known
from provisioner.template.source import read_source


@dataclass(frozen=True, kw_only=True)
class ChosenValues:
    """Values of parameters, and a preset by its id or its name."""

    parameters: Mapping[str, str]
    preset: uuid.UUID | str | None = None


def choose_values(
    parameters: Mapping[str, str] | None, *, preset_id: str | None, preset: str | None
) -> ChosenValues:
    """Return the values of a tool's arguments; empty texts stand for none.

    Raises:
        InvalidError: the preset is given twice, or its id is not a UUID.
    """
    if preset_id and preset:
        raise InvalidError("give preset_id or preset, not both")
    try:
        chosen = uuid.UUID(preset_id) if preset_id else preset or None
    except ValueError as error:
        raise InvalidError(f"invalid preset_id: {error}") from error
    return ChosenValues(parameters=parameters or {}, preset=chosen)


def refuse_unknown_parameters(
    session: Session, template_version_id: uuid.UUID, parameters: Mapping[str, str]
) -> None:
    """Check the names of parameters against the files of a version without an import.

    Raises:
        InvalidError: the template does not declare one; the message lists those that it declares.
        ArchiveError: the template's archive was refused.
        EngineError: the template's files cannot be read.
    """
    if not parameters or is_imported(session, template_version_id):
        return
    provisioner, archive = get_version_source(session, template_version_id)
    template = read_source(archive, provisioner)
    try:
        check_known(template, parameters)
    except UnknownParameterError as error:
        raise InvalidError(str(error)) from error
