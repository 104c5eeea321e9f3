"""What a check of ``provisionerd doctor`` found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"  #: builds go on
    PROBLEM = "problem"  #: builds fail or wait


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found, and what to do about it when it is not ok."""

    check: str
    verdict: Verdict
    found: str
    fix: str = ""


def fine(check: str, found: str) -> Finding:
    """Return a finding that nothing has to be done about."""
    return Finding(check=check, verdict=Verdict.OK, found=found)


def warning(check: str, found: str, fix: str) -> Finding:
    """Return a finding that builds go on with."""
    return Finding(check=check, verdict=Verdict.WARNING, found=found, fix=fix)


def problem(check: str, found: str, fix: str) -> Finding:
    """Return a finding that lets builds fail or wait."""
    return Finding(check=check, verdict=Verdict.PROBLEM, found=found, fix=fix)
