"""The Terraform state file (version 4): the resources in it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from provisioner.engines.port import Resource, ResourceMetadata
from provisioner.engines.terraform.price import MAX_DAILY_COST, parse_cost

_VERSION = 4
_BUILT_IN = "terraform.io/builtin/terraform"
_PROVIDER = re.compile(r'provider\["([^"]+)"\]')  # module.x.provider["HOST/NAMESPACE/TYPE"].alias
# They describe other resources, or run inside them, and are no resources of their own to a user.
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
        """Address of the resource, without the instance's key."""
        return ".".join(filter(None, (self.module, self.type, self.name)))


def instances_of(data: bytes) -> tuple[Instance, ...] | None:
    """Return the managed resources in a state file, one for each instance.

    None if it is no whole state file of version 4. What a state is a state of is read by
    ``db.jobs.states.read_state``.
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

    The built-in one is left out, and what is no state file needs none. What is not understood,
    as in a state of Terraform 0.12, is returned as it stands.
    """
    try:
        resources = json.loads(data).get("resources") or []
        told = {str(resource["provider"]) for resource in resources}
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return frozenset()
    found = ((_PROVIDER.search(text), text) for text in told)
    sources = {match[1] if match else text for match, text in found}
    return frozenset(sources - {_BUILT_IN})


def resources_of(data: bytes) -> tuple[Resource, ...]:
    """Return the resources in a state file that a user is to see, one for each instance.

    ``coder_metadata`` is applied to the resource that its ``resource_id`` names; the
    ``daily_cost`` in the input of a ``terraform_data`` is its own. A cost that no plan would
    have let pass counts 0.
    """
    instances = instances_of(data) or ()
    listed = [instance for instance in instances if instance.type not in _UNLISTED]
    resources = [_resource(instance) for instance in listed]
    for metadata in instances:
        if metadata.type == "coder_metadata":
            for index in _targets(metadata, listed):
                resources[index] = _described(resources[index], metadata.attributes)
    return tuple(resources)


def _instances(resources: list[Any]) -> Iterator[Instance]:
    for resource in resources:
        if not isinstance(resource, dict) or resource.get("mode") != "managed":
            continue
        for instance in resource.get("instances") or []:
            yield Instance(
                type=str(resource.get("type")),
                name=str(resource.get("name")),
                module=resource.get("module") or "",
                attributes=instance.get("attributes") or {},
                dependencies=tuple(instance.get("dependencies") or ()),
            )


def _resource(instance: Instance) -> Resource:
    cost = 0
    if instance.type == "terraform_data":
        # A value of any type is stored beside its type: {"value": ..., "type": ...}.
        given = (instance.attributes.get("input") or {}).get("value")
        cost = _cost(given.get("daily_cost")) if isinstance(given, dict) else 0
    instance_type = instance.attributes.get(_INSTANCE_TYPE.get(instance.type, ""))
    return Resource(
        type=instance.type,
        name=instance.name,
        module_path=instance.module,
        daily_cost=cost,
        instance_type=instance_type if isinstance(instance_type, str) else None,
    )


def _targets(metadata: Instance, listed: list[Instance]) -> list[int]:
    """Return where in ``listed`` the described resources are. Ids of two types may be equal."""
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
