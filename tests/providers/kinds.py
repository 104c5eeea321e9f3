"""Data sources and resources as values; the framework takes them in place of classes."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tf.iface import ReadDataContext
from tf.schema import Schema
from tf.types import Unknown
from tf.utils import Diagnostics

from tests.providers.findings import Findings, Refusal
from tests.providers.schema import Part, Values, changes, check_parts, filled, to_framework

Judge = Callable[[Findings, Values], None]
Make = Callable[[Values], None]


def accept(_findings: Findings, _values: Values) -> None:
    """Find nothing wrong."""


def leave(_values: Values) -> None:
    """Change nothing."""


def new_id(_values: Values | None = None) -> str:
    """Return a random identifier."""
    return str(uuid.uuid4())


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a data source and a resource have in common.

    ``judge`` sees a configuration, whose values may be unknown.
    """

    name: str
    parts: tuple[Part, ...]
    version: int = 1
    judge: Judge = accept

    def get_name(self) -> str:
        return self.name

    def get_schema(self) -> Schema:
        attributes, blocks = to_framework(self.parts)
        return Schema(attributes=attributes, block_types=blocks, version=self.version)

    def validate(self, diagnostics: Diagnostics, _type_name: str, config: Values) -> None:
        findings = Findings()
        check_parts(self.parts, findings, config)
        self.judge(findings, config)
        report(findings, diagnostics)


@dataclass(frozen=True, kw_only=True)
class DataSource(Kind):
    """``fill`` completes the configured values, in place; the id is random unless it sets one."""

    fill: Make

    def read(self, context: ReadDataContext, config: Values) -> Values | None:
        findings = Findings()
        values = self.values(findings, config)
        report(findings, context.diagnostics)
        return values

    def values(self, findings: Findings, config: Values) -> Values | None:
        """Return what is read for a configuration, or None after an error."""
        values: Values = _known(filled(self.parts, copy.deepcopy(config)))
        if values["id"] is None:
            values["id"] = new_id()
        try:
            self.fill(values)
        except Refusal as refusal:
            findings.refuse(refusal)
            return None
        return values


@dataclass(frozen=True, kw_only=True)
class Resource(Kind):
    """A resource without an update: a change of what is configured replaces it.

    ``plan`` judges and completes the planned values, ``create`` sets what is computed, and
    ``refresh`` what a read finds new. All of them work in place.
    """

    plan: Judge = accept
    create: Judge = accept
    refresh: Make = leave

    def planned(
        self, findings: Findings, prior: Values | None, proposed: Values
    ) -> tuple[Values, list[str]]:
        """Return the planned values, and the names of the changes that replace the resource."""
        values = filled(self.parts, copy.deepcopy(proposed))
        self.plan(findings, values)
        if prior is None:
            return values, []
        changed = list(changes(self.parts, prior, values))
        kept = {part.name for part in self.parts} - set(changed)
        return values | {name: prior[name] for name in kept}, changed

    def created(self, findings: Findings, planned: Values) -> Values | None:
        """Return the values of the new resource, or None after an error."""
        values = copy.deepcopy(planned)
        if values["id"] is Unknown:
            values["id"] = new_id()
        try:
            self.create(findings, values)
        except Refusal as refusal:
            findings.refuse(refusal)
            return None
        return values

    def refreshed(self, current: Values) -> Values:
        """Return the values that a read finds."""
        values = copy.deepcopy(current)
        self.refresh(values)
        return values


def report(findings: Findings, diagnostics: Diagnostics) -> None:
    """Hand the findings to the framework."""
    for finding in findings.found:
        add = diagnostics.add_warning if finding.is_warning else diagnostics.add_error
        path = [finding.path.partition(".")[0]] if finding.path else None
        add(finding.summary, finding.detail, path=path)


def _known(values: Any) -> Any:
    """Return the values of a data source, where nothing may stay unknown."""
    if isinstance(values, dict):
        return {name: _known(value) for name, value in values.items()}
    if isinstance(values, list):
        return [_known(value) for value in values]
    return None if values is Unknown else values
