"""What a job finds or makes, as typed values: resources and what is attached to them."""

from __future__ import annotations

from dataclasses import dataclass

from db.jobs.agents import Agent


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
