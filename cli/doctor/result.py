"""The result of one check of ``provisionerd doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How severe the result is."""

    OK = "ok"
    WARNING = "warning"  #: builds go on
    PROBLEM = "problem"  #: builds fail or wait


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What one check found, and how to fix it if it is not ok."""

    check: str
    verdict: Verdict
    found: str
    fix: str = ""


def ok(check: str, found: str) -> CheckResult:
    """Return the result of a check that found no problem."""
    return CheckResult(check=check, verdict=Verdict.OK, found=found)


def warning(check: str, found: str, fix: str) -> CheckResult:
    """Return the result of a check that found a minor problem; builds go on."""
    return CheckResult(check=check, verdict=Verdict.WARNING, found=found, fix=fix)


def problem(check: str, found: str, fix: str) -> CheckResult:
    """Return the result of a check that found a reason why builds fail or wait."""
    return CheckResult(check=check, verdict=Verdict.PROBLEM, found=found, fix=fix)
