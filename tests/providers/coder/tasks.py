"""What belongs to tasks for coding agents."""

from __future__ import annotations

from tf.types import Unknown

from tests.providers.checks import conflicts, is_uuid
from tests.providers.coder.environment import task_id, text
from tests.providers.findings import Findings, Refusal
from tests.providers.kinds import DataSource, Resource, new_id
from tests.providers.schema import (
    BOOL,
    IDENTITY,
    STRING,
    Nested,
    Values,
    computed,
    either,
    required,
)


def _fill_task(values: Values) -> None:
    task = task_id()
    values |= {
        "id": task or new_id(),
        "enabled": task is not None,
        "prompt": text("CODER_TASK_PROMPT"),
    }


def _create(_findings: Findings, values: Values) -> None:
    _fill_task(values)
    values["prompt"] = values["prompt"] or None
    if values["app_id"] is Unknown:
        values["app_id"] = next((app["id"] for app in values["sidebar_app"]), None)
    if not values["app_id"]:
        raise Refusal("'app_id' must be set")


TASK = DataSource(
    name="task",
    version=0,
    fill=_fill_task,
    parts=(IDENTITY, computed("prompt", STRING), computed("enabled", BOOL)),
)

AI_TASK = Resource(
    name="ai_task",
    judge=conflicts("sidebar_app", "app_id"),
    create=_create,
    parts=(
        computed("id", STRING),
        either("app_id", STRING, is_uuid),
        computed("prompt", STRING),
        computed("enabled", BOOL),
        Nested(name="sidebar_app", is_set=True, most=1, parts=(required("id", STRING, is_uuid),)),
    ),
)
