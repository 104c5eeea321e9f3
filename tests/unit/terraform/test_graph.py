"""The graph of a template, and what is nearest in it."""

from __future__ import annotations

import pytest

from provisioner.engines.graph import Graph
from provisioner.engines.terraform.conversion.dot import read_graph

#     app -> local -> agent <- box <- proxy
#                      ^----- volume <- box
EDGES = (
    ("app", "local"),
    ("local", "agent"),
    ("box", "agent"),
    ("box", "volume"),
    ("volume", "agent"),
    ("proxy", "box"),
)
EVERYTHING = {name for edge in EDGES for name in edge}
DOT = """
digraph {
	compound = "true"
	subgraph "root" {
		"[root] module.m.pod.dev (expand)" [label = "module.m.pod.dev", shape = "box"]
		"[root] module.m.pod.dev (expand)" -> "[root] module.m.var.image (expand)"
		"[root] module.m.var.image (expand)" -> "[root] local.image (expand)"
		"[root] local.image (expand)" -> "[root] data.image.dev (expand)"
		"[root] data.image.dev (expand)" -> "[root] provider[\\"example.com/a/b\\"]"
		"[root] root" -> "[root] module.m (close)"
	}
}
"""


@pytest.mark.parametrize(
    ("address", "wanted", "expected"),
    [
        ("app", {"agent", "local"}, "local"),
        ("app", {"agent"}, "agent"),
        ("proxy", {"agent", "volume"}, "agent"),
        ("proxy", {"volume"}, "volume"),
        ("agent", EVERYTHING, None),
        ("app", {"box", "app"}, None),
        ("nothing", EVERYTHING, None),
    ],
)
def test_the_nearest_dependency_is_the_fewest_edges_away(
    address: str, wanted: set[str], expected: str | None
) -> None:
    assert Graph(EDGES).nearest_dependency(address, wanted) == expected


@pytest.mark.parametrize(
    ("address", "wanted", "expected"),
    [
        ("agent", {"box", "volume", "proxy"}, "box"),
        ("agent", {"proxy", "app"}, "app"),
        ("volume", {"box", "proxy"}, "box"),
        ("proxy", EVERYTHING, None),
    ],
)
def test_the_nearest_dependent_is_the_fewest_edges_away(
    address: str, wanted: set[str], expected: str | None
) -> None:
    assert Graph(EDGES).nearest_dependent(address, wanted) == expected


def test_a_graph_is_made_again_from_its_edges() -> None:
    assert Graph(Graph(EDGES).edges()).edges() == sorted(EDGES)
    assert (bool(Graph(EDGES)), bool(Graph())) == (True, False)


def test_a_cycle_ends_the_search() -> None:
    assert Graph([("a", "b"), ("b", "a")]).nearest_dependency("a", {"c"}) is None


def test_many_ways_to_one_node_cost_no_more_than_its_edges() -> None:
    levels = [
        (f"{level} {a}", f"{level + 1} {b}") for level in range(99) for a in "xy" for b in "xy"
    ]
    assert Graph(levels).nearest_dependency("0 x", {"99 y"}) == "99 y"


def test_nodes_are_named_by_their_addresses() -> None:
    graph = read_graph(DOT)
    assert graph.nearest_dependency("module.m.pod.dev", {"data.image.dev"}) == "data.image.dev"
    assert graph.nearest_dependency("data.image.dev", {'provider["example.com/a/b"]'})


@pytest.mark.parametrize("text", ["", "no graph", '"a" -> ', "\x00" * 100])
def test_what_is_no_graph_has_no_edges(text: str) -> None:
    assert read_graph(text).nearest_dependency("a", {"b"}) is None
