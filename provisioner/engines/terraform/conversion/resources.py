"""The resources that a user sees, with what is attached to them."""

from __future__ import annotations

from collections.abc import Sequence

from db.jobs.agents import Agent
from db.jobs.resources import Resource
from provisioner.engines.graph import Graph
from provisioner.engines.terraform.conversion.agents import agents_of
from provisioner.engines.terraform.conversion.attributes import Attributes, flag, text
from provisioner.engines.terraform.conversion.cost import MAX_DAILY_COST, stored_cost
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.conversion.hosts import Hosts, listed_of
from provisioner.engines.terraform.conversion.instances import Instance
from provisioner.engines.terraform.conversion.metadata import items_of, metadata_of

_INSTANCE_TYPE = {
    "google_compute_instance": "machine_type",
    "aws_instance": "instance_type",
    "aws_spot_instance_request": "instance_type",
    "azurerm_linux_virtual_machine": "size",
    "azurerm_windows_virtual_machine": "size",
}


def resources_of(instances: Sequence[Instance], graph: Graph) -> tuple[Resource, ...]:
    """Return the resources, one for each instance, with their metadata and their agents.

    A ``terraform_data`` costs the ``daily_cost`` in its input. A cost that no plan would accept
    counts as 0.

    Raises:
        ConversionError: a resource is described twice, or the template breaks a rule for agents.
    """
    listed = listed_of(instances)
    hosts = Hosts(listed)
    metadata = metadata_of(instances, hosts, graph)
    agents = agents_of(instances, hosts, graph)
    return tuple(
        _resource(found, metadata.get(at, {}), agents.get(at, ()))
        for at, found in enumerate(listed)
    )


def left_resources_of(instances: Sequence[Instance], graph: Graph) -> tuple[Resource, ...]:
    """Return the resources that exist, whatever rule the template breaks.

    If it breaks one, nothing is attached to them.
    """
    try:
        return resources_of(instances, graph)
    except ConversionError:
        return tuple(_resource(found, {}, ()) for found in listed_of(instances))


def _resource(instance: Instance, metadata: Attributes, agents: Sequence[Agent]) -> Resource:
    cost = _own_cost(instance) + stored_cost(metadata.get("daily_cost"))
    return Resource(
        type=instance.type,
        name=instance.name,
        module_path=instance.module,
        daily_cost=min(cost, MAX_DAILY_COST),
        instance_type=text(instance.attributes, _INSTANCE_TYPE.get(instance.type, "")) or None,
        hide=flag(metadata, "hide"),
        icon=text(metadata, "icon"),
        metadata=tuple(items_of(metadata)),
        agents=tuple(agents),
    )


def _own_cost(instance: Instance) -> int:
    if instance.type != "terraform_data":
        return 0
    given = instance.attributes.get("input")
    # A state file has a value of any type next to its type: {"value": ..., "type": ...}.
    if isinstance(given, dict) and given.keys() == {"value", "type"}:
        given = given["value"]
    return stored_cost(given.get("daily_cost")) if isinstance(given, dict) else 0
