"""The instances of resources and data sources in a state file and in the JSON of a plan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

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

    @property
    def address(self) -> str:
        """The address within the template, with the instance key."""
        data = "data" if self.mode == "data" else ""
        key = "" if self.key is None else f"[{json.dumps(self.key)}]"
        return ".".join(filter(None, (self.module, data, self.type, self.name))) + key


def instances_of_state(state: Mapping[str, Any]) -> Iterator[Instance]:
    """Yield the instances in the content of a state file of version 4."""
    for resource in state.get("resources") or []:
        if isinstance(resource, dict):
            for instance in resource.get("instances") or []:
                yield _of_state(resource, instance)


def instances_of_plan(plan: Mapping[str, Any]) -> Iterator[Instance]:
    """Yield the instances that ``terraform show -json`` prints of a plan.

    A data source that was read while planning is in the prior state, one that will be read
    by the apply among the planned values. Child modules come before the module that calls them.
    Attributes that are not known yet are missing.
    """
    prior = ((plan.get("prior_state") or {}).get("values") or {}).get("root_module") or {}
    planned = (plan.get("planned_values") or {}).get("root_module") or {}
    yield from (found for found in _of_module(prior) if found.mode == "data")
    yield from _of_module(planned)


def _of_state(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> Instance:
    module, key = resource.get("module"), instance.get("index_key")
    return _instance(resource, module, key, instance.get("attributes"))


def _of_module(module: Mapping[str, Any]) -> Iterator[Instance]:
    for child in module.get("child_modules") or []:
        yield from _of_module(child)
    for resource in module.get("resources") or []:
        address, key = module.get("address"), resource.get("index")
        yield _instance(resource, address, key, resource.get("values"))


def _instance(resource: Mapping[str, Any], module: Any, key: Any, attributes: Any) -> Instance:
    return Instance(
        mode=str(resource.get("mode")),
        type=str(resource.get("type")),
        name=str(resource.get("name")),
        module=module or "",
        key=key,
        attributes=attributes or {},
    )
