"""The values of a new build: chosen for it, kept from the build before, or the defaults.

The rules and their texts are those of Coder's classic parameter flow.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from db.errors import ParameterValidationError, ParameterViolation
from db.jobs.declarations import TemplateParameter
from db.parameters.limits import check_given, check_resolved
from db.parameters.rules import MissingValueError, RuleError
from db.parameters.validation import check_value
from db.schema.enums import Transition

MAX_NAMED = 20
"""How many of the template's parameters are named when an unknown one is refused."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The values that a request and its preset choose, and those of the build before."""

    given: Mapping[str, str] = field(default_factory=dict)
    preset: Mapping[str, str] = field(default_factory=dict)
    previous: Mapping[str, str] = field(default_factory=dict)

    @property
    def chosen(self) -> Mapping[str, str]:
        """The values of the request; those of the preset take precedence."""
        return {**self.given, **self.preset}


def resolve(
    declared: Sequence[TemplateParameter], choice: Choice, transition: Transition
) -> dict[str, str]:
    """Return the value of every parameter of a build, defaults included.

    A start is judged whole. A stop keeps the values that the resources were made with and is
    judged by what was chosen for it, so it never fails because a rule has changed since. A delete
    is never refused: what may not be chosen is left out.

    Raises:
        ParameterValidationError: the values are not allowed; it names all wrong parameters.
    """
    if transition is Transition.DELETE:
        return _for_delete(declared, choice)
    _raise(check_given(choice.given))
    violations = list(_unknown(declared, choice.given))
    values = {}
    for parameter in declared:
        try:
            values[parameter.name] = _resolved(parameter, choice, transition)
        except RuleError as error:
            violations.append(_violation(parameter, error))
    _raise(violations)
    if choice.chosen or transition is Transition.START:
        _raise(check_resolved(values))
    return values


def _raise(violations: Iterable[ParameterViolation]) -> None:
    if found := list(violations):
        raise ParameterValidationError(found)


def _violation(parameter: TemplateParameter, error: RuleError) -> ParameterViolation:
    is_missing = isinstance(error, MissingValueError)
    return ParameterViolation(field=parameter.name, detail=str(error), is_missing=is_missing)


def best_match(
    presets: Mapping[uuid.UUID, Mapping[str, str]], values: Mapping[str, str]
) -> uuid.UUID | None:
    """Return the preset whose values the build has; of several, the one with the most values."""
    matching = [preset for preset, wanted in presets.items() if wanted.items() <= values.items()]
    return max(matching, key=lambda preset: len(presets[preset]), default=None)


def _for_delete(declared: Sequence[TemplateParameter], choice: Choice) -> dict[str, str]:
    refused = {violation.field for violation in check_given(choice.given)}
    values = {}
    for parameter in declared:
        kept = _kept(parameter, choice.previous)
        chosen = choice.chosen.get(parameter.name)
        if chosen is None or parameter.name in refused:
            values[parameter.name] = kept
            continue
        try:
            values[parameter.name] = _resolved(parameter, choice, Transition.DELETE)
        except RuleError:
            values[parameter.name] = kept
    return values


def _resolved(parameter: TemplateParameter, choice: Choice, transition: Transition) -> str:
    chosen = choice.chosen.get(parameter.name)
    previous = choice.previous.get(parameter.name)
    if not parameter.mutable and None not in {chosen, previous} and chosen != previous:
        raise RuleError(
            f'Parameter "{parameter.name}" is not mutable, so it can\'t be updated after'
            " creating a workspace."
        )
    if parameter.required and chosen is None and previous is None:
        raise MissingValueError(f'Parameter "{parameter.name}" is required but not provided')
    value = _kept(parameter, choice.previous) if chosen is None else chosen
    if chosen is not None or transition is Transition.START:
        _check(parameter, value, previous)
    return value


def _kept(parameter: TemplateParameter, previous: Mapping[str, str]) -> str:
    if parameter.ephemeral:
        return parameter.default or ""
    return previous.get(parameter.name, parameter.default or "")


def _check(parameter: TemplateParameter, value: str, previous: str | None) -> None:
    try:
        check_value(parameter, value, previous)
    except RuleError as error:
        name = parameter.display_name or parameter.name
        raise type(error)(f'can\'t validate build parameter "{name}": {error}') from None


def _unknown(
    declared: Sequence[TemplateParameter], given: Mapping[str, str]
) -> Iterator[ParameterViolation]:
    known = {parameter.name for parameter in declared}
    names = _listed(declared)
    for name in given:
        if name not in known:
            detail = f'parameter "{name}" is not present in the template; it has {names}'
            yield ParameterViolation(field=name, detail=detail)


def _listed(declared: Sequence[TemplateParameter]) -> str:
    names = [f'"{parameter.name}"' for parameter in declared[:MAX_NAMED]]
    more = ["…"] if len(declared) > MAX_NAMED else []
    return ", ".join([*names, *more]) or "none"
