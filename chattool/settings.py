"""The settings of tools: polling and time limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from worker.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ToolSettings:
    """How often tools poll, and when they give up."""

    poll: timedelta = timedelta(seconds=2)  #: between two polls of a build
    timeout: timedelta = timedelta(minutes=10)  #: how long to wait for one build
    quota_timeout: timedelta = timedelta(seconds=2)  #: how long to wait for quota figures


def tool_settings(settings: Settings) -> ToolSettings:
    """Return the tools' part of the process's settings."""
    return ToolSettings(
        poll=timedelta(seconds=settings.tool_poll_seconds),
        timeout=timedelta(seconds=settings.tool_timeout_seconds),
        quota_timeout=timedelta(seconds=settings.tool_quota_timeout_seconds),
    )
