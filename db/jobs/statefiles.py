"""The list of resources in a Terraform state file, without their values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from db.errors import InvalidError
from db.jobs.states import State, read_state
from db.texts import storable

VERSION = 4
MAX_STATE_BYTES = 64 * 1024 * 1024
"""Maximum size of a state that a person may push. A thousand resources take a few MB."""


@dataclass(frozen=True, kw_only=True)
class StateResource:
    """A resource in a state."""

    mode: str  #: ``managed``, or ``data`` for a data source
    module: str  #: address of its module; ``""`` for the root module
    type: str
    name: str
    instances: int

    @property
    def address(self) -> str:
        """The address as Terraform prints it, without instance keys."""
        data = "data" if self.mode == "data" else ""
        return ".".join(filter(None, (self.module, data, self.type, self.name)))


@dataclass(frozen=True, kw_only=True)
class StateFile:
    """A state and the resources that it lists."""

    state: State
    terraform_version: str  #: of the Terraform that wrote it; ``""`` if it is not named
    resources: Sequence[StateResource]

    @property
    def managed(self) -> frozenset[str]:
        """Addresses of the managed resources."""
        return frozenset(found.address for found in self.resources if found.mode == "managed")


def parse_state_file(data: bytes) -> StateFile:
    """Parse a state file of version 4, the format of Terraform 0.12 and newer.

    Raises:
        InvalidError: it is too large, or is not such a file.
    """
    state, content = _read_content(data)
    try:
        resources = tuple(_resources(content.get("resources") or []))
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidError("this is not a Terraform state: its resources cannot be read") from error
    return StateFile(
        state=state,
        terraform_version=storable(str(content.get("terraform_version") or "")),
        resources=resources,
    )


def _read_content(data: bytes) -> tuple[State, dict[str, Any]]:
    if len(data) > MAX_STATE_BYTES:
        raise InvalidError(f"the state is larger than {MAX_STATE_BYTES // 1024 // 1024} MiB")
    state = read_state(data)
    if state is None:
        raise InvalidError("this is not a Terraform state: it names no lineage and serial")
    content = json.loads(data)
    if content.get("version") != VERSION:
        raise InvalidError(
            f"the state is not of version {VERSION}, which Terraform 0.12 introduced"
        )
    return state, content


def managed_resources(data: bytes | None) -> frozenset[str]:
    """Return the addresses of the managed resources in a state; none if it cannot be read."""
    try:
        return parse_state_file(data or b"").managed
    except InvalidError:
        return frozenset()


def _resources(listed: list[dict[str, Any]]) -> Iterator[StateResource]:
    for resource in listed:
        yield StateResource(
            mode=str(resource["mode"]),
            module=str(resource.get("module") or ""),
            type=str(resource["type"]),
            name=str(resource["name"]),
            instances=len(resource.get("instances") or []),
        )
