"""What is wrong with the declarations of a template as a whole. Wording and order are Coder's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from db.jobs.declarations import PlannedDeclarations


class DeclarationError(Exception):
    """The declarations of a template contradict each other."""


def check_declarations(declares: PlannedDeclarations) -> None:
    """Check that names are unique and that at most one preset is the default.

    Raises:
        DeclarationError: they are not.
    """
    _check_unique("coder_parameter", (found.name for found in declares.parameters))
    _check_unique("coder_workspace_preset", (found.name for found in declares.presets))
    defaults = sum(preset.is_default for preset in declares.presets)
    if defaults > 1:
        raise DeclarationError(
            "a maximum of 1 coder_workspace_preset can be marked as default,"
            f" but {defaults} are set"
        )


def unknown_in_presets(declares: PlannedDeclarations) -> Iterator[str]:
    """Yield a sentence for each value of a preset whose parameter the template does not have."""
    known = {found.name for found in declares.parameters}
    for preset in declares.presets:
        for name in sorted(preset.parameters.keys() - known):
            yield f'the preset "{preset.name}" has a value for the unknown parameter "{name}"'


def _check_unique(kind: str, names: Iterable[str]) -> None:
    twice = [f'"{name}"' for name, count in Counter(names).items() if count > 1]
    if twice:
        verb = "appears" if len(twice) == 1 else "appear"
        listed = " and ".join(filter(None, [", ".join(twice[:-1]), twice[-1]]))
        raise DeclarationError(f"{kind} names must be unique but {listed} {verb} multiple times")
