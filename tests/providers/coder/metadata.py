"""The resource ``coder_metadata``."""

from __future__ import annotations

from tf.types import Unknown

from tests.providers.checks import is_url, whole
from tests.providers.coder.agent import duplicates
from tests.providers.findings import Findings
from tests.providers.kinds import Resource
from tests.providers.schema import (
    BOOL,
    IDENTITY,
    NUMBER,
    STRING,
    Nested,
    Values,
    computed,
    optional,
    required,
)


def _plan(findings: Findings, values: Values) -> None:
    if values["item"] is not Unknown:
        duplicates(findings, values["item"], "key", "resource metadata key", "item")


def _create(_findings: Findings, values: Values) -> None:
    for item in values["item"]:
        item["is_null"] = item["value"] is None
        item["value"] = item["value"] or ""


METADATA = Resource(
    name="metadata",
    plan=_plan,
    create=_create,
    parts=(
        IDENTITY,
        required("resource_id", STRING),
        optional("hide", BOOL),
        optional("icon", STRING, is_url),
        optional("daily_cost", NUMBER, whole),
        Nested(
            name="item",
            parts=(
                required("key", STRING),
                optional("value", STRING),
                optional("sensitive", BOOL, default=False),
                computed("is_null", BOOL),
            ),
        ),
    ),
)
