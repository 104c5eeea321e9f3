"""Read a data source or judge a configuration of the stand-in provider, without Terraform."""

from __future__ import annotations

from typing import Any

from tests.providers.findings import Finding, Findings
from tests.providers.kinds import DataSource, Kind, Resource
from tests.providers.schema import Nested, Part, Values, check_parts, filled


def configuration(parts: tuple[Part, ...], given: Values) -> Values:
    """Return a configuration as Terraform sends it: null where nothing is given."""
    return {part.name: _configured(part, given.get(part.name)) for part in parts}


def _configured(part: Part, value: Any) -> Any:
    if isinstance(part, Nested):
        return [configuration(part.parts, block) for block in value or ()]
    return value


def read(source: DataSource, **given: Any) -> Values:
    """Return what a data source reads; it must not refuse."""
    findings = Findings()
    values = source.values(findings, configuration(source.parts, given))
    assert values is not None, findings.found
    return values


def refusal(source: DataSource, **given: Any) -> tuple[str, str]:
    """Return summary and detail of what a data source refuses at its read."""
    findings = Findings()
    assert source.values(findings, configuration(source.parts, given)) is None
    (finding,) = findings.found
    return finding.summary, finding.detail


def judged(kind: Kind, **given: Any) -> list[Finding]:
    """Return what is wrong with a configuration."""
    findings = Findings()
    config = configuration(kind.parts, given)
    check_parts(kind.parts, findings, config)
    kind.judge(findings, config)
    return findings.found


def summaries(kind: Kind, **given: Any) -> list[str]:
    """Return the first lines of what is wrong with a configuration."""
    return [finding.summary for finding in judged(kind, **given)]


def created(resource: Resource, **given: Any) -> tuple[Values | None, list[str]]:
    """Return a new resource, or None, and what planning and creating it found."""
    findings = Findings()
    planned, _changed = resource.planned(findings, None, configuration(resource.parts, given))
    assert planned.keys() == filled(resource.parts, {}).keys()
    return resource.created(findings, planned), findings.summaries
