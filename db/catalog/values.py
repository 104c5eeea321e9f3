"""The values that a new build gets, and the preset that they match."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.catalog.sources import Source
from db.errors import InvalidError, ParameterValidationError
from db.jobs.parameters import StoredPreset
from db.parameters.choice import Choice, best_match, resolve
from db.parameters.expressions import Values
from db.parameters.limits import check_given
from db.parameters.tags import WorkspaceTagError, workspace_tags
from db.schema.enums import Transition
from db.sealing.places import Place
from db.sealing.values import is_sealed_text, seal_text


@dataclass(frozen=True, kw_only=True)
class ChosenValues:
    """The values of a new build."""

    values: Mapping[str, str]
    preset_id: uuid.UUID | None = None  #: the preset that was named, or that they match
    others_from: uuid.UUID | None = None  #: the build from which all other values are copied


def choose_values(
    source: Source,
    transition: Transition,
    parameters: Mapping[str, str],
    preset: uuid.UUID | str | None,
) -> ChosenValues:
    """Return the value of every parameter of the version, defaults included.

    The declarations of a version without an import are known to no one before a worker reads its
    files. Then the given values are taken as they are, and all others from the build before.

    Raises:
        ParameterValidationError: the values are not allowed.
        InvalidError: the version has no such preset.
    """
    named = _find(source, preset) if preset else None
    if source.declared is None:
        values = _passable(parameters, transition)
        return ChosenValues(values=values, others_from=source.values_from)
    choice = Choice(
        given=parameters, preset=named.values if named else {}, previous=source.previous_values
    )
    values = resolve(source.declared, choice, transition)
    presets = {found.id: found.values for found in source.presets}
    return ChosenValues(values=values, preset_id=named.id if named else best_match(presets, values))


def tags_of(source: Source, values: Mapping[str, str], transition: Transition) -> Mapping[str, str]:
    """Return the tags of the build: those of the push, and over them those that are computed.

    Raises:
        WorkspaceTagError: one cannot be evaluated. A delete has the tags of the build before then.
    """
    known = Values(variables=_readable(source.variables), parameters=_readable(values))
    try:
        return {**source.tags, **workspace_tags(source.tag_expressions, known)}
    except WorkspaceTagError:
        if transition is Transition.DELETE:
            return source.previous_tags or source.tags
        raise


def sealed_values(
    session: Session,
    source: Source,
    values: Mapping[str, str],
    place_of: Callable[[str], Place],
    *,
    row: uuid.UUID,
) -> dict[str, str]:
    """Return what to store for the values of a build: the secrets among them are sealed.

    Args:
        place_of: returns the place of the value of that name.
        row: the build or the job that gets them.
    """
    secret = {found.name for found in source.declared or () if found.sensitive}
    return {
        name: seal_text(session, value, place_of(name), row=row) if name in secret else value
        for name, value in values.items()
    }


def _readable(values: Mapping[str, str]) -> dict[str, str]:
    """Return the values without those that are still sealed: no tag may be computed from them."""
    return {name: value for name, value in values.items() if not is_sealed_text(value)}


def _find(source: Source, preset: uuid.UUID | str) -> StoredPreset:
    for found in source.presets:
        if str(preset) in {str(found.id), found.name}:
            return found
    names = ", ".join(repr(found.name) for found in source.presets) or "none"
    raise InvalidError(f"the template version has no preset {str(preset)!r}; it has {names}")


def _passable(parameters: Mapping[str, str], transition: Transition) -> dict[str, str]:
    violations = list(check_given(parameters))
    if not violations:
        return dict(parameters)
    if transition is not Transition.DELETE:
        raise ParameterValidationError(violations)
    refused = {violation.field for violation in violations}
    return (
        {}
        if "" in refused
        else {name: value for name, value in parameters.items() if name not in refused}
    )
