"""What a job finds or makes, as typed values: resources and what is attached to them."""

from __future__ import annotations

from dataclasses import dataclass

from db.jobs.agents import Agent
from db.schema.enums import PlannedAction


@dataclass(frozen=True, kw_only=True)
class ResourceMetadata:
    """One item of a ``coder_metadata`` resource."""

    key: str
    value: str | None
    sensitive: bool = False


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A managed resource of a workspace."""

    type: str
    name: str
    daily_cost: int = 0  #: credits per day, >= 0
    module_path: str = ""  #: ``""`` is the root module
    instance_type: str | None = None
    hide: bool = False
    icon: str = ""
    metadata: tuple[ResourceMetadata, ...] = ()
    agents: tuple[Agent, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ResourceChange:
    """What a plan would do to one instance of a managed resource."""

    address: str  #: with module and instance key, as Terraform prints it
    type: str
    name: str
    action: PlannedAction
    daily_cost: int = 0  #: credits per day of the instance after the change
