"""Which parts of a template refer to which: the graph that attaches agents and metadata."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping


class Graph:
    """Addresses without instance keys, and the edges from each to what it refers to.

    Variables, locals, outputs and data sources are nodes, too: a reference that goes through them
    is as many edges longer.
    """

    def __init__(self, edges: Iterable[tuple[str, str]] = ()) -> None:
        self._dependencies: dict[str, set[str]] = defaultdict(set)
        self._dependents: dict[str, set[str]] = defaultdict(set)
        for dependent, dependency in edges:
            self._dependencies[dependent].add(dependency)
            self._dependents[dependency].add(dependent)

    def __bool__(self) -> bool:
        """Return whether there are edges."""
        return bool(self._dependencies)

    def edges(self) -> list[tuple[str, str]]:
        """Return the edges in the order of their addresses."""
        return sorted(
            (dependent, dependency)
            for dependent, dependencies in self._dependencies.items()
            for dependency in dependencies
        )

    def nearest_dependency(self, address: str, wanted: Container[str]) -> str | None:
        """Return the wanted address that ``address`` needs by the fewest edges, None if none.

        Of several the first in the order of their characters is returned.
        """
        return _nearest(self._dependencies, address, wanted)

    def nearest_dependent(self, address: str, wanted: Container[str]) -> str | None:
        """Return the wanted address that needs ``address`` by the fewest edges, None if none."""
        return _nearest(self._dependents, address, wanted)


def _nearest(edges: Mapping[str, set[str]], address: str, wanted: Container[str]) -> str | None:
    seen = {address}
    level = set(edges.get(address, ()))
    while level:
        if found := [node for node in level if node in wanted]:
            return min(found)
        seen |= level
        level = {node for near in level for node in edges.get(near, ())} - seen
    return None
