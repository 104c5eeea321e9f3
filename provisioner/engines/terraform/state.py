"""Read the resources in a Terraform state file (version 4)."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from db.jobs.resources import Resource, ResourceMetadata
from provisioner.engines.terraform.price import MAX_DAILY_COST, parse_cost

_VERSION = 4
_BUILT_IN = "terraform.io/builtin/terraform"
_PROVIDER = re.compile(r'provider\["([^"]+)"\]')  # module.x.provider["HOST/NAMESPACE/TYPE"].alias
# They describe other resources or run inside them. To a user they are not separate resources.
_UNLISTED = frozenset(
    {"coder_script", "coder_agent", "coder_agent_instance", "coder_app", "coder_metadata"}
)
_INSTANCE_TYPE = {
    "google_compute_instance": "machine_type",
    "aws_instance": "instance_type",
    "aws_spot_instance_request": "instance_type",
    "azurerm_linux_virtual_machine": "size",
    "azurerm_windows_virtual_machine": "size",
}


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One instance of a managed resource."""

    type: str
    name: str
    module: str  #: ``""`` is the root module
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dependencies: tuple[str, ...] = ()  #: addresses of resources, without instance keys

    @property
    def label(self) -> str:
        """The address of the resource, without the instance key."""
        return ".".join(filter(None, (self.module, self.type, self.name)))


def instances_of(data: bytes) -> tuple[Instance, ...] | None:
    """Return the managed resources in a state file, one for each instance.

    None if it is not a complete state file of version 4. ``db.jobs.states.read_state`` reads its
    lineage and serial.
    """
    try:
        state = json.loads(data, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        return None
    return tuple(_instances(state.get("resources") or []))


def providers_of(data: bytes) -> frozenset[str]:
    """Return the source addresses of the providers that the resources in a state file need.

    The built-in provider is left out; data that is not a state file needs none. An address in
    another form, as in a state of Terraform 0.12, is returned unchanged.
    """
    try:
        resources = json.loads(data).get("resources") or []
        named = {str(resource["provider"]) for resource in resources}
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return frozenset()
    return frozenset(map(_source, named)) - {_BUILT_IN}


def _source(provider: str) -> str:
    found = _PROVIDER.search(provider)
    return found[1] if found else provider


def resources_of(data: bytes) -> tuple[Resource, ...]:
    """Return the resources in a state file that a user should see, one for each instance.

    ``coder_metadata`` is applied to the resource that its ``resource_id`` names. A
    ``terraform_data`` costs the ``daily_cost`` in its input. A cost that no plan would accept
    counts as 0.
    """
    instances = instances_of(data) or ()
    listed = [instance for instance in instances if instance.type not in _UNLISTED]
    resources = list(map(_resource, listed))
    _apply_metadata(instances, listed, resources)
    return tuple(resources)


def _apply_metadata(
    instances: tuple[Instance, ...], listed: list[Instance], resources: list[Resource]
) -> None:
    """Replace each resource of ``listed`` that a ``coder_metadata`` describes."""
    for metadata in instances:
        if metadata.type == "coder_metadata":
            for index in _targets(metadata, listed):
                resources[index] = _described(resources[index], metadata.attributes)


def _instances(resources: list[Any]) -> Iterator[Instance]:
    for resource in filter(_is_managed, resources):
        for instance in resource.get("instances") or []:
            yield _instance(resource, instance)


def _is_managed(resource: Any) -> bool:
    return isinstance(resource, dict) and resource.get("mode") == "managed"


def _instance(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> Instance:
    return Instance(
        type=str(resource.get("type")),
        name=str(resource.get("name")),
        module=resource.get("module") or "",
        attributes=instance.get("attributes") or {},
        dependencies=tuple(instance.get("dependencies") or ()),
    )


def _resource(instance: Instance) -> Resource:
    instance_type = instance.attributes.get(_INSTANCE_TYPE.get(instance.type, ""))
    return Resource(
        type=instance.type,
        name=instance.name,
        module_path=instance.module,
        daily_cost=_own_cost(instance),
        instance_type=instance_type if isinstance(instance_type, str) else None,
    )


def _own_cost(instance: Instance) -> int:
    if instance.type != "terraform_data":
        return 0
    # A value of any type is stored next to its type: {"value": ..., "type": ...}.
    given = (instance.attributes.get("input") or {}).get("value")
    return _cost(given.get("daily_cost")) if isinstance(given, dict) else 0


def _targets(metadata: Instance, listed: list[Instance]) -> list[int]:
    """Return the indexes of the described resources. Ids of two types may be equal."""
    target_id = metadata.attributes.get("resource_id")
    if not target_id:
        return []
    found = [i for i, other in enumerate(listed) if other.attributes.get("id") == target_id]
    named = [i for i in found if listed[i].label in metadata.dependencies]
    return named or found


def _described(resource: Resource, metadata: Mapping[str, Any]) -> Resource:
    cost = resource.daily_cost + _cost(metadata.get("daily_cost"))
    return dataclasses.replace(
        resource,
        daily_cost=min(cost, MAX_DAILY_COST),
        hide=resource.hide or metadata.get("hide") is True,
        icon=metadata.get("icon") or resource.icon,
        metadata=resource.metadata + tuple(_items(metadata.get("item") or [])),
    )


def _items(items: list[Any]) -> Iterator[ResourceMetadata]:
    for item in items:
        yield ResourceMetadata(
            key=item.get("key") or "",
            value=None if item.get("is_null") else item.get("value"),
            sensitive=item.get("sensitive") is True,
        )


def _cost(value: object) -> int:
    try:
        return parse_cost(value)
    except ValueError:
        return 0
