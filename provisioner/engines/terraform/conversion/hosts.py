"""The resources that agents and metadata can be attached to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from provisioner.engines.terraform.conversion.instances import Instance

# They describe other resources or run inside them. To a user they are not separate resources.
_UNLISTED = frozenset(
    {"coder_script", "coder_agent", "coder_agent_instance", "coder_app", "coder_metadata"}
)
# The only resource of Coder's own provider that stands for a machine.
_EXTERNAL_AGENT = "coder_external_agent"


class Hosts:
    """The instances of such resources, by label and position in ``listed``."""

    def __init__(self, listed: Sequence[Instance]) -> None:
        self._by_label: dict[str, list[tuple[int, Instance]]] = defaultdict(list)
        for position, instance in enumerate(listed):
            if not instance.type.startswith("coder_") or instance.type == _EXTERNAL_AGENT:
                self._by_label[instance.label].append((position, instance))

    def __contains__(self, label: object) -> bool:
        """Return whether a resource with this label has instances."""
        return label in self._by_label

    def at(self, label: str | None) -> Sequence[tuple[int, Instance]]:
        """Return the instances with this label and their positions."""
        return self._by_label.get(label or "", ())


def listed_of(instances: Sequence[Instance]) -> list[Instance]:
    """Return the instances that a user sees as resources."""
    return [found for found in instances if found.mode == "managed" and found.type not in _UNLISTED]
