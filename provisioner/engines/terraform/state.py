"""Read a Terraform state file (version 4): its instances, and the providers that they need."""

from __future__ import annotations

import json
import re
from decimal import Decimal

from provisioner.engines.terraform.conversion.instances import Instance, instances_of_state

_VERSION = 4
_BUILT_IN = "terraform.io/builtin/terraform"
_PROVIDER = re.compile(r'provider\["([^"]+)"\]')  # module.x.provider["HOST/NAMESPACE/TYPE"].alias


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
    return tuple(found for found in instances_of_state(state) if found.mode == "managed")


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
