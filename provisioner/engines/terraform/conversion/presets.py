"""The presets that ``data "coder_workspace_preset"`` declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from db.jobs.declarations import PrebuildSchedule, TemplatePreset
from provisioner.engines.terraform.conversion.attributes import (
    Attributes,
    block,
    blocks,
    flag,
    integer,
    text,
    texts,
)
from provisioner.engines.terraform.conversion.instances import Instance

TYPE = "coder_workspace_preset"


def presets_of(instances: Sequence[Instance]) -> tuple[TemplatePreset, ...]:
    """Return the presets, in the order of the plan."""
    return tuple(
        _preset(instance.attributes) for instance in instances if instance.is_data_of(TYPE)
    )


def _preset(attributes: Attributes) -> TemplatePreset:
    prebuilds = block(attributes, "prebuilds")
    expiration = block(prebuilds, "expiration_policy")
    scheduling = block(prebuilds, "scheduling")
    return TemplatePreset(
        name=text(attributes, "name"),
        parameters=texts(attributes, "parameters"),
        is_default=flag(attributes, "default"),
        description=text(attributes, "description"),
        icon=text(attributes, "icon"),
        desired_instances=integer(prebuilds, "instances"),
        invalidate_after_s=integer(expiration, "ttl") or None,
        timezone=text(scheduling, "timezone"),
        schedules=tuple(_schedules(scheduling)),
    )


def _schedules(scheduling: Attributes) -> Iterator[PrebuildSchedule]:
    for schedule in blocks(scheduling, "schedule"):
        yield PrebuildSchedule(
            cron=text(schedule, "cron"), instances=integer(schedule, "instances")
        )
