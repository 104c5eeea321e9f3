"""The declarations that only a plan knows, because modules make them or values decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from db.jobs.declarations import ExternalAuth, PlannedDeclarations
from provisioner.engines.terraform.conversion.attributes import flag
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.conversion.instances import Instance
from provisioner.engines.terraform.conversion.parameters import parameters_of
from provisioner.engines.terraform.conversion.presets import presets_of

# The first is the older name. If both declare one service, the second decides.
_EXTERNAL_AUTH = ("coder_git_auth", "coder_external_auth")


def declarations_of(instances: Sequence[Instance]) -> PlannedDeclarations:
    """Return what the instances of a plan declare.

    Raises:
        ConversionError: there are several tasks, or a declaration cannot be read.
    """
    managed = Counter(found.type for found in instances if found.mode == "managed")
    if (tasks := managed["coder_ai_task"]) > 1:
        raise ConversionError(
            f"only one 'coder_ai_task' resource can be provisioned per template, found {tasks}"
        )
    return PlannedDeclarations(
        parameters=parameters_of(instances),
        presets=presets_of(instances),
        external_auth=_external_auth(instances),
        has_ai_task="coder_ai_task" in managed,
        has_external_agent="coder_external_agent" in managed,
        tags=_tags(instances),
    )


def _tags(instances: Sequence[Instance]) -> dict[str, str]:
    return {
        key: value
        for found in instances
        if found.is_data_of("coder_workspace_tags")
        for key, value in (found.attributes.get("tags") or {}).items()
        if isinstance(value, str)
    }


def _external_auth(instances: Sequence[Instance]) -> tuple[ExternalAuth, ...]:
    by_id: dict[str, ExternalAuth] = {}
    for type_ in _EXTERNAL_AUTH:
        for found in instances:
            if found.is_data_of(type_):
                by_id |= _service(found)
    return tuple(by_id[id_] for id_ in sorted(by_id))


def _service(instance: Instance) -> dict[str, ExternalAuth]:
    id_ = instance.attributes.get("id")
    if not isinstance(id_, str):
        raise ConversionError("external auth id is not a string")
    return {id_: ExternalAuth(id=id_, optional=flag(instance.attributes, "optional"))}
