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
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.conversion.instances import Instance
from provisioner.engines.terraform.conversion.uniqueness import check_unique

TYPE = "coder_workspace_preset"


def presets_of(instances: Sequence[Instance]) -> tuple[TemplatePreset, ...]:
    """Return the presets, in the order of the plan.

    Raises:
        ConversionError: several have one name, or several are the default.
    """
    found = tuple(
        _preset(instance.attributes)
        for instance in instances
        if instance.mode == "data" and instance.type == TYPE
    )
    check_unique(TYPE, [preset.name for preset in found])
    defaults = sum(preset.is_default for preset in found)
    if defaults > 1:
        raise ConversionError(
            f"a maximum of 1 {TYPE} can be marked as default, but {defaults} are set"
        )
    return found


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
