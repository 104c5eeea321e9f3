"""The data source ``coder_workspace_preset``."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tf.types import Unknown

from tests.providers.checks import at_least, is_url, length, not_empty, quoted, whole
from tests.providers.coder.schedules import ScheduleError, check_overlaps, check_schedule
from tests.providers.findings import Findings
from tests.providers.kinds import DataSource
from tests.providers.schema import (
    BOOL,
    IDENTITY,
    NUMBER,
    STRING,
    STRING_MAP,
    Nested,
    Values,
    optional,
    required,
)

_LEAST_TTL_S = 3600
_MOST_TTL_S = 31_536_000


def _ttl(findings: Findings, path: str, value: int) -> None:
    if value != 0 and not _LEAST_TTL_S <= value <= _MOST_TTL_S:
        findings.error(
            f"{quoted(path)} must be 0 or between {_LEAST_TTL_S} and {_MOST_TTL_S}, got {value}",
            path=path,
        )


def _timezone(findings: Findings, path: str, value: str) -> None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        findings.error(f"failed to load timezone {quoted(value)}: {error}", path=path)


def _cron(findings: Findings, path: str, value: str) -> None:
    try:
        check_schedule(value)
    except ScheduleError as error:
        findings.error(str(error), path=path)


def _judge(findings: Findings, config: Values) -> None:
    for expressions in _schedules(config):
        try:
            check_overlaps(expressions)
        except ScheduleError as error:
            findings.error(str(error), path="prebuilds")


def _schedules(config: Values) -> list[list[str]]:
    """Return the expressions of each scheduling block; what is unknown is left out."""
    return [
        [
            entry["cron"]
            for entry in _blocks(scheduling, "schedule")
            if isinstance(entry["cron"], str)
        ]
        for prebuilds in _blocks(config, "prebuilds")
        for scheduling in _blocks(prebuilds, "scheduling")
    ]


def _blocks(values: Values, name: str) -> list[dict[str, Any]]:
    found = values.get(name)
    return [] if found is None or found is Unknown else list(found)


def _fill(values: Values) -> None:
    values["id"] = values["name"]


_SCHEDULING = Nested(
    name="scheduling",
    most=1,
    parts=(
        required("timezone", STRING, _timezone),
        Nested(
            name="schedule",
            least=1,
            parts=(
                required("cron", STRING, _cron),
                required("instances", NUMBER, whole),
            ),
        ),
    ),
)

PRESET = DataSource(
    name="workspace_preset",
    judge=_judge,
    fill=_fill,
    parts=(
        IDENTITY,
        required("name", STRING, not_empty),
        optional("description", STRING, length(0, 128)),
        optional("icon", STRING, is_url, length(0, 256)),
        optional("default", BOOL, default=False),
        optional("parameters", STRING_MAP),
        Nested(
            name="prebuilds",
            is_set=True,
            most=1,
            parts=(
                required("instances", NUMBER, whole, at_least(0)),
                Nested(
                    name="expiration_policy",
                    is_set=True,
                    most=1,
                    parts=(required("ttl", NUMBER, whole, _ttl),),
                ),
                _SCHEDULING,
            ),
        ),
    ),
)
