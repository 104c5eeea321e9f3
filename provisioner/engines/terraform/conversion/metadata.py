"""Which resource each ``coder_metadata`` describes: its nearest one in the graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from db.jobs.resources import ResourceMetadata
from provisioner.engines.graph import Graph
from provisioner.engines.terraform.conversion.attributes import Attributes, blocks, flag, text
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.conversion.hosts import Hosts
from provisioner.engines.terraform.conversion.instances import Instance

TYPE = "coder_metadata"


def metadata_of(instances: Sequence[Instance], hosts: Hosts, graph: Graph) -> dict[int, Attributes]:
    """Return the attributes of the ``coder_metadata`` of each described host, by its position.

    Ids are not compared to find the resource: those of two types may be equal, as they are
    ``namespace/name`` in Kubernetes. They only choose among the instances of that resource.

    Raises:
        ConversionError: two describe the same instance.
    """
    described: dict[int, Attributes] = {}
    for about in instances:
        if about.mode != "managed" or about.type != TYPE:
            continue
        label = graph.nearest_dependency(about.label, hosts)
        for position in _chosen(about, hosts.at(label)):
            if position in described:
                raise ConversionError(f"duplicate metadata resource: {label}")
            described[position] = about.attributes
    return described


def items_of(attributes: Attributes) -> Iterator[ResourceMetadata]:
    """Yield the items of a ``coder_metadata``."""
    for item in blocks(attributes, "item"):
        yield ResourceMetadata(
            key=text(item, "key"),
            value=None if flag(item, "is_null") else text(item, "value"),
            sensitive=flag(item, "sensitive"),
        )


def _chosen(about: Instance, found: Sequence[tuple[int, Instance]]) -> list[int]:
    """Return the positions of the described instances among those of one resource."""
    if resource_id := text(about.attributes, "resource_id"):
        same = [at for at, host in found if host.attributes.get("id") == resource_id]
    else:
        same = [at for at, host in found if about.key is not None and host.key == about.key]
    return same or [at for at, _host in found]
