"""Rendering a page: templates, formats of times and costs, and the headers of every page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse, Response

from db.schema.enums import (
    JobErrorCode,
    job_is_insufficient_quota_error_code,
    job_is_missing_parameter_error_code,
    job_is_missing_required_template_variable_error_code,
)

FOLDER = Path(__file__).parent
SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MINUTE, HOUR, DAY = 60, 3600, 86_400

QUOTA_FULL = (
    "The owner's quota is full. Stop or delete a workspace, or raise the allowance of a group."
)
NO_VALUE = "Start the workspace again with a value for the parameter."
NO_VARIABLE = "Push the template again with values for its variables."
NO_CODE = "Read the log around the error. What Terraform, a provider or a cloud says has no code."


def age(moment: datetime | None) -> str:
    """Return how long ago a moment was, in one unit."""
    if moment is None:
        return "never"
    return f"{duration((datetime.now(UTC) - moment).total_seconds())} ago"


def duration(seconds: float | None) -> str:
    """Return a time span in the unit that fits."""
    if seconds is None:
        return ""
    for limit, unit, name in ((MINUTE, 1, "s"), (HOUR, MINUTE, "min"), (DAY, HOUR, "h")):
        if seconds < limit:
            value = seconds / unit
            return f"{value:.1f} {name}" if unit == 1 and value < 10 else f"{value:.0f} {name}"
    return f"{seconds / DAY:.0f} d"


def moment(value: datetime | None) -> str:
    """Return a time for the attribute of a ``time`` element."""
    return "" if value is None else value.isoformat(timespec="seconds")


def short(value: object) -> str:
    """Return the first part of an ID."""
    return str(value).partition("-")[0]


def advice(code: JobErrorCode | None) -> str:
    """Return what to do about a failure with this error code, or without one."""
    if job_is_insufficient_quota_error_code(code):
        return QUOTA_FULL
    if job_is_missing_parameter_error_code(code):
        return NO_VALUE
    return NO_VARIABLE if job_is_missing_required_template_variable_error_code(code) else NO_CODE


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER / "html"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(age=age, duration=duration, moment=moment, short=short, advice=advice)


def render(name: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page of a template in ``html/``."""
    text = _ENVIRONMENT.get_template(f"{name}.html").render(values)
    return HTMLResponse(
        text,
        status_code=status,
        headers={"Content-Security-Policy": SECURITY_POLICY, "Cache-Control": "no-store"},
    )
