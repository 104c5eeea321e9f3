"""Which agent or development container each app, script and variable belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from provisioner.engines.graph import Graph
from provisioner.engines.terraform.conversion.attributes import text
from provisioner.engines.terraform.conversion.instances import Instance

AGENT, DEVCONTAINER = "coder_agent", "coder_devcontainer"
# The attribute that a child names its parent by.
_ID = {AGENT: "id", DEVCONTAINER: "subagent_id"}


class Children:
    """The children of each parent: by the ID that they name, and in a plan by the graph.

    Before the apply neither the ID of a parent nor the reference to it is known.
    """

    def __init__(self, instances: Sequence[Instance], graph: Graph) -> None:
        self._graph = graph
        parents = [found for found in instances if found.mode == "managed" and found.type in _ID]
        self._by_id = {id_: parent for parent in reversed(parents) if (id_ := _id_of(parent))}
        self._by_label = {parent.label: parent for parent in reversed(parents)}
        self._agents = {label for label in self._by_label if _is_agent(self._by_label[label])}
        self._found: dict[tuple[str, str], list[Instance]] = defaultdict(list)
        for child in sorted(instances, key=lambda found: found.address):
            if child.mode == "managed" and (parent := self._parent_of(child)):
                self._found[parent.address, child.type].append(child)

    def of(self, parent: Instance, type_: str) -> Sequence[Instance]:
        """Return the children of one type, in the order of their addresses."""
        return self._found.get((parent.address, type_), ())

    def _parent_of(self, child: Instance) -> Instance | None:
        if child.type not in ("coder_app", "coder_script", "coder_env", DEVCONTAINER):
            return None
        if agent_id := text(child.attributes, "agent_id"):
            return self._by_id.get(agent_id)
        # A development container is attached to an agent, never to another one.
        wanted = self._agents if child.type == DEVCONTAINER else self._by_label
        label = self._graph.nearest_dependency(child.label, wanted)
        return self._by_label.get(label or "")


def _id_of(parent: Instance) -> str:
    return text(parent.attributes, _ID[parent.type])


def _is_agent(parent: Instance) -> bool:
    return parent.type == AGENT
