from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.files import DEPLOY, output_of, tool
from tests.unit.deploy.series import (
    named_series,
    recorded_series,
    served_series,
    unknown_labels,
)

MODEL: dict[str, Any] = json.loads((DEPLOY / "grafana/provisionerd.json").read_text())
PANELS: list[dict[str, Any]] = MODEL["panels"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]
VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$queue": ".*"}


def queries() -> Iterator[str]:
    for panel in GRAPHS:
        for target in panel["targets"]:
            yield target["expr"]


def without_variables(query: str) -> str:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_queries_read_series_that_exist(query: str) -> None:
    assert named_series(query) <= served_series().keys() | recorded_series()


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_queries_select_by_labels_that_exist(query: str) -> None:
    assert unknown_labels(query) == []


def test_every_query_parses(tmp_path: Path) -> None:
    promtool = tool("promtool", "Debian's package is called prometheus")
    recorded = [
        {"record": f"query{number}", "expr": without_variables(query)}
        for number, query in enumerate(queries())
    ]
    rules = tmp_path / "queries.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    output_of(promtool, "check", "rules", rules)


def test_queries_use_no_variable_but_the_known_ones() -> None:
    assert [query for query in queries() if "$" in without_variables(query)] == []


def test_every_panel_asks_the_data_source_that_was_chosen() -> None:
    assert {panel["datasource"]["uid"] for panel in GRAPHS} == {"${datasource}"}


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids))


def test_panels_do_not_overlap() -> None:
    taken = [cells(panel["gridPos"]) for panel in PANELS]
    assert [one & other for one, other in itertools.combinations(taken, 2) if one & other] == []


def test_panels_stay_within_the_24_columns() -> None:
    assert max(x for panel in PANELS for x, _y in cells(panel["gridPos"])) < 24


def cells(position: dict[str, int]) -> set[tuple[int, int]]:
    columns = range(position["x"], position["x"] + position["w"])
    lines = range(position["y"], position["y"] + position["h"])
    return set(itertools.product(columns, lines))


def test_the_dashboard_asks_the_operators_questions_in_their_order() -> None:
    assert [panel["title"] for panel in PANELS if panel["type"] == "row"] == [
        "Are builds flowing?",
        "How long do people wait?",
        "What fails, and why?",
        "Who is saturated?",
        "What does quota refuse?",
        "Is anything lost?",
        "Do workers reach PostgreSQL and Redis?",
        "How does the API answer?",
    ]
