"""The instances of resources and data sources in a state file and in the JSON of a plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.engines.terraform.conversion.attributes import Attributes, blocks, nested, text

_INSTANCE_KEY = re.compile(r'\[(?:\d+|"(?:[^"\\]|\\.)*")\]')


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One instance of a managed resource or of a data source."""

    type: str
    name: str
    module: str = ""  #: address of its module; ``""`` is the root module
    mode: str = "managed"  #: or ``data``
    key: int | str | None = None  #: its key, with ``count`` or ``for_each``
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The address without instance keys, as the graph names it."""
        data = "data" if self.mode == "data" else ""
        module = _INSTANCE_KEY.sub("", self.module)
        return ".".join(filter(None, (module, data, self.type, self.name)))

    def is_data_of(self, type_: str) -> bool:
        """Return whether it is a data source of this type."""
        return self.mode == "data" and self.type == type_

    @property
    def address(self) -> str:
        """The address within the template, with the instance key."""
        data = "data" if self.mode == "data" else ""
        key = "" if self.key is None else f"[{json.dumps(self.key)}]"
        return ".".join(filter(None, (self.module, data, self.type, self.name))) + key


def instances_of_state(state: Attributes) -> Iterator[Instance]:
    """Yield the instances in the content of a state file of version 4.

    A template can write anything into the file while it is applied: what has another form is left
    out.
    """
    for resource in blocks(state, "resources"):
        for instance in blocks(resource, "instances"):
            yield _instance(resource, resource.get("module"), instance, "index_key", "attributes")


def instances_of_plan(plan: Attributes) -> Iterator[Instance]:
    """Yield the instances that ``terraform show -json`` prints of a plan.

    A data source that was read while planning is in the prior state, one that will be read
    by the apply among the planned values. Child modules come before the module that calls them.
    Attributes that are not known yet are missing.
    """
    prior = nested(nested(nested(plan, "prior_state"), "values"), "root_module")
    planned = nested(nested(plan, "planned_values"), "root_module")
    yield from (found for found in _of_module(prior) if found.mode == "data")
    yield from _of_module(planned)


def _of_module(module: Attributes) -> Iterator[Instance]:
    for child in blocks(module, "child_modules"):
        yield from _of_module(child)
    for resource in blocks(module, "resources"):
        yield _instance(resource, module.get("address"), resource, "index", "values")


def _instance(
    resource: Attributes, module: object, instance: Attributes, key: str, attributes: str
) -> Instance:
    found = instance.get(key)
    return Instance(
        mode=text(resource, "mode"),
        type=text(resource, "type"),
        name=text(resource, "name"),
        module=module if isinstance(module, str) else "",
        key=found if isinstance(found, int | str) else None,
        attributes=nested(instance, attributes),
    )
