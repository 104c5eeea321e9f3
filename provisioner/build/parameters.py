"""The entries of a build's environment that tell its template the values of parameters.

A value travels as data: Terraform reads no ``CODER_PARAMETER_*`` as HCL, unlike ``TF_VAR_*``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from provisioner.build.entries import check_entry, is_passable

VALUE, PREVIOUS = "CODER_PARAMETER_", "CODER_PARAMETER_PREVIOUS_"


@dataclass(frozen=True, kw_only=True)
class ParameterFacts:
    """The values of a build's parameters, and those of the build before, by name."""

    values: Mapping[str, str] = field(default_factory=dict)
    previous: Mapping[str, str] = field(default_factory=dict)
    may_omit: bool = False  #: whether a value that cannot be passed is left out: for a delete


def parameter_entries(facts: ParameterFacts) -> Iterator[tuple[str, str]]:
    """Yield the entries for all values that can be passed.

    Raises:
        BuildEnvironmentError: a value of the build cannot be passed.
    """
    for name, value in facts.values.items():
        entry = f"{VALUE}{_digest(name)}"
        if not facts.may_omit or is_passable(entry, value):
            check_entry(entry, value, meaning=f'parameter "{name}"')
            yield entry, value
    for name, value in facts.previous.items():
        entry = f"{PREVIOUS}{_digest(name)}"
        # It is only compared with the value of this build, so it may be missing.
        if is_passable(entry, value):
            yield entry, value


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
