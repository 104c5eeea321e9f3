"""What is wrong with the declarations of a template as a whole. Wording and order are Coder's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from db.jobs.declarations import PlannedDeclarations, TemplateParameter
from db.parameters.limits import MAX_GIVEN, MAX_NAME_BYTES, MAX_VALUE_BYTES
from db.parameters.rules import RuleError
from db.parameters.validation import check_value

MAX_DESCRIPTION_BYTES = 65_536
MAX_DECLARATIONS = 4 * 1024 * 1024
"""How many characters of JSON the parameters and presets may have: each build reads them."""


class DeclarationError(Exception):
    """The declarations of a template contradict each other."""


def check_declarations(declares: PlannedDeclarations) -> None:
    """Check that names are unique, that at most one preset is the default, and all sizes.

    Raises:
        DeclarationError: something is wrong.
    """
    _check_unique("coder_parameter", (found.name for found in declares.parameters))
    _check_unique("coder_workspace_preset", (found.name for found in declares.presets))
    defaults = sum(preset.is_default for preset in declares.presets)
    if defaults > 1:
        raise DeclarationError(
            "a maximum of 1 coder_workspace_preset can be marked as default,"
            f" but {defaults} are set"
        )
    _check_sizes(declares)


def wrong_in_presets(declares: PlannedDeclarations) -> Iterator[str]:
    """Yield a sentence for each value of a preset that a build with its defaults would refuse.

    Coder takes such a preset, too: other values may make the value right.
    """
    known = {found.name: found for found in declares.parameters}
    for preset in declares.presets:
        for name, value in sorted(preset.parameters.items()):
            if name not in known:
                yield f'the preset "{preset.name}" has a value for the unknown parameter "{name}"'
                continue
            try:
                check_value(known[name], value)
            except RuleError as error:
                yield f'the preset "{preset.name}" has a wrong value for "{name}": {error}'


def _check_unique(kind: str, names: Iterable[str]) -> None:
    twice = [f'"{name}"' for name, count in Counter(names).items() if count > 1]
    if twice:
        verb = "appears" if len(twice) == 1 else "appear"
        listed = " and ".join(filter(None, [", ".join(twice[:-1]), twice[-1]]))
        raise DeclarationError(f"{kind} names must be unique but {listed} {verb} multiple times")


def _check_sizes(declares: PlannedDeclarations) -> None:
    """Check that the enqueue transaction can read the declarations, and builds get the defaults."""
    parameters = declares.parameters
    if len(parameters) > MAX_GIVEN:
        raise DeclarationError(f"{len(parameters)} parameters are declared; at most {MAX_GIVEN}")
    for parameter in parameters:
        _check_size("name", parameter, parameter.name, MAX_NAME_BYTES)
        _check_size("default", parameter, parameter.default or "", MAX_VALUE_BYTES)
        _check_size("description", parameter, parameter.description, MAX_DESCRIPTION_BYTES)
    presets = [asdict(preset) for preset in declares.presets]
    total = len(json.dumps([*map(asdict, parameters), *presets]))
    if total > MAX_DECLARATIONS:
        raise DeclarationError(
            f"the parameters and presets have {total} characters together;"
            f" at most {MAX_DECLARATIONS} are allowed"
        )


def _check_size(kind: str, parameter: TemplateParameter, text: str, limit: int) -> None:
    if (size := len(text.encode("utf-8", "surrogatepass"))) > limit:
        raise DeclarationError(
            f'the {kind} of parameter "{parameter.name[:100]}" has {size} bytes;'
            f" at most {limit} are allowed"
        )
